//! The masks of a plan, as the byte filter wants to call them.

use std::sync::Arc;

use crate::json;
use crate::json::automaton::Automaton;
use crate::json::filter::{Filter, FilterLimits, Replacer};
use crate::json::navigate::Slot;
use crate::mask::{Masker, NonceSequence};
use crate::policy::plan::PolicyJudge;
use crate::telemetry::Refusal;

/// The filter of one answer.
pub type AnswerFilter<O = ()> = Filter<Arc<Automaton<PolicyJudge>>, Masks, O>;

/// The masks for one answer.
#[derive(Debug)]
pub struct Masks {
    maskers: Arc<[Masker]>,
    nonces: NonceSequence,
}

impl Masks {
    pub(super) fn new(maskers: Arc<[Masker]>) -> Self {
        Self { maskers, nonces: NonceSequence::new(rand::random()) }
    }
}

impl Replacer for Masks {
    fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), json::Refusal> {
        let masker = usize::try_from(slot.0).ok().and_then(|slot| self.maskers.get(slot));
        let masker = masker.ok_or(json::Refusal::ReplacementFailed)?;
        masker.mask(raw, &mut self.nonces, out).map_err(|_| json::Refusal::ReplacementFailed)
    }
}

/// The bounds of the filter, from the configuration.
pub(super) fn filter_limits(limits: &crate::config::Limits) -> FilterLimits {
    FilterLimits { replaced_value: limits.masked_value, held_value: limits.record }
}

/// What a refusal of the filter means for the answer.
pub(super) fn reason(refusal: json::Refusal) -> Refusal {
    match refusal {
        json::Refusal::InvalidUtf8 | json::Refusal::InvalidJson => Refusal::JsonInvalid,
        json::Refusal::TooDeep => Refusal::JsonTooDeep,
        json::Refusal::Truncated => Refusal::JsonTruncated,
        json::Refusal::NameTooLong | json::Refusal::ValueTooLong => Refusal::ValueTooLong,
        json::Refusal::RecordTooLong | json::Refusal::AmbiguousRecord => Refusal::RecordTooLong,
        json::Refusal::ReplacementFailed => Refusal::MaskFailed,
    }
}
