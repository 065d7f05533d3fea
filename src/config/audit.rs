//! `audit`: whether answers wait for the ledger, and how long entries are kept.

use std::time::Duration;

use super::section::{Reader, Section};
use super::settings::{Audit, AuditMode};
use super::value;
use crate::yaml::Node;

/// The ledger, or `Some(None)` where it is switched off.
#[expect(
    clippy::option_option,
    reason = "a faulty section and a ledger switched off are two things"
)]
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Option<Audit>> {
    let usual = Audit::default();
    let mut at = Section::open(reader, node, name)?;
    let mode = at.or("mode", value::word(&AuditMode::ALL), Some(usual.mode));
    let keep = at.or("keep_days", days, usual.keep);
    let queue = at.or("queue", value::count(16..=1 << 20), usual.queue);
    at.close();
    Some(mode.map(|mode| Audit { mode, keep, queue }))
}

fn days(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Duration> {
    let days = value::count(1..=36_500)(reader, node, name)?;
    Some(Duration::from_secs(days as u64 * 24 * 3600))
}
