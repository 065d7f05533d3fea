//! A watched write on its way through the journal: recorded before it is forwarded, concluded
//! before the client is answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::admit::Call;
use super::collector::Passed;
use super::governance::Governance;
use super::views::Views;
use crate::condition::Side;
use crate::event::Event;
use crate::event::detect::{
    self, Answer, Beside, DataPlan, DataSource, Detected, Observed, ObservedWrite, Old, Values,
};
use crate::event::journal::{
    Intent, Journal, JournalError, OUTCOME_UNKNOWN, Outcome, Unknown, Unseen,
};
use crate::event::last_seen::{LastSeen, Seal};
use crate::event::seen::RecordKey;
use crate::json::filter::FilterLimits;
use crate::json::path::FieldPath;
use crate::json::select;
use crate::policy::emits::Previous;
use crate::policy::{GovernedRoute, Write};
use crate::telemetry::{
    EventsRecorded, RecordsLeftOut, Refusal, Telemetry, WriteMoment, WriteObserved, WriteOutcome,
    WriteUnrecorded,
};

/// Records writes. One for the whole process.
#[derive(Debug)]
pub struct Recorder {
    /// Where they are recorded.
    pub journal: Journal,
    /// What records looked like before.
    pub last_seen: LastSeen,
    /// The roles that read events.
    pub readers: Readers,
    /// How long recording may take before the write is refused.
    pub patience: Duration,
    /// Whether a write that could not be recorded is forwarded all the same.
    pub passes: bool,
}

/// The roles that read events. Clones share them; more may come while writes are recorded.
#[derive(Debug, Clone, Default)]
pub struct Readers(Arc<ArcSwap<BTreeSet<String>>>);

impl Readers {
    /// Those that read them now.
    pub(super) fn now(&self) -> Arc<BTreeSet<String>> {
        self.0.load_full()
    }

    /// From now on this role reads events too.
    pub fn add(&self, role: &str) {
        self.0.rcu(|roles| {
            let mut roles = BTreeSet::clone(roles);
            roles.insert(role.to_owned());
            roles
        });
    }
}

/// What is known of a write before it is forwarded.
pub(super) struct Before<'a> {
    pub(super) call: &'a Call,
    pub(super) route: &'a GovernedRoute,
    pub(super) method: &'a Method,
    pub(super) actor: Option<&'a str>,
    pub(super) correlation_id: &'a str,
    pub(super) traceparent: String,
}

/// A watched write under way.
#[must_use = "a write that is not concluded is reported as unknown"]
pub(super) struct Recording {
    intent: Intent,
    write: Write,
    /// Whether the intent is on disk.
    is_recorded: bool,
    old: Old,
    /// Whether some rule compares old values.
    looks_back: bool,
}

/// What the CRM answered.
pub(super) struct Answered<'a> {
    pub(super) status: StatusCode,
    pub(super) location: Option<&'a str>,
    /// The raw body; `None` where there was none that could be read.
    pub(super) body: Option<&'a [u8]>,
    /// The records that passed the filter.
    pub(super) passed: Vec<Passed>,
    /// How many passed beyond those.
    pub(super) left_out: u64,
    /// Whether an earlier attempt may have been carried out as well.
    pub(super) is_repeated: bool,
    pub(super) limits: FilterLimits,
}

/// An event of a write.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) id: Uuid,
    pub(super) event_type: String,
}

/// A watched write that is over.
#[must_use = "nobody hears of it before it is told"]
pub(super) struct Concluded {
    recorded: Recorded,
    outcome: WriteOutcome,
    told: Vec<Told>,
    left_out: u64,
    resource: String,
    correlation_id: String,
}

impl Concluded {
    /// Counts and logs it; the ids of its events.
    pub(super) fn tell(self, telemetry: &Telemetry) -> Vec<Uuid> {
        let (resource, correlation_id) = (&*self.resource, &*self.correlation_id);
        WriteObserved { outcome: self.outcome, resource, correlation_id }.emit(telemetry);
        RecordsLeftOut { records: self.left_out, resource, correlation_id }.emit(telemetry);
        match self.recorded {
            Recorded::Safely => {
                let types = self.told.iter().map(|event| event.event_type.as_str()).collect();
                EventsRecorded { types }.emit(telemetry);
            }
            Recorded::Not => WriteUnrecorded { moment: WriteMoment::Outcome }.emit(telemetry),
        }
        self.told.iter().map(|event| event.id).collect()
    }
}

/// What became of recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It is on disk.
    Safely,
    /// It is not, and the operator chose to go on.
    Not,
}

impl Recorder {
    /// What is known of the record that a path is about.
    pub(super) async fn last_seen(&self, before: &Before<'_>) -> Old {
        let Some(key) = key(before.call, before.route) else { return Old::Unknown };
        let snapshot = &before.call.policies.snapshot;
        let Some(watched) = snapshot.watched(&before.route.resource.name) else {
            return Old::Unknown;
        };
        Old::Known(self.last_seen.get(&key, watched.remembered(), &Sealing(snapshot)).await)
    }

    /// Records that a write is about to be forwarded.
    pub(super) async fn begin(
        &self,
        before: Before<'_>,
        write: Write,
        old: Old,
    ) -> Result<(Recording, Recorded), Refusal> {
        let Before { call, route, method, actor, correlation_id, traceparent } = before;
        let intent = Intent {
            id: Uuid::now_v7(),
            method: method.as_str().to_owned(),
            route: route.template.to_string(),
            resource: route.resource.name.clone(),
            record: route.record_id(&call.path),
            tenant: call.tenant.clone(),
            actor: actor.map(ToOwned::to_owned),
            correlation_id: correlation_id.to_owned(),
            traceparent: Some(traceparent),
            policy_revision: call.policies.revision.as_str().to_owned(),
            causation: call.causation,
            time: OffsetDateTime::now_utc(),
        };
        let begun = timeout(self.patience, self.journal.begin(intent.clone())).await;
        let is_recorded = matches!(begun, Ok(Ok(())));
        if begun.is_err() {
            // It may be recorded yet, and nothing will have come of it.
            self.close_later(intent.id);
        }
        if !is_recorded && !self.passes {
            return Err(Refusal::StoreUnavailable);
        }
        let recorded = if is_recorded { Recorded::Safely } else { Recorded::Not };
        let looks_back = route.resource.previous_of(route.route, method) != Previous::None;
        Ok((Recording { intent, write, is_recorded, old, looks_back }, recorded))
    }

    fn close_later(&self, write: Uuid) {
        let journal = self.journal.clone();
        tokio::spawn(async move {
            // Runs behind the intent, for the store keeps the order of what it is given.
            let _ = journal.finish(write, OffsetDateTime::now_utc(), Outcome::NotForwarded).await;
        });
    }

    /// Concludes a write that was not answered: either it never left, or nobody knows.
    pub(super) async fn abandon(&self, recording: Recording, reason: Refusal) -> Concluded {
        let never_left = matches!(
            reason,
            Refusal::UpstreamConnect | Refusal::UpstreamConnectTimeout | Refusal::MalformedRequest
        );
        if never_left {
            let end = (WriteOutcome::NotForwarded, Outcome::NotForwarded);
            return self.finish(recording, end, Vec::new(), 0).await;
        }
        self.unknown(recording).await
    }

    /// Nobody knows what became of a write, so neither is known what its record is now.
    async fn unknown(&self, recording: Recording) -> Concluded {
        let Intent { id, tenant, resource, record, .. } = &recording.intent;
        self.forget(tenant.as_deref(), resource, record.as_deref());
        let told = Told { id: *id, event_type: OUTCOME_UNKNOWN.to_owned() };
        self.finish(recording, (WriteOutcome::Unknown, Outcome::NoAnswer), vec![told], 0).await
    }

    /// Forgets the records of the writes that an earlier process left open.
    pub(crate) fn forget_all(&self, recovered: &[Unknown]) {
        for Unknown { tenant, resource, record, .. } in recovered {
            self.forget(tenant.as_deref(), resource, record.as_deref());
        }
    }

    fn forget(&self, tenant: Option<&str>, resource: &str, record: Option<&str>) {
        let Some(record) = record else { return };
        self.last_seen.forget(RecordKey {
            tenant: tenant.unwrap_or_default().to_owned(),
            resource: resource.to_owned(),
            record: record.to_owned(),
        });
    }

    /// Concludes a write by what the CRM answered, and remembers what its records are now.
    pub(super) async fn conclude(
        &self,
        recording: Recording,
        call: &Call,
        route: &GovernedRoute,
        method: &Method,
        answered: Answered<'_>,
    ) -> Concluded {
        let governance = &call.policies.snapshot;
        let seal = Sealing(governance);
        let body = answered.body.unwrap_or_default();
        let records = self.observed(&recording, call, route, answered.passed).await;
        let id_in_path = route.record_id(&call.path);
        let id_in_location = answered.location.and_then(|location| {
            governance.routes().id_in_location(&route.resource.name, location)
        });
        let created = beside(route, method, recording.write, body);
        let observed = ObservedWrite {
            resource: &route.resource,
            route: route.route,
            method,
            status: answered.status,
            success: detect::success_of(&route.resource, &answer(route, answered.body)),
            records: &records,
            created: &created.iter().map(|(beside, _)| beside.clone()).collect::<Vec<_>>(),
            id_in_path: id_in_path.as_deref(),
            id_in_location: id_in_location.as_deref(),
        };
        let (written, detected) = match detect::detect(&observed) {
            detect::Outcome::Unknown => return self.unknown(recording).await,
            // The CRM may have carried out the first attempt, and refused the second for that.
            detect::Outcome::Refused if answered.is_repeated => {
                return self.unknown(recording).await;
            }
            detect::Outcome::Refused => (WriteOutcome::Refused, Vec::new()),
            detect::Outcome::NotAWrite => (WriteOutcome::Answered, Vec::new()),
            detect::Outcome::Happened(detected) => (WriteOutcome::Answered, detected),
        };
        let unseen = if detected.is_empty() {
            Vec::new()
        } else {
            unseen(route, method, recording.write, answered.body, answered.left_out)
        };
        if !detected.is_empty() {
            self.remember(call, route, recording.write, &records, &seal);
        }
        let views =
            Views { governance, route, tenant: call.tenant.as_deref(), limits: answered.limits };
        let account = Account { views, body, records: &records, created: &created };
        let mut events = self.events(&recording.intent, detected, &account);
        let now = OffsetDateTime::now_utc();
        let unseen = unseen.into_iter();
        events.extend(unseen.map(|unseen| Journal::unseen(&recording.intent, unseen, now)));
        let told = events.iter();
        let told = told.map(|event| Told { id: event.id, event_type: event.event_type.clone() });
        let told = told.collect();
        let outcome = Outcome::Answered { status: answered.status.as_u16(), events };
        self.finish(recording, (written, outcome), told, answered.left_out).await
    }

    /// The records of the answer, each with what it was before.
    async fn observed(
        &self,
        recording: &Recording,
        call: &Call,
        route: &GovernedRoute,
        passed: Vec<Passed>,
    ) -> Vec<Observed> {
        let single = passed.len() <= 1;
        if passed.is_empty() {
            return vec![Observed { id: None, values: None, old: recording.old.clone() }];
        }
        let seal = Sealing(&call.policies.snapshot);
        let watched = seal.0.watched(&route.resource.name);
        // What was created has no old values, and others only where a rule compares them.
        let is_compared = recording.looks_back && recording.write != Write::Created;
        let mut observed = Vec::with_capacity(passed.len());
        for Passed { id, values, is_cut } in passed {
            let old = match (&recording.old, &id, &watched) {
                // Looked up before the write, by the path.
                (Old::Known(_), _, _) if single => recording.old.clone(),
                (Old::Known(_) | Old::Unknown, Some(id), Some(watched)) if is_compared => {
                    let key = RecordKey { record: id.clone(), ..subject(call, route) };
                    Old::Known(self.last_seen.get(&key, watched.remembered(), &seal).await)
                }
                (Old::Known(_) | Old::Unknown, _, _) => Old::Unknown,
            };
            // Of a record that was cut nobody knows which members it has.
            observed.push(Observed { id, values: (!is_cut).then_some(values), old });
        }
        observed
    }

    fn remember(
        &self,
        call: &Call,
        route: &GovernedRoute,
        write: Write,
        records: &[Observed],
        seal: &Sealing<'_>,
    ) {
        let in_path = route.record_id(&call.path);
        for record in records {
            let id = record.id.clone().or_else(|| in_path.clone().filter(|_| records.len() == 1));
            let Some(id) = id else { continue };
            let key = RecordKey { record: id, ..subject(call, route) };
            match (write, &record.values) {
                (Write::Created | Write::Updated | Write::Nothing, Some(values)) => {
                    self.saw(key, values, seal);
                }
                // Gone, or changed and nobody saw into what.
                (Write::Deleted, _) | (_, None) => self.last_seen.forget(key),
            }
        }
    }

    /// Remembers the records of an answer to a read.
    pub(super) fn saw_all(&self, call: &Call, route: &GovernedRoute, passed: Vec<Passed>) {
        let seal = Sealing(&call.policies.snapshot);
        for Passed { id, values, is_cut } in passed {
            let Some(id) = id else { continue };
            let key = RecordKey { record: id, ..subject(call, route) };
            if is_cut {
                // What is remembered may be older than what was not looked at.
                self.last_seen.forget(key);
            } else {
                self.saw(key, &values, &seal);
            }
        }
    }

    fn saw(&self, key: RecordKey, values: &Values, seal: &Sealing<'_>) {
        let Some(watched) = seal.0.watched(&key.resource) else { return };
        let kept = values.iter().filter(|(path, _)| watched.remembered().contains(path));
        let kept: Values = kept.map(|(path, value)| (path.clone(), value.clone())).collect();
        if !kept.is_empty() {
            self.last_seen.put(key, kept, OffsetDateTime::now_utc(), seal);
        }
    }

    /// The events as they are kept: each with the views of every role that reads it.
    fn events(
        &self,
        intent: &Intent,
        detected: Vec<Detected>,
        account: &Account<'_>,
    ) -> Vec<Event> {
        let readers = self.readers.now();
        let seen: Vec<(&String, Seen)> =
            readers.iter().map(|role| (role, account.seen_by(role))).collect();
        let time = OffsetDateTime::now_utc();
        // Those created beside come last, in their order.
        let first_beside = detected.len().saturating_sub(account.created.len());
        let event = |(at, detected): (usize, Detected)| {
            let place = at.checked_sub(first_beside);
            let views = seen
                .iter()
                .filter_map(|(role, seen)| {
                    Some(((*role).clone(), account.data(&detected, place, role, seen)?))
                })
                .collect();
            Event {
                id: Uuid::now_v7(),
                event_type: detected.event_type,
                resource: detected.resource,
                record: detected.record,
                time,
                tenant: intent.tenant.clone(),
                actor: intent.actor.clone(),
                correlation_id: intent.correlation_id.clone(),
                traceparent: intent.traceparent.clone(),
                policy_revision: intent.policy_revision.clone(),
                write: intent.id,
                views,
            }
        };
        detected.into_iter().enumerate().map(event).collect()
    }

    async fn finish(
        &self,
        recording: Recording,
        (written, outcome): (WriteOutcome, Outcome),
        told: Vec<Told>,
        left_out: u64,
    ) -> Concluded {
        let resource = recording.intent.resource.clone();
        let correlation_id = recording.intent.correlation_id.clone();
        let now = OffsetDateTime::now_utc();
        let done = if recording.is_recorded {
            self.journal.finish(recording.intent.id, now, outcome).await
        } else {
            self.journal.record(recording.intent, now, outcome).await
        };
        let recorded = match done {
            Ok(()) => Recorded::Safely,
            Err(JournalError::Store(_) | JournalError::NotOpen(_)) => Recorded::Not,
        };
        Concluded { recorded, outcome: written, told, left_out, resource, correlation_id }
    }
}

/// The record that a path is about.
fn key(call: &Call, route: &GovernedRoute) -> Option<RecordKey> {
    Some(RecordKey { record: route.record_id(&call.path)?, ..subject(call, route) })
}

fn subject(call: &Call, route: &GovernedRoute) -> RecordKey {
    RecordKey {
        tenant: call.tenant.clone().unwrap_or_default(),
        resource: route.resource.name.clone(),
        record: String::new(),
    }
}

/// The records of other resources in an answer, each with its text.
fn beside(
    route: &GovernedRoute,
    method: &Method,
    write: Write,
    body: &[u8],
) -> Vec<(Beside, FieldPath)> {
    let mut found = Vec::new();
    for (number, create) in route.resource.events.creates.iter().enumerate() {
        if !create.covers(route.route, method, write) {
            continue;
        }
        for text in select(body, &create.at) {
            if &*text == "null" {
                continue;
            }
            let id = create.id.as_ref().and_then(|id| {
                select(text.as_bytes(), id).first().and_then(|id| detect::id_of(id))
            });
            found.push((Beside { create: number, id }, create.at.clone()));
        }
    }
    found
}

/// What a write did and its answer did not show us.
fn unseen(
    route: &GovernedRoute,
    method: &Method,
    write: Write,
    body: Option<&[u8]>,
    left_out: u64,
) -> Vec<Unseen> {
    let creates = &route.resource.events.creates;
    let may_create = creates.iter().any(|create| create.covers(route.route, method, write));
    let created = (body.is_none() && may_create).then_some(Unseen::Created);
    let records = (left_out > 0).then_some(Unseen::Records(left_out));
    created.into_iter().chain(records).collect()
}

/// The answer as far as the condition looks at it that says whether a write has happened.
fn answer(route: &GovernedRoute, body: Option<&[u8]>) -> Answer {
    let body = match body {
        None => return Answer::Unreadable,
        Some([]) => return Answer::Empty,
        Some(body) => body,
    };
    let paths = route.resource.events.success.paths();
    let values = paths.into_iter().filter_map(|path| {
        let value = match select(body, path).as_slice() {
            [] => return None,
            [one] => one.clone(),
            // Of two values nobody knows which one counts.
            [_, _, ..] => Box::from(""),
        };
        Some((path.as_str().into(), value))
    });
    Answer::Json(values.collect())
}

/// What there is to tell of a write.
struct Account<'a> {
    views: Views<'a>,
    body: &'a [u8],
    records: &'a [Observed],
    created: &'a [(Beside, FieldPath)],
}

/// What one role sees of it.
struct Seen {
    /// The records of the answer.
    records: Vec<Option<Box<str>>>,
    /// The whole answer.
    answer: Vec<u8>,
}

impl Account<'_> {
    /// A role that the policies do not know, or whose view cannot be made, sees nothing.
    fn seen_by(&self, role: &str) -> Seen {
        let Ok((records, answer)) = self.views.records(role, self.body) else {
            return Seen { records: Vec::new(), answer: Vec::new() };
        };
        Seen { records, answer }
    }

    /// What an event says to a role.
    fn data(
        &self,
        event: &Detected,
        beside: Option<usize>,
        role: &str,
        seen: &Seen,
    ) -> Option<Box<RawValue>> {
        let mut members: Vec<(String, String)> = Vec::new();
        if event.record.is_none() {
            members.push(("id".to_owned(), "null".to_owned()));
        }
        let record = match (event.observed, beside) {
            (_, Some(place)) => self.record_beside(place, role, seen),
            (Some(at), None) => seen.records.get(at).cloned().flatten(),
            (None, None) => None,
        };
        if let Some(record) = record {
            members.push(("record".to_owned(), record.into_string()));
        }
        let observed = event.observed.and_then(|at| self.records.get(at));
        self.entries(&event.data, observed, role, &mut members);
        let members: Vec<String> = members
            .iter()
            .map(|(name, text)| format!("{}:{text}", serde_json::Value::from(name.as_str())))
            .collect();
        RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
    }

    fn entries(
        &self,
        plan: &DataPlan,
        observed: Option<&Observed>,
        role: &str,
        members: &mut Vec<(String, String)>,
    ) {
        let side = |values: Option<&Values>| {
            let id = observed.and_then(|observed| observed.id.as_deref());
            values.and_then(|values| self.views.part(role, id, values).ok()).unwrap_or_default()
        };
        let needs = |wanted: Side| {
            plan.entries.iter().any(|entry| {
                matches!(&entry.source, DataSource::Field { side, known: true, .. } if *side == wanted)
            })
        };
        let old = match observed.map(|observed| &observed.old) {
            Some(Old::Known(values)) if needs(Side::Old) => side(Some(values)),
            Some(Old::Known(_) | Old::Unknown) | None => Vec::new(),
        };
        let new = match observed.and_then(|observed| observed.values.as_ref()) {
            Some(values) if needs(Side::New) => side(Some(values)),
            Some(_) | None => Vec::new(),
        };
        for entry in &plan.entries {
            let text = match &entry.source {
                DataSource::Constant(text) => text.clone(),
                DataSource::Field { known: false, .. } => "null".to_owned(),
                DataSource::Field { side, path, known: true } => {
                    let part = match side {
                        Side::Old => &old,
                        Side::New => &new,
                    };
                    match select(part, path).as_slice() {
                        // Not for this role.
                        [] => continue,
                        [one] => one.to_string(),
                        several => format!("[{}]", several.join(",")),
                    }
                }
            };
            members.push((entry.name.clone(), text));
        }
        let unknown: Vec<&str> = plan.unknown().collect();
        if !unknown.is_empty() {
            members.push(("unknown".to_owned(), serde_json::Value::from(unknown).to_string()));
        }
        if plan.undecided {
            members.push(("undecided".to_owned(), "true".to_owned()));
        }
    }

    /// A record of another resource, as both resources let the role see it.
    fn record_beside(&self, place: usize, role: &str, seen: &Seen) -> Option<Box<str>> {
        let (beside, at) = self.created.get(place)?;
        let before = self.created.iter().take(place);
        let nth = before.filter(|(other, _)| other.create == beside.create).count();
        let create = self.views.route.resource.events.creates.get(beside.create)?;
        let all = select(self.body, at);
        let shown = select(&seen.answer, at);
        // Where the role sees fewer of them, it is not known which.
        let text = shown.get(nth).filter(|_| all.len() == shown.len())?;
        let shown = self.views.as_record_of(&create.resource, role, None, text.as_bytes()).ok()?;
        String::from_utf8(shown).ok().map(String::into_boxed_str)
    }
}

/// Seals by the key ring of the policies in force. Without a ring nothing is sealed, so nothing is
/// stored.
struct Sealing<'a>(&'a Governance);

impl Seal for Sealing<'_> {
    fn seal(&self, key: &RecordKey, field: &str, value: &str) -> Option<Vec<u8>> {
        self.0.seal(&key.tenant, &sealed_field(key, field), value)
    }

    fn open(&self, key: &RecordKey, field: &str, sealed: &[u8]) -> Option<Box<str>> {
        self.0.open(&key.tenant, &sealed_field(key, field), sealed)
    }
}

/// Values of one field of one record are sealed for nothing else.
fn sealed_field(key: &RecordKey, field: &str) -> String {
    format!("last seen {} {} {field}", key.resource, key.record)
}
