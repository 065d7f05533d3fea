//! What the rules of a plan do, in the words of the audit ledger and the metrics.

use std::sync::Arc;

use crate::policy::plan::{Account, Cause, Treatment};
use crate::telemetry::{Act, FieldRule, rule_name};

/// One for each account, in their order.
pub(super) fn field_rules(accounts: &[Account]) -> Arc<[FieldRule]> {
    accounts.iter().map(field_rule).collect()
}

fn field_rule(account: &Account) -> FieldRule {
    let (rule, origin) = match &account.cause {
        Cause::Entry(role, origin) => {
            (rule_name(role.as_deref(), Some(&account.field)), origin.file_and_line())
        }
        Cause::Default(role, origin) => (rule_name(Some(role), None), origin.file_and_line()),
        Cause::NoRule => (String::new(), String::new()),
    };
    let act = match account.treatment {
        Treatment::Shown => Act::Shown,
        Treatment::Masked => Act::Masked,
        Treatment::Hidden => Act::Hidden,
    };
    FieldRule { field: (*account.field).into(), act, rule: rule.into(), origin: origin.into() }
}
