//! `audit`: whether answers wait for the ledger, and how long entries are kept.

use std::time::Duration;

use super::section::{Reader, Section};
use super::settings::{Audit, AuditMode};
use super::value;
use crate::yaml::Node;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The ledger, or `Some(None)` where it is switched off.
#[expect(
    clippy::option_option,
    reason = "a faulty section and a ledger switched off are two things"
)]
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Option<Audit>> {
    let usual = Audit::default();
    let mut at = Section::open(reader, node, name)?;
    let mode = at.or("mode", value::word(&AuditMode::ALL), Some(usual.mode));
    let keep =
        at.or("keep", value::duration(DAY..=Duration::from_secs(3650 * 24 * 3600)), usual.keep);
    let queue = at.or("queue", value::count(16..=1 << 20), usual.queue);
    at.close();
    Some(mode.map(|mode| Audit { mode, keep, queue }))
}
