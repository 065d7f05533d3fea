//! One entry, made from the record of an exchange. It has names, ids and counts; a value of the CRM
//! has no way into it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::telemetry::{Exchange, Refusal};

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An answer to a known caller, or that there was none.
    Answer,
    /// A mask that somebody asked to turn back into its value.
    Reveal,
    /// Older entries were removed because their time was over.
    Retention,
    /// The ledger was found damaged when it was opened.
    Damage,
}

/// How an exchange ended, as far as the entry knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is about to be sent whole.
    Sending,
    /// The answer is about to be sent piece by piece; another entry tells how that ended.
    Streaming,
    /// The answer was sent.
    Sent,
    /// It was refused, and nothing of the CRM's answer was sent.
    Refused,
    /// It was broken off; a part may have been sent.
    BrokenOff,
}

/// A field of the answer and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldEntry {
    /// The field, as the policies write its path.
    pub field: String,
    /// `shown`, `masked` or `hidden`.
    pub act: String,
    /// How many values.
    pub count: u64,
    /// The name of the rule that said so.
    pub rule: String,
    /// Where the rule stands: `file:line`.
    pub origin: String,
}

/// One entry. The order of the fields is that of the text which is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What it is about.
    pub kind: Kind,
    /// Who asked.
    pub subject: Option<String>,
    /// The caller's roles.
    pub roles: Vec<String>,
    /// The caller's company.
    pub tenant: Option<String>,
    /// The object type: `lead`.
    pub object_type: Option<String>,
    /// The ids of the records, the first hundred.
    pub objects: Vec<String>,
    /// How many records there were.
    pub object_count: u64,
    /// What became of the fields, as far as rules are told.
    pub fields: Vec<FieldEntry>,
    /// How many values were masked.
    pub masked: u64,
    /// How many members were removed.
    pub hidden: u64,
    /// The policies that the request began with.
    pub policy_revision: Option<String>,
    /// The id that the request carried everywhere.
    pub correlation_id: String,
    /// The method.
    pub method: String,
    /// The template of the route.
    pub route: Option<String>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it was refused or broken off; for other kinds, what happened.
    pub reason: Option<String>,
}

impl AuditEntry {
    /// The entry of an exchange of a known caller; `None` where nobody is known to have asked.
    #[must_use]
    pub fn of(exchange: &Exchange, outcome: Outcome, now: OffsetDateTime) -> Option<Self> {
        let subject = exchange.user_id()?.to_owned();
        let fields = exchange.touched.met().map(|(touched, count)| FieldEntry {
            field: touched.field.as_ref().to_owned(),
            act: touched.act.name().to_owned(),
            count,
            rule: touched.rule.as_ref().to_owned(),
            origin: touched.origin.as_ref().to_owned(),
        });
        Some(Self {
            time: timestamp(now),
            kind: Kind::Answer,
            subject: Some(subject),
            roles: exchange.roles().to_vec(),
            tenant: exchange.org_id().map(str::to_owned),
            object_type: exchange.resource.as_deref().map(str::to_owned),
            objects: exchange.objects().to_vec(),
            object_count: exchange.object_count(),
            fields: fields.collect(),
            masked: exchange.masked,
            hidden: exchange.hidden,
            policy_revision: exchange.policy_revision.as_deref().map(str::to_owned),
            correlation_id: exchange.correlation_id.clone(),
            method: exchange.method.name().to_owned(),
            route: exchange.route.as_deref().map(str::to_owned),
            status: exchange.status,
            outcome: Some(outcome),
            reason: exchange.refusal.map(|refusal| Refusal::name(refusal).to_owned()),
        })
    }

    /// An entry of the ledger about itself.
    pub(super) fn about_itself(kind: Kind, reason: String, now: OffsetDateTime) -> Self {
        Self { reason: Some(reason), ..Self::blank(kind, now) }
    }

    /// An entry that says nothing yet.
    #[must_use]
    pub fn blank(kind: Kind, now: OffsetDateTime) -> Self {
        Self {
            time: timestamp(now),
            kind,
            subject: None,
            roles: Vec::new(),
            tenant: None,
            object_type: None,
            objects: Vec::new(),
            object_count: 0,
            fields: Vec::new(),
            masked: 0,
            hidden: 0,
            policy_revision: None,
            correlation_id: String::new(),
            method: String::new(),
            route: None,
            status: None,
            outcome: None,
            reason: None,
        }
    }

    /// The text that is kept and hashed.
    ///
    /// # Errors
    /// Never for an entry made here.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// The text is none.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Each object as `lead/42`, for looking up.
    pub fn object_names(&self) -> impl Iterator<Item = String> {
        let of = self.object_type.as_deref().unwrap_or_default();
        self.objects.iter().map(move |id| format!("{of}/{id}"))
    }
}

/// RFC 3339 with milliseconds, of a moment in UTC.
pub(super) fn timestamp(moment: OffsetDateTime) -> String {
    moment.format(TIMESTAMP).unwrap_or_default()
}

/// Milliseconds since 1970, for comparing.
pub(super) fn milliseconds(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// What [`timestamp`] wrote, in milliseconds since 1970.
pub(super) fn read_timestamp(text: &str) -> Option<i64> {
    let read = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    read.ok().map(milliseconds)
}
