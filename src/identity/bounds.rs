//! Bounds on what a credential may say of its caller.
//!
//! What is too long or holds control characters is refused, never cut: a shortened subject is
//! another subject, and a shortened list of roles may lack the one that restricts.

use std::collections::BTreeSet;

use super::refusal::Refusal;

/// Longest bearer token looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Most distinct roles on one caller.
pub const MAX_ROLES: usize = 64;
/// Longest role name.
pub const MAX_ROLE_CHARS: usize = 64;
/// Longest subject or tenant, in characters.
pub const MAX_NAME_CHARS: usize = 256;

/// Whether `name` can be a role: `[A-Za-z0-9_.:-]{1,64}`.
///
/// Identity providers send groups that are no role of ours ("Domain Users", "/sales/emea"). They
/// are left out, which is safe because policies can only declare names of this form: a name that
/// is left out is one that no policy knows.
#[must_use]
pub fn is_role_name(name: &str) -> bool {
    (1..=MAX_ROLE_CHARS).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// The role names among `names`, sorted, each once, so that equal callers have equal lists.
pub(super) fn roles<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, Refusal> {
    let roles: BTreeSet<&str> = names.into_iter().filter(|name| is_role_name(name)).collect();
    if roles.len() > MAX_ROLES {
        return Err(Refusal::TooManyRoles);
    }
    Ok(roles.into_iter().map(str::to_owned).collect())
}

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

    #[test]
    fn roles_are_sorted_and_stand_once() {
        assert_eq!(
            roles(["b", "a", "b", "no role", "B"]),
            Ok(vec!["B".into(), "a".into(), "b".into()])
        );
    }

    #[test]
    fn the_limit_counts_distinct_role_names() {
        let many: Vec<String> = (0..64).map(|number| format!("r{number}")).collect();
        let with = |extra: &'static str| {
            roles(many.iter().map(String::as_str).chain([extra])).map(|roles| roles.len())
        };
        assert_eq!(with("r0"), Ok(64));
        assert_eq!(with("not a role name"), Ok(64));
        assert_eq!(with("one_more"), Err(Refusal::TooManyRoles));
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
