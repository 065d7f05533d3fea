//! Leads read from the CRM for Fieldgate itself, by a credential of its own, to score them.
//!
//! What is read is understood and let go: nothing of a record leaves this file but its id, its score
//! and what the score was calculated from. Asks no faster than it was told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pingora_http::RequestHeader;
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::activities::KnownActivities;
use super::governance::{self, Governance};
use super::response_head;
use super::upstream::Crm;
use crate::config;
use crate::correlation::CorrelationId;
use crate::event::detect::id_of;
use crate::json::path::FieldPath;
use crate::json::select;
use crate::policy::scoring::Listing;
use crate::policy::{GovernedRoute, InForce};
use crate::score::{
    ACTIVITY_DAYS, Activities, ActivityRule, FetchRule, Inputs, Score, ScoringPlan,
};
use crate::score_history::{Basis, LeadKey, Scored};
use crate::telemetry::Refusal;

/// What the CRM is told of who asks.
const USER_AGENT: &str = concat!("fieldgate/", env!("CARGO_PKG_VERSION"));

/// Why something could not be read. Names are stable: they stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// The configuration has no credential for the company.
    NoCredential,
    /// The policies do not say where.
    NoRoute,
    /// The CRM has no such record.
    Gone,
    /// The CRM does not take the credential.
    NotAllowed,
    /// The CRM takes the credential, and does not let it read this.
    NotThis,
    /// The CRM gave no answer, or none that is a success.
    Upstream,
    /// The answer holds no record.
    NoRecord,
}

impl Unread {
    /// The stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::NoRoute => "no_route",
            Self::Gone => "gone",
            Self::NotAllowed | Self::NotThis => "not_allowed",
            Self::Upstream => "upstream",
            Self::NoRecord => "no_record",
        }
    }
}

impl From<Refusal> for Unread {
    fn from(_: Refusal) -> Self {
        Self::Upstream
    }
}

/// Policies, and a company and kind of lead under them.
pub(super) struct Subject<'a> {
    pub(super) policies: &'a Arc<InForce<Governance>>,
    /// The company; empty where there is none.
    pub(super) tenant: &'a str,
    pub(super) resource: &'a str,
}

impl Subject<'_> {
    /// The company as a caller has it.
    pub(super) fn company(&self) -> Option<&str> {
        (!self.tenant.is_empty()).then_some(self.tenant)
    }

    pub(super) fn plan(&self) -> Option<&Arc<ScoringPlan>> {
        let scoring = self.policies.snapshot.set().scoring.as_ref()?;
        scoring.plan(self.resource, self.company())
    }

    /// How the CRM lists all of them.
    pub(super) fn listing(&self) -> Option<&Listing> {
        let scoring = self.policies.snapshot.set().scoring.as_ref()?;
        scoring.leads.get(self.resource)?.listing.as_ref()
    }

    fn key(&self, lead: String) -> LeadKey {
        let (tenant, resource) = (self.tenant.to_owned(), self.resource.to_owned());
        LeadKey { tenant, resource, lead }
    }
}

/// One page of a list of leads.
pub(super) struct Page {
    pub(super) scores: Vec<Scored>,
    /// Records on the page, with those that cannot be scored.
    pub(super) records: usize,
    /// Path and query of the next page.
    pub(super) next: Option<String>,
    /// How many leads there are in all, as the CRM says.
    pub(super) total: Option<u64>,
}

/// Reads. One for the whole process.
pub(super) struct ScoreReader {
    crm: Arc<Crm>,
    credentials: Vec<(Option<String>, HeaderName, SecretString)>,
    pace: Mutex<Interval>,
    correlation_header: HeaderName,
    /// Most bytes of an answer.
    largest: usize,
    activities: Arc<KnownActivities>,
}

impl std::fmt::Debug for ScoreReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScoreReader").finish_non_exhaustive()
    }
}

impl ScoreReader {
    pub(super) fn new(
        crm: Arc<Crm>,
        settings: &config::Scores,
        correlation_header: HeaderName,
        largest: usize,
        activities: Arc<KnownActivities>,
    ) -> Self {
        let credentials = settings.service.iter().map(|credential| {
            (credential.company.clone(), credential.header.clone(), credential.value.clone())
        });
        let rate = u32::try_from(settings.rate.max(1)).unwrap_or(u32::MAX);
        let mut pace = interval(Duration::from_secs(1) / rate);
        // After a pause it does not make up for it.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            crm,
            credentials: credentials.collect(),
            pace: Mutex::new(pace),
            correlation_header,
            largest,
            activities,
        }
    }

    /// The companies whose leads can be read.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.credentials.iter().map(|(company, ..)| company.as_deref().unwrap_or_default())
    }

    /// Reads one lead and scores it.
    pub(super) async fn lead(&self, subject: &Subject<'_>, id: &str) -> Result<Scored, Unread> {
        let plan = subject.plan().ok_or(Unread::NoRoute)?;
        let routes = subject.policies.snapshot.routes();
        let (path, route) = routes.record_by_id(subject.resource, id).ok_or(Unread::NoRoute)?;
        let body = self.get(subject.tenant, &path.with_query(None)).await?;
        let records = records_of(&route, &body);
        let [record] = records.as_slice() else { return Err(Unread::NoRecord) };
        if !is_called(&route, record, id) {
            return Err(Unread::NoRecord);
        }
        let key = subject.key(id.to_owned());
        self.ask_for_activities(subject, plan, &key).await;
        self.score(plan, key, record).ok_or(Unread::NoRecord)
    }

    /// Reads one page of a list of leads and scores all that are on it.
    pub(super) async fn page(&self, subject: &Subject<'_>, target: &str) -> Result<Page, Unread> {
        let plan = subject.plan().ok_or(Unread::NoRoute)?;
        let listing = subject.listing().ok_or(Unread::NoRoute)?;
        let routes = subject.policies.snapshot.routes();
        let route = governance::lists(routes, subject.resource, target).ok_or(Unread::NoRoute)?;
        let body = self.get(subject.tenant, target).await?;
        let records = records_of(&route, &body);
        let id = route.resource.id.as_ref().ok_or(Unread::NoRoute)?;
        let mut scores = Vec::new();
        for record in &records {
            let Some(id) = one(record.as_bytes(), id).as_deref().and_then(id_of) else { continue };
            let key = subject.key(id);
            self.ask_for_activities(subject, plan, &key).await;
            scores.extend(self.score(plan, key, record));
        }
        let next = listing.next.as_ref().and_then(|path| one(&body, path));
        let next = next.as_deref().and_then(target_of).filter(|next| next != target);
        let total = listing.total.as_ref().and_then(|path| one(&body, path));
        let total = total.and_then(|total| total.parse().ok());
        Ok(Page { scores, records: records.len(), next, total })
    }

    /// Asks the CRM how many activities a lead has had, where its rules say so.
    pub(super) async fn activities_of(
        &self,
        subject: &Subject<'_>,
        key: &LeadKey,
    ) -> Result<(), Unread> {
        let plan = subject.plan().ok_or(Unread::NoRoute)?;
        let ActivityRule::Fetch(rule) = plan.activity_rule() else { return Ok(()) };
        let id = utf8_percent_encode(&key.lead, NON_ALPHANUMERIC).to_string();
        let body = self.get(subject.tenant, &rule.target.replace("{id}", &id)).await?;
        let now = OffsetDateTime::now_utc();
        self.activities.told(key.clone(), count(plan, rule, &body, now), now);
        Ok(())
    }

    /// Where the CRM does not tell, the number that was told before counts, or none.
    async fn ask_for_activities(&self, subject: &Subject<'_>, plan: &ScoringPlan, key: &LeadKey) {
        if matches!(plan.activity_rule(), ActivityRule::Fetch(_)) {
            let _ = self.activities_of(subject, key).await;
        }
    }

    fn score(&self, plan: &Arc<ScoringPlan>, key: LeadKey, record: &str) -> Option<Scored> {
        score_record(plan, &self.activities, key, record.as_bytes())
    }

    /// One answer of the CRM, whole.
    async fn get(&self, tenant: &str, target: &str) -> Result<Vec<u8>, Unread> {
        let company = (!tenant.is_empty()).then_some(tenant);
        let of_company = |(of, ..): &&(Option<String>, HeaderName, SecretString)| {
            of.as_deref().filter(|of| !of.is_empty()) == company
        };
        let credential = self.credentials.iter().find(of_company).ok_or(Unread::NoCredential)?;
        let head = self.head(target, credential).map_err(|()| Unread::NoRoute)?;
        self.pace.lock().await.tick().await;
        let (response, mut answer) = self.crm.call(&head, &Bytes::new()).await?;
        match response.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Unread::Gone),
            StatusCode::UNAUTHORIZED => return Err(Unread::NotAllowed),
            StatusCode::FORBIDDEN => return Err(Unread::NotThis),
            _ => return Err(Unread::Upstream),
        }
        response_head::check(&response)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > self.largest {
                return Err(Unread::Upstream);
            }
            body.extend_from_slice(&chunk);
        }
        self.crm.release(answer).await;
        Ok(body)
    }

    fn head(
        &self,
        target: &str,
        (_, name, value): &(Option<String>, HeaderName, SecretString),
    ) -> Result<RequestHeader, ()> {
        let correlation = CorrelationId::mint(&mut rand::rng());
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| ())?;
        value.set_sensitive(true);
        let host = self.crm.host_header().cloned().or_else(|| self.crm.authority()).ok_or(())?;
        let build = || -> pingora_core::Result<RequestHeader> {
            let mut head = RequestHeader::build(Method::GET, target.as_bytes(), Some(8))?;
            head.insert_header(header::HOST, host)?;
            head.insert_header(header::ACCEPT, "application/json")?;
            head.insert_header(header::ACCEPT_ENCODING, "identity")?;
            head.insert_header(header::USER_AGENT, USER_AGENT)?;
            head.insert_header(self.correlation_header.clone(), correlation.as_str())?;
            head.insert_header(name.clone(), value)?;
            Ok(head)
        };
        build().map_err(|_| ())
    }
}

/// The score of a record that is there as a whole; `None` where it is no JSON.
pub(super) fn score_record(
    plan: &Arc<ScoringPlan>,
    activities: &KnownActivities,
    key: LeadKey,
    record: &[u8],
) -> Option<Scored> {
    let now = OffsetDateTime::now_utc();
    let mut inputs = Inputs::at(now);
    inputs.see_record(plan, record).ok()?;
    let elsewhere = if plan.counts_elsewhere() {
        activities.of_lead(plan.activity_rule(), &key, now)
    } else {
        Activities::NONE
    };
    let score = Score::of(plan, &inputs, elsewhere, now);
    Some(Scored { key, score, basis: Basis { plan: Arc::clone(plan), inputs } })
}

/// Whether a record has the id by which it was asked for. Under another one, such as `me`, a lead
/// would have a second score, and one that somebody else is asked for by.
pub(super) fn is_called(route: &GovernedRoute, record: &str, id: &str) -> bool {
    let path = route.resource.id.as_ref();
    let own = path.and_then(|path| one(record.as_bytes(), path)).as_deref().and_then(id_of);
    own.as_deref() == Some(id)
}

/// The records in the answer of a route, as texts.
pub(super) fn records_of(route: &GovernedRoute, body: &[u8]) -> Vec<Box<str>> {
    route.declared().map_or_else(Vec::new, |declared| select(body, &declared.records))
}

/// The one value at a path.
fn one(text: &[u8], path: &FieldPath) -> Option<Box<str>> {
    let mut found = select(text, path).into_iter();
    found.next().filter(|_| found.next().is_none())
}

/// How many activities in an answer lie in the last thirty days.
fn count(plan: &ScoringPlan, rule: &FetchRule, body: &[u8], now: OffsetDateTime) -> u32 {
    let since = now.checked_sub(time::Duration::days(ACTIVITY_DAYS)).unwrap_or(now);
    let most = usize::try_from(rule.most).unwrap_or(usize::MAX);
    let records = select(body, &rule.records);
    let moments = records.iter().take(most).filter_map(|record| {
        let at = one(record.as_bytes(), &rule.at)?;
        plan.moment(at.as_bytes())
    });
    let recent = moments.filter(|at| (since..=now).contains(at)).count();
    u32::try_from(recent).unwrap_or(u32::MAX)
}

/// Path and query of a link, whatever host it names: CRMs name themselves by what they know, and
/// only the CRM is ever asked.
fn target_of(link: &str) -> Option<String> {
    let link: String = serde_json::from_str(link).ok()?;
    let target = match link.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => link.as_str(),
    };
    let target = target.split('#').next().unwrap_or_default();
    let is_target = target.starts_with('/')
        && !target.starts_with("//")
        && target.bytes().all(|byte| byte.is_ascii_graphic());
    is_target.then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_targets() {
        for (link, target) in [
            (
                r#""http://crm.internal/api/leads/?page=2&page_size=5""#,
                Some("/api/leads/?page=2&page_size=5"),
            ),
            (r#""/api/leads/?page=2#top""#, Some("/api/leads/?page=2")),
            (r#""https://crm.internal""#, None),
            (r#""//elsewhere/api/leads/""#, None),
            (r#""?page=2""#, None),
            (r#""/a b""#, None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(target_of(link).as_deref(), target, "{link}");
        }
    }
}
