//! Masks turned back into values, for callers whose roles have a right to that field.
//!
//! One question is about one mask. Who asks is decided as on the street, by the identity sources; the
//! company is the caller's own, never one that the question names. An answer is given after its entry
//! stands in the audit ledger and not otherwise, and every refusal of a known caller has an entry too.
//! All refusals look alike to the caller: whether there is such a field, such a record or such a mask
//! is told to nobody who may not know. Callers who ask too often wait.

mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use self::pace::Pace;
use crate::audit::{AuditEntry, FieldEntry, Kind, Ledger, Outcome};
use crate::config;
use crate::identity::{Arrival, Identifier, Principal, Unidentified};
use crate::mask::{KeyRing, MaskError};
use crate::policy::PolicySet;
use crate::policy::set::RevealRight;
use crate::telemetry::{RevealAsked, RevealOutcome, Telemetry};
use crate::token_map::TokenMap;

/// The longest id of a record that is looked at.
const LONGEST_RECORD: usize = 256;

/// What a question is decided with.
pub struct InForce {
    /// The policies.
    pub set: Arc<PolicySet>,
    /// Their revision.
    pub revision: String,
    /// The keys.
    pub keys: Option<Arc<KeyRing>>,
}

/// What [`Reveal`] is made of.
pub struct RevealParts {
    /// Recognises callers.
    pub identifier: Arc<Identifier>,
    /// Looks up what is in force.
    pub in_force: Box<dyn Fn() -> Option<InForce> + Send + Sync>,
    /// The values behind tokens; `None` where none are kept.
    pub map: Option<TokenMap>,
    /// Where every question is written down. Without one nothing is revealed.
    pub ledger: Option<Ledger>,
    /// How often a caller may ask.
    pub settings: config::Reveal,
    /// Where it is counted.
    pub telemetry: Telemetry,
}

/// Turns masks back into values. See the module.
pub struct Reveal {
    parts: RevealParts,
    pace: Pace,
}

impl std::fmt::Debug for Reveal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reveal").finish_non_exhaustive()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The object type: `lead`.
    pub resource: &'q str,
    /// The field, as the registry writes it, or its last name.
    pub field: &'q str,
    /// The id of the record that an encrypted value stood in.
    pub record: Option<&'q str>,
    /// The mask.
    pub mask: &'q str,
}

/// How a question came in.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// What says who asks.
    pub arrival: &'a Arrival<'a>,
    /// Where it was asked.
    pub path: &'a str,
    /// The id of the request.
    pub correlation_id: &'a str,
}

/// Why a value is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Nobody knows who asks.
    Unidentified(Unidentified),
    /// The caller may not know it, or there is nothing to know. No more is said.
    Refused,
    /// The caller must wait so long.
    TooOften(Duration),
    /// The ledger, the store, the keys or the policies are missing or do not work.
    Unavailable,
}

/// Why a known caller was refused, for the ledger alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    TenantMismatch,
    NoRight,
    NotOurs,
    NotKept,
    TooOften,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::TenantMismatch => "tenant_mismatch",
            Self::NoRight => "reveal_no_right",
            Self::NotOurs => "reveal_not_ours",
            Self::NotKept => "reveal_not_kept",
            Self::TooOften => "reveal_too_often",
        }
    }
}

/// What a question came to, before it is written down.
enum Found {
    Value(Vec<u8>),
    Nothing(Reason),
}

impl Reveal {
    /// Ready to be asked.
    #[must_use]
    pub fn new(parts: RevealParts) -> Self {
        let pace = Pace::new(parts.settings.per_minute);
        Self { parts, pace }
    }

    /// The JSON text of the value behind a mask.
    ///
    /// # Errors
    /// It is not told.
    pub async fn reveal(
        &self,
        asking: Asking<'_>,
        question: Question<'_>,
    ) -> Result<Vec<u8>, Withheld> {
        let answer = self.answer(asking, question).await;
        let outcome = match &answer {
            Ok(_) => RevealOutcome::Revealed,
            Err(Withheld::Unidentified(_) | Withheld::Refused) => RevealOutcome::Refused,
            Err(Withheld::TooOften(_)) => RevealOutcome::Limited,
            Err(Withheld::Unavailable) => RevealOutcome::Unavailable,
        };
        RevealAsked(outcome).emit(&self.parts.telemetry);
        answer
    }

    async fn answer(
        &self,
        asking: Asking<'_>,
        question: Question<'_>,
    ) -> Result<Vec<u8>, Withheld> {
        let identified = self.parts.identifier.identify(asking.arrival).await;
        let caller = identified.map_err(Withheld::Unidentified)?.principal;
        let (Some(ledger), Some(in_force)) = (&self.parts.ledger, (self.parts.in_force)()) else {
            return Err(Withheld::Unavailable);
        };
        let tenant = caller.tenant.as_deref().unwrap_or_default();
        let told = |right: Option<&RevealRight>, found: Result<(), Reason>| {
            entry(&caller, &in_force, asking, question, right, found)
        };
        let wait = self.pace.wait(tenant, &caller.subject, Instant::now());
        if let Some(wait) = wait {
            ledger.record(told(None, Err(Reason::TooOften)));
            return Err(Withheld::TooOften(wait));
        }
        let headers = asking.arrival.headers;
        let right = right(&in_force, &caller, question);
        let found = match right {
            _ if self.parts.identifier.names_another_tenant(headers, asking.path, &caller) => {
                Found::Nothing(Reason::TenantMismatch)
            }
            None => Found::Nothing(Reason::NoRight),
            Some(right) => self.find(&in_force, tenant, right, question).await?,
        };
        let outcome = match &found {
            Found::Value(_) => Ok(()),
            Found::Nothing(reason) => Err(*reason),
        };
        // A value that nobody can be told of is told to nobody.
        let written = ledger.require(told(right, outcome)).await;
        match (found, written) {
            (Found::Value(value), Ok(())) => Ok(value),
            (Found::Value(_), Err(_)) => Err(Withheld::Unavailable),
            (Found::Nothing(_), _) => Err(Withheld::Refused),
        }
    }

    async fn find(
        &self,
        in_force: &InForce,
        tenant: &str,
        right: &RevealRight,
        question: Question<'_>,
    ) -> Result<Found, Withheld> {
        let keys = in_force.keys.as_ref().ok_or(Withheld::Unavailable)?;
        let field = format!("{}.{}", question.resource, right.field);
        match keys.reveal(question.mask, tenant, &field, question.record) {
            Ok(value) => return Ok(Found::Value(value)),
            Err(MaskError::NotReversible) => {}
            Err(_) => return Ok(Found::Nothing(Reason::NotOurs)),
        }
        let Ok(token) = keys.vault_token(question.mask, tenant, &field) else {
            return Ok(Found::Nothing(Reason::NotOurs));
        };
        let Some(map) = &self.parts.map else { return Ok(Found::Nothing(Reason::NotKept)) };
        let kept = map.look_up(tenant, &field, &token).await.map_err(|_| Withheld::Unavailable)?;
        let Some(sealed) = kept else { return Ok(Found::Nothing(Reason::NotKept)) };
        Ok(match keys.open_vaulted(&token, &sealed, tenant, &field) {
            Ok(value) => Found::Value(value),
            Err(_) => Found::Nothing(Reason::NotOurs),
        })
    }
}

/// The right of the caller to the field, if it has one.
fn right<'f>(
    in_force: &'f InForce,
    caller: &Principal,
    question: Question<'_>,
) -> Option<&'f RevealRight> {
    let known = caller.roles.iter().filter(|role| in_force.set.roles.contains_key(*role));
    let roles: Vec<String> = known.cloned().collect();
    let is_short = question.record.is_none_or(|record| record.len() <= LONGEST_RECORD);
    in_force.set.reveal_right(&roles, question.resource, question.field).filter(|_| is_short)
}

/// What the ledger is told. Names that no policy knows could be anything, so they stay out.
fn entry(
    caller: &Principal,
    in_force: &InForce,
    asking: Asking<'_>,
    question: Question<'_>,
    right: Option<&RevealRight>,
    found: Result<(), Reason>,
) -> AuditEntry {
    let is_known = in_force.set.resources.contains_key(question.resource);
    let fields = right.map(|right| FieldEntry {
        field: right.field.clone(),
        act: if found.is_ok() { "revealed" } else { "refused" }.to_owned(),
        count: 1,
        rule: "reveal".to_owned(),
        origin: right.origin.file_and_line(),
    });
    let objects: Vec<String> =
        question.record.filter(|_| right.is_some()).map(ToOwned::to_owned).into_iter().collect();
    let status = match found {
        Ok(()) => 200,
        Err(Reason::TooOften) => 429,
        Err(_) => 403,
    };
    AuditEntry {
        subject: Some(caller.subject.clone()),
        roles: caller.roles.clone(),
        tenant: caller.tenant.clone(),
        object_type: is_known.then(|| question.resource.to_owned()),
        object_count: objects.len() as u64,
        objects,
        fields: fields.into_iter().collect(),
        policy_revision: Some(in_force.revision.clone()),
        correlation_id: asking.correlation_id.to_owned(),
        method: "POST".to_owned(),
        route: Some(asking.path.to_owned()),
        status: Some(status),
        outcome: Some(if found.is_ok() { Outcome::Sending } else { Outcome::Refused }),
        reason: found.err().map(|reason| reason.name().to_owned()),
        ..AuditEntry::blank(Kind::Reveal, OffsetDateTime::now_utc())
    }
}
