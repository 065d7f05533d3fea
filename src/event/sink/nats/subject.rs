//! The subject of a message: `PREFIX.TENANT.TYPE`. Pure.
//!
//! Servers grant rights by subject, so what a tenant is called must never make it another: every
//! byte that is not a letter, a digit, `-` or `_` is percent-encoded, and so no two names meet.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The token for what has no name; a name that is this very text is written otherwise.
const NONE: &str = "-";

/// `crm.acme.deal.stage_changed`; the dots of the type stay.
pub(super) fn of(prefix: &str, tenant: Option<&str>, event_type: &str) -> String {
    let mut subject = prefix.to_owned();
    for part in [tenant.unwrap_or_default()].into_iter().chain(event_type.split('.')) {
        subject.push('.');
        match part {
            "" => subject.push_str(NONE),
            NONE => subject.push_str("%2D"),
            _ => subject.extend(utf8_percent_encode(part, ENCODED)),
        }
    }
    subject
}

/// Whether a message with some tenant and type below `prefix` fits `pattern`.
pub(super) fn covers(pattern: &str, prefix: &str) -> bool {
    let mut wanted = prefix.split('.');
    let mut tokens = pattern.split('.');
    for token in tokens.by_ref() {
        if token == ">" {
            return true;
        }
        match wanted.next() {
            Some(part) if token == part || token == "*" => {}
            Some(_) => return false,
            // Behind the prefix come a tenant and at least one word of the type.
            None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(tenant: Option<&str>, event_type: &str, expected: &str) {
        assert_eq!(of("crm", tenant, event_type), expected);
    }

    #[test]
    fn subjects() {
        check(Some("acme"), "deal.stage_changed", "crm.acme.deal.stage_changed");
        check(None, "deal.won", "crm.-.deal.won");
        check(Some(""), "deal.won", "crm.-.deal.won");
        check(Some("-"), "deal.won", "crm.%2D.deal.won");
        check(Some("a.b"), "deal.won", "crm.a%2Eb.deal.won");
        check(Some("*"), ">", "crm.%2A.%3E");
        check(Some("a b\r\n"), "deal.won", "crm.a%20b%0D%0A.deal.won");
        check(Some("100%"), "deal.won", "crm.100%25.deal.won");
        check(Some("M\u{fc}ller"), "deal.won", "crm.M%C3%BCller.deal.won");
        check(Some("acme"), "deal..won.", "crm.acme.deal.-.won.-");
    }

    #[track_caller]
    fn check_covers(pattern: &str, prefix: &str, expected: bool) {
        assert_eq!(covers(pattern, prefix), expected, "{pattern} for {prefix}");
    }

    #[test]
    fn patterns() {
        check_covers(">", "crm", true);
        check_covers("crm.>", "crm", true);
        check_covers("crm.*.>", "crm", true);
        check_covers("*.*.>", "crm", true);
        check_covers("crm.acme.>", "crm", true);
        check_covers("eu.crm.>", "eu.crm", true);
        check_covers("crm", "crm", false);
        check_covers("eu.>", "crm", false);
        check_covers("crm.>", "eu.crm", false);
        check_covers("CRM", "crm", false);
    }

    proptest! {
        #[test]
        fn no_input_adds_a_token_or_a_wildcard(tenant in any::<String>(), kind in "[^.]*") {
            let subject = of("crm", Some(&tenant), &kind);
            prop_assert_eq!(subject.split('.').count(), 3);
            prop_assert!(async_nats::Subject::from(subject.as_str()).is_valid(), "{}", subject);
            prop_assert!(!subject.contains(['*', '>', ' ', '\t', '\r', '\n']));
        }

        #[test]
        fn two_tenants_never_share_a_subject(one in ".{1,8}", two in ".{1,8}") {
            let of = |tenant: &str| of("crm", Some(tenant), "deal.won");
            prop_assert_eq!(of(&one) == of(&two), one == two);
        }
    }
}
