//! The audit entry of an exchange: before its answer where the ledger is required, else at its end.

use time::OffsetDateTime;

use super::context::Begun;
use super::gate::Gate;
use crate::audit::{AuditEntry, Outcome};
use crate::telemetry::Refusal;

/// Writes the entry and waits for the disk, where no answer may be given without it. To be called
/// before the first byte is sent.
pub(super) async fn before_answer(
    gate: &Gate,
    begun: &mut Begun,
    outcome: Outcome,
) -> Result<(), Refusal> {
    let Some(ledger) = gate.ledger().filter(|ledger| ledger.is_required()) else { return Ok(()) };
    let Some(entry) = AuditEntry::of(&begun.exchange, outcome, OffsetDateTime::now_utc()) else {
        return Ok(());
    };
    ledger.require(entry).await.map_err(|_| Refusal::AuditUnavailable)?;
    begun.audited = Some(outcome);
    Ok(())
}

/// Writes the entry of an exchange that is over, unless what was written before said it all. Where
/// the ledger is required it waits for the disk: what was streamed is only known now.
pub(super) async fn at_the_end(gate: &Gate, begun: &Begun) {
    let Some(ledger) = gate.ledger() else { return };
    let exchange = &begun.exchange;
    let outcome = match exchange.refusal {
        None => Outcome::Sent,
        Some(_) if exchange.status.is_some_and(|status| status >= 400) => Outcome::Refused,
        Some(_) => Outcome::BrokenOff,
    };
    if begun.audited == Some(Outcome::Sending) && outcome == Outcome::Sent {
        return;
    }
    let Some(entry) = AuditEntry::of(exchange, outcome, OffsetDateTime::now_utc()) else { return };
    if ledger.is_required() && begun.audited.is_some() {
        // Where that fails, the ledger itself has said so.
        let _ = ledger.require(entry).await;
    } else {
        ledger.record(entry);
    }
}
