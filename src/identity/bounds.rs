//! Bounds on what a credential may say of its caller.
//!
//! What is too long or holds control characters is refused, never cut: a shortened subject is
//! another subject, and a shortened list of roles may lack the one that restricts.

pub use crate::config::{MAX_ROLE_CHARS, is_role_name};

/// Longest bearer token looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Most distinct roles on one caller.
pub const MAX_ROLES: usize = 64;
/// Longest subject or tenant, in characters.
pub const MAX_NAME_CHARS: usize = 256;

/// Whether `name` can be a subject or a tenant.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_role(name: &str, expected: bool) {
        assert_eq!(is_role_name(name), expected, "{name:?}");
    }

    #[test]
    fn role_names() {
        check_role("sales_rep", true);
        check_role("crm:lead.read-only", true);
        check_role(&"r".repeat(64), true);
        check_role(&"r".repeat(65), false);
        check_role("", false);
        check_role("Domain Users", false);
        check_role("/sales/emea", false);
        check_role("adm\u{131}n", false);
        check_role("admin\n", false);
    }

    #[track_caller]
    fn check_name(name: &str, expected: bool) {
        assert_eq!(is_name(name), expected, "{name:?}");
    }

    #[test]
    fn subjects_and_tenants() {
        check_name("ann@example.com", true);
        check_name("Zo\u{eb}", true);
        check_name(&"\u{eb}".repeat(256), true);
        check_name(&"\u{eb}".repeat(257), false);
        check_name("", false);
        check_name("  ", false);
        check_name("ann\r\nX-Role: admin", false);
        check_name("ann\u{0}", false);
        check_name("ann\u{85}", false);
    }
}
