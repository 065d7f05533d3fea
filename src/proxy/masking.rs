//! The masks of a plan, as the byte filter wants to call them.

use std::sync::Arc;

use crate::json;
use crate::json::Selection;
use crate::json::automaton::Automaton;
use crate::json::filter::{Filter, FilterLimits, Observer, Replacer};
use crate::json::navigate::Slot;
use crate::mask::{Masker, NonceSequence};
use crate::policy::plan::PolicyJudge;
use crate::telemetry::{FieldRule, Refusal, Touched};
use crate::token_map::TokenMap;

/// The filter of one answer.
pub type AnswerFilter<O = ()> = Filter<Arc<Automaton<PolicyJudge>>, Masks, O>;

/// The masks for one answer.
#[derive(Debug)]
pub struct Masks {
    maskers: Arc<[Masker]>,
    /// What the filter counts, by the number of its count.
    rules: Arc<[FieldRule]>,
    nonces: NonceSequence,
    /// Where a record keeps its id.
    record_id: Option<Selection>,
    /// The id of the record that is filtered, where it had to be held for it.
    record: Option<String>,
    /// The id of a record that does not tell it itself.
    untold: Option<String>,
    map: Option<TokenMap>,
}

impl Masks {
    pub(super) fn new(
        maskers: Arc<[Masker]>,
        rules: Arc<[FieldRule]>,
        record_id: Option<Selection>,
        map: Option<TokenMap>,
    ) -> Self {
        let nonces = NonceSequence::new(rand::random());
        Self { maskers, rules, nonces, record_id, record: None, untold: None, map }
    }

    /// Says whose the records are that do not tell their id themselves.
    pub(super) fn is_of_record(&mut self, id: Option<&str>) {
        self.untold = id.map(ToOwned::to_owned);
    }
}

impl Replacer for Masks {
    fn replace(&mut self, slot: Slot, raw: &[u8], out: &mut Vec<u8>) -> Result<(), json::Refusal> {
        let masker = usize::try_from(slot.0).ok().and_then(|slot| self.maskers.get(slot));
        let masker = masker.ok_or(json::Refusal::ReplacementFailed)?;
        let minted = masker
            .mask_in(raw, self.record.as_deref(), &mut self.nonces, out)
            .map_err(|_| json::Refusal::ReplacementFailed)?;
        if let (Some(minted), Some(map)) = (minted, &self.map) {
            map.keep(&minted);
        }
        Ok(())
    }

    fn record_begins(&mut self, raw: &[u8]) {
        let told = self.record_id.as_ref().and_then(|id| id.id_in(raw));
        self.record = told.or_else(|| self.untold.clone());
    }

    fn record_ends(&mut self) {
        self.record = None;
    }
}

/// What became of the fields so far.
pub(super) fn touched<O: Observer>(filter: &mut AnswerFilter<O>) -> Touched {
    let counts = filter.tally().notes.clone();
    Touched::new(Arc::clone(&filter.replacer().rules), counts)
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
