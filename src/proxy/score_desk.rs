//! The scoring API as operators have it: by what is known, else by asking the CRM.
//!
//! An operator is told the whole score, or what the roles are told that the question names. Clients
//! have the same questions answered by the street, see `score_street`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::governance::Governance;
use super::score_call::{Parameters, Text, Wanted, asked_ids, asks_for_all};
use super::score_keeping::ScoreKeeper;
use super::score_reading::Unread;
use super::score_refresh::{Progress, ScoreRefresher};
use crate::policy::scoring::ScoreApi;
use crate::policy::{CanonicalPath, InForce, PolicyStore};
use crate::problem::Problem;
use crate::score::{ComponentSet, Disclosure, Rendering, Score};
use crate::score_history::{Last, LeadKey, RefreshKind};
use crate::telemetry::{ScoreLookedUp, Telemetry};

/// What became of new rules for a company.
#[derive(Debug)]
pub enum Configured {
    /// They hold.
    InForce {
        /// The revision of the policies with them.
        revision: String,
        /// What is doubtful about them, in one line each.
        warnings: Vec<String>,
    },
    /// They have faults, in one line each.
    Faulty(Vec<String>),
    /// Nothing can be called as the company is.
    NoCompany,
    /// They are good, and the folder of policies cannot be written.
    NotWritten,
    /// They are written, and not in force: the folder changed at the same time.
    WrittenNotInForce,
}

/// Puts rules for a company in force: its id, and the text of its file. Blocks.
pub type Configure = Arc<dyn Fn(&str, &str) -> Configured + Send + Sync>;

/// Answers operators. Clones share everything.
#[derive(Clone)]
pub struct ScoreDesk {
    policies: Arc<PolicyStore<Governance>>,
    keeper: ScoreKeeper,
    refresher: ScoreRefresher,
    configure: Configure,
    telemetry: Telemetry,
}

impl std::fmt::Debug for ScoreDesk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScoreDesk").finish_non_exhaustive()
    }
}

/// The last known score of a lead.
struct Known {
    score: Arc<Score>,
    is_stale: bool,
}

/// Whose eyes an answer is for.
struct Viewer<'a> {
    governance: &'a Governance,
    resource: &'a str,
    tenant: &'a str,
    /// None for the operator's own.
    roles: &'a [String],
}

impl Viewer<'_> {
    fn sees<'s>(&self, score: &'s Score) -> Option<Rendering<'s>> {
        if self.roles.is_empty() {
            return Rendering::of(score, Disclosure::Full, ComponentSet::NONE);
        }
        let company = (!self.tenant.is_empty()).then_some(self.tenant);
        self.governance.kept_rendering(self.resource, company, self.roles, score)
    }
}

impl ScoreDesk {
    /// A desk over these.
    #[must_use]
    pub fn new(
        policies: Arc<PolicyStore<Governance>>,
        keeper: ScoreKeeper,
        refresher: ScoreRefresher,
        configure: Configure,
        telemetry: Telemetry,
    ) -> Self {
        Self { policies, keeper, refresher, configure, telemetry }
    }

    pub(super) fn configure(&self) -> Configure {
        Arc::clone(&self.configure)
    }

    /// Answers with JSON, or says why not.
    ///
    /// # Errors
    /// The question cannot be answered.
    pub async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: Bytes,
    ) -> Result<Vec<u8>, Problem> {
        let wanted = CanonicalPath::parse(path).ok().and_then(|path| Wanted::of(&path));
        let wanted = wanted.ok_or_else(|| Problem::about_blank(StatusCode::NOT_FOUND))?;
        if !wanted.takes(method) {
            return Err(Problem::about_blank(StatusCode::METHOD_NOT_ALLOWED));
        }
        let parameters = Parameters::read(query).ok_or_else(|| {
            invalid("the query takes `resource`, `company`, `role`, several times, and `limit`")
        })?;
        let policies = self.policies.current();
        let policies =
            policies.ok_or_else(|| Problem::about_blank(StatusCode::SERVICE_UNAVAILABLE))?;
        let scoring = policies.snapshot.set().scoring.as_ref();
        if scoring.is_none_or(|scoring| scoring.api == ScoreApi::Off) {
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_scoring", "No scoring API")
                .detail("the policies have no `scoring.yaml`, or `api` in it is `off`"));
        }
        match &wanted {
            Wanted::Configure(company) => return self.configured(company, &body).await,
            Wanted::Refresh => return self.refresh(method, &body),
            Wanted::Score(_) | Wanted::Bulk | Wanted::History(_) => {}
        }
        let resource = parameters.resource(&policies.snapshot).ok_or_else(|| {
            invalid("`resource` names the kind of lead, where the policies know several")
        })?;
        let tenant = parameters.company.as_deref().unwrap_or_default();
        let unknown = |role: &&String| !policies.snapshot.set().roles.contains_key(*role);
        if parameters.roles.iter().any(|role| unknown(&role)) {
            return Err(invalid("`role` names a role that the policies know"));
        }
        let governance = &policies.snapshot;
        let viewer = Viewer { governance, resource, tenant, roles: &parameters.roles };
        let key = |lead: &str| LeadKey {
            tenant: tenant.to_owned(),
            resource: resource.to_owned(),
            lead: lead.to_owned(),
        };
        let mut text = Text::default();
        match &wanted {
            Wanted::Score(lead) => {
                let known = self.known(&policies, &key(lead)).await?;
                let rendering = viewer.sees(&known.score).ok_or_else(withheld)?;
                text.score(lead, &rendering, &known.more());
            }
            Wanted::History(lead) => {
                let past = self.keeper.history().history(key(lead), parameters.most_past()).await;
                let past =
                    past.map_err(|_| Problem::about_blank(StatusCode::SERVICE_UNAVAILABLE))?;
                if past.is_empty() {
                    return Err(no_score());
                }
                let seen = past.iter().filter_map(|past| Some((viewer.sees(&past.score)?, past)));
                let seen: Vec<_> = seen.map(|(seen, past)| (seen, past.cause)).collect();
                if seen.is_empty() {
                    return Err(withheld());
                }
                text.history(lead, &seen);
            }
            Wanted::Bulk => {
                let ids = asked_ids(&body).ok_or_else(bad_ids)?;
                text.begin_results();
                for asked in ids {
                    text.next_result();
                    let known = self.known(&policies, &key(&asked.id)).await;
                    let known = known.map_err(|problem| problem.code().unwrap_or("unavailable"));
                    let seen = known.as_ref().map_err(|reason| *reason).and_then(|known| {
                        Ok((viewer.sees(&known.score).ok_or("score_withheld")?, known.more()))
                    });
                    text.result(
                        &asked,
                        seen.as_ref()
                            .map(|(seen, more)| (seen, more.as_str()))
                            .map_err(|reason| *reason),
                    );
                }
                text.end_results();
            }
            Wanted::Configure(_) | Wanted::Refresh => {}
        }
        Ok(text.into_bytes())
    }

    /// What is known of a lead. Where that is nothing, or too old, the CRM is asked if it can be.
    async fn known(
        &self,
        policies: &Arc<InForce<Governance>>,
        key: &LeadKey,
    ) -> Result<Known, Problem> {
        let found = self.keeper.history().last(key).await;
        let (last, found) =
            found.map_err(|_| Problem::about_blank(StatusCode::SERVICE_UNAVAILABLE))?;
        ScoreLookedUp { found: found.word() }.emit(&self.telemetry);
        let scoring = policies.snapshot.set().scoring.as_ref();
        let company = (!key.tenant.is_empty()).then_some(key.tenant.as_str());
        let plan = scoring.and_then(|scoring| scoring.plan(&key.resource, company));
        let before = scoring.map(|scoring| OffsetDateTime::now_utc() - scoring.stale_after);
        let is_stale = |last: &Last| {
            let rules = plan.zip(before);
            rules.is_none_or(|(plan, before)| last.is_stale(plan.digest(), before))
        };
        if let Some(last) = last.as_ref().filter(|last| !is_stale(last)) {
            return Ok(Known { score: Arc::clone(&last.score), is_stale: false });
        }
        let score = last.map(|last| last.score);
        match (self.refresher.one(policies, key).await, score) {
            (Ok(scored), _) => Ok(Known { score: Arc::new(scored.score), is_stale: false }),
            (Err(Unread::Gone), _) | (Err(_), None) => Err(no_score()),
            (Err(_), Some(score)) => Ok(Known { score, is_stale: true }),
        }
    }

    async fn configured(&self, company: &str, body: &Bytes) -> Result<Vec<u8>, Problem> {
        let configured = put_in_force(self.configure(), company, body).await;
        told_of_rules(company, configured)
    }

    fn refresh(&self, method: &Method, body: &[u8]) -> Result<Vec<u8>, Problem> {
        if *method == Method::GET {
            return Ok(told_of_refresh(&self.refresher.progress().borrow()));
        }
        if !self.refresher.can_read() {
            let title = "The CRM cannot be asked";
            return Err(Problem::new(StatusCode::CONFLICT, "no_credential", title)
                .detail("the configuration names no credential in `scores.service`"));
        }
        let all = asks_for_all(body)
            .ok_or_else(|| invalid("send `{\"kind\": \"all\"}` or `{\"kind\": \"stale\"}`"))?;
        let kind = if all { RefreshKind::All } else { RefreshKind::Stale };
        Ok(told_of_refresh(&self.refresher.begin(kind)))
    }
}

impl Known {
    /// Members behind those of the score.
    fn more(&self) -> String {
        format!(",\"is_stale\":{}", self.is_stale)
    }
}

/// Puts rules in force, on a thread that may block.
pub(super) async fn put_in_force(configure: Configure, company: &str, body: &Bytes) -> Configured {
    let is_object = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
        && body.trim_ascii_start().starts_with(b"{");
    let (true, Ok(text)) = (is_object, std::str::from_utf8(body)) else {
        return Configured::Faulty(vec!["the rules are not one JSON object".to_owned()]);
    };
    let (company, text) = (company.to_owned(), text.to_owned());
    let work = tokio::task::spawn_blocking(move || configure(&company, &text));
    work.await.unwrap_or(Configured::NotWritten)
}

/// What is told of rules that somebody sent.
pub(super) fn told_of_rules(company: &str, configured: Configured) -> Result<Vec<u8>, Problem> {
    let unprocessable = |detail: &'static str| {
        let title = "The scoring rules are not put in force";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "scoring_refused", title).detail(detail)
    };
    match configured {
        Configured::InForce { revision, warnings } => {
            let told = json!({ "company": company, "revision": revision, "warnings": warnings });
            Ok(told.to_string().into_bytes())
        }
        Configured::Faulty(faults) => {
            Err(unprocessable("the rules have faults").member("findings", faults))
        }
        Configured::NoCompany => Err(unprocessable("no company can have this id")),
        Configured::NotWritten => {
            let title = "The scoring rules are not put in force";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "scoring_refused", title)
                .detail("the policy folder cannot be written"))
        }
        Configured::WrittenNotInForce => {
            let title = "The scoring rules are written and not in force";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "scoring_refused", title).detail(
                "the policy folder changed at the same time; what is in it now is put in force \
                 with the next reload, if it has no faults",
            ))
        }
    }
}

fn told_of_refresh(progress: &Progress) -> Vec<u8> {
    let Progress { number, is_running, done, total, gone, .. } = progress;
    let told = json!({
        "number": number,
        "is_running": is_running,
        "kind": progress.kind.map(RefreshKind::word),
        "company": progress.company,
        "resource": progress.resource,
        "is_resumed": progress.is_resumed,
        "done": done,
        "total": total.map_or(Value::Null, Value::from),
        "gone": gone,
        "stopped": progress.stopped,
    });
    told.to_string().into_bytes()
}

fn invalid(detail: &'static str) -> Problem {
    let title = "The request for scores cannot be read";
    Problem::new(StatusCode::BAD_REQUEST, "score_request_invalid", title).detail(detail)
}

fn bad_ids() -> Problem {
    invalid("send `{\"lead_ids\": [1, 2]}`, at most 100 of them")
}

fn withheld() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "score_withheld", "Scores are not told here")
        .detail("the roles that the question names are told no scores")
}

fn no_score() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_lead", "There is no such lead")
        .detail("no score of this lead is known, and the CRM cannot be asked or does not show it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_in_their_place_are_not_said_to_be_unwritten() {
        let detail = |configured| {
            let problem = told_of_rules("acme", configured).unwrap_err();
            let told: Value = serde_json::from_slice(&problem.to_json()).unwrap();
            told["detail"].as_str().unwrap().to_owned()
        };
        assert_eq!(detail(Configured::NotWritten), "the policy folder cannot be written");
        let written = detail(Configured::WrittenNotInForce);
        assert!(written.starts_with("the policy folder changed at the same time"), "{written}");
    }
}
