//! The tour: asks the gate what a visitor would ask, and checks every answer against what the
//! shipped policies promise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::Value as Json;

use super::super::runs::tree;
use super::super::terminal::{self, QUIET};
use super::client::{Answer, Ask};
use super::comparison::{FIELDS, Look, look, needle, table};
use super::home::STRANGER;
use super::step::Step;
use crate::demo::crm::{Crm, Value};
use crate::demo::mailbox::Mailbox;
use crate::demo::receiver::Receiver;
use crate::problem;
use crate::store::Visitor;
use crate::telemetry::{Refusal, catalogue};
use crate::workflow::runs::{self, Filter, RunStatus, Shown};

const LEAD: &str = "/api/v1/leads/1/";
const DEAL: &str = "/api/v1/deals/1/";
const LEADS: &str = "/api/v1/leads/";
const NEW_LEAD: &str = r#"{"first_name": "Ada", "last_name": "Stone", "company_name": "Stone Ltd", "annual_revenue": 2000000, "budget": 80000}"#;
const TO_PROPOSAL: &str = r#"{"stage": "proposal"}"#;
const TO_NEGOTIATION: &str = r#"{"stage": "negotiation"}"#;

/// How long the log and the metrics may lag behind an answer.
const LAG: Duration = Duration::from_secs(5);

/// Where to go.
pub(super) struct Tour {
    pub(super) gate: SocketAddr,
    pub(super) crm: SocketAddr,
    pub(super) admin: SocketAddr,
    /// The access log.
    pub(super) log: PathBuf,
    /// The data folder of the gate.
    pub(super) data_dir: PathBuf,
    /// The CRM from the inside, to see what reached it.
    pub(super) records: Arc<Crm>,
    /// Whoever is told of events.
    pub(super) receiver: Receiver,
    /// Where mails end.
    pub(super) mailbox: Mailbox,
}

impl Tour {
    /// Takes all steps and shows each as soon as it is done.
    pub(super) async fn walk(&self, mut show: impl FnMut(&Step)) {
        let mut step = Step::new("One lead, three roles");
        let taken = self.three_roles(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("A write that is refused");
        let taken = self.refused_write(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("A write that is allowed");
        let taken = self.allowed_write(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("An event from a write that was observed");
        let taken = self.event(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("A workflow that the event of a write starts");
        let taken = self.workflow(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("Callers without rights");
        let taken = self.callers_without_rights(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("One id from end to end");
        let taken = self.correlation(&mut step).await;
        show(&concluded(step, taken));
        let mut step = Step::new("For operators");
        let taken = self.operators(&mut step).await;
        show(&concluded(step, taken));
    }

    async fn three_roles(&self, step: &mut Step) -> Result<(), String> {
        let original = self.get(self.crm, LEAD, Some("demo-admin")).await?;
        let admin = self.get(self.gate, LEAD, Some("demo-admin")).await?;
        let sales_rep = self.get(self.gate, LEAD, Some("demo-sales_rep")).await?;
        let marketing = self.get(self.gate, LEAD, Some("demo-marketing")).await?;
        let record = |answer: &Answer| {
            Value::parse(&answer.body).map_err(|_| format!("no lead came back: {}", answer.status))
        };
        let lead = record(&original)?;
        let seen = [record(&sales_rep)?, record(&marketing)?];

        step.line(format!("{QUIET}GET {LEAD}{QUIET:#}"));
        let [first, second] = &seen;
        for line in table(&lead, [first, second], terminal::width() - 2) {
            step.line(line);
        }
        let same = admin.status == StatusCode::OK && admin.body == original.body;
        step.promise("admin gets the CRM's answer byte for byte", same, admin.status);
        for (index, role) in ["sales_rep", "marketing"].into_iter().enumerate() {
            let promised = |look| {
                FIELDS.iter().filter(move |field| field.promised.get(index) == Some(&look)).count()
            };
            let (masked, hidden) = (promised(Look::Masked), promised(Look::Hidden));
            let text = format!("{role}: {masked} of these masked, {hidden} hidden");
            let odd = odd_one(&lead, seen.get(index).unwrap_or(&lead), index);
            step.promise(text, odd.is_none(), odd.unwrap_or_default());
        }
        let leaked = [(&sales_rep, 0), (&marketing, 1)]
            .into_iter()
            .find_map(|(answer, index)| leak(&lead, &answer.text(), index));
        let text = "no masked or hidden value is anywhere in either answer";
        step.promise(text, leaked.is_none(), leaked.unwrap_or_default());
        Ok(())
    }

    async fn refused_write(&self, step: &mut Step) -> Result<(), String> {
        let body = r#"{"status": "qualified", "ssn": "900-01-0001"}"#;
        let before = self.records.record("leads", 1);
        let answer = self.patch(body).await?;
        let problem = answer.json();
        show_write(step, body, &answer);
        let fields = problem.get("fields").cloned().unwrap_or_default();
        step.line(format!("{QUIET}fields:{QUIET:#} {fields}"));
        let is_refused = answer.status == StatusCode::FORBIDDEN
            && answer.header("content-type") == problem::CONTENT_TYPE;
        step.promise("403 with a problem document (RFC 9457)", is_refused, answer.status);
        let names = Json::from(vec!["ssn"]);
        step.promise("it names the field, and no value", fields == names, &fields);
        let writes =
            self.records.requests().iter().filter(|head| head.method == Method::PATCH).count();
        let is_same = self.records.record("leads", 1) == before;
        let text = "the CRM was never asked";
        step.promise(text, writes == 0 && is_same, format!("{writes} writes reached it"));
        Ok(())
    }

    async fn allowed_write(&self, step: &mut Step) -> Result<(), String> {
        let body = r#"{"status": "qualified"}"#;
        let answer = self.patch(body).await?;
        show_write(step, body, &answer);
        let record = self.records.record("leads", 1);
        let status = record.as_ref().and_then(|lead| lead.get("status")).and_then(Value::as_text);
        let is_written = answer.status == StatusCode::OK && status == Some("qualified");
        step.promise("the CRM has the new status", is_written, answer.status);
        let leaked = record.and_then(|lead| leak(&lead, &answer.text(), 0));
        let text = "the answer to the write is filtered too";
        step.promise(text, leaked.is_none(), leaked.unwrap_or_default());
        Ok(())
    }

    async fn event(&self, step: &mut Step) -> Result<(), String> {
        // Seen before it is written, so that the event knows the old stage.
        let before = self.get(self.gate, DEAL, Some("demo-sales_rep")).await?.json();
        let old = before.get("stage").and_then(Json::as_str).unwrap_or_default().to_owned();
        let new = if old == "negotiation" { "proposal" } else { "negotiation" };
        let body = if old == "negotiation" { TO_PROPOSAL } else { TO_NEGOTIATION };
        let token = Some("demo-sales_rep");
        let ask = Ask { of: self.gate, method: Method::PATCH, target: DEAL, token, body };
        let answer = ask.send().await?;
        let id = answer.header("x-correlation-id").to_owned();
        show_write(step, body, &answer);
        let event = eventually(async || self.event_of("deal.stage_changed", &id)).await;
        let (text, event) = event.ok_or("no event came within five seconds")?;
        let data = event.get("data").cloned().unwrap_or_default();
        let stages = [data.get("old_stage"), data.get("new_stage")];
        step.line(format!(
            "{QUIET}received:{QUIET:#} deal.stage_changed of {}: {} to {}",
            event.get("subject").and_then(Json::as_str).unwrap_or_default(),
            stages[0].cloned().unwrap_or_default(),
            stages[1].cloned().unwrap_or_default(),
        ));
        let expected = [Some(&Json::from(old)), Some(&Json::from(new))];
        let text_of = "it tells the old stage and the new one";
        step.promise(text_of, stages == expected, &data);
        let refused = self.receiver.received().refused;
        let text_of = "its signature holds (Standard Webhooks)";
        step.promise(text_of, refused == 0, format!("{refused} did not"));
        let amount = before.get("amount").map(ToString::to_string).unwrap_or_default();
        let amount = amount.trim_matches('"');
        let is_told = data.get("record").is_some() && !amount.is_empty();
        let text_of = "the amount, which its role may not see, is not in it";
        step.promise(text_of, is_told && !text.contains(amount), &data);
        Ok(())
    }

    async fn workflow(&self, step: &mut Step) -> Result<(), String> {
        let token = Some("demo-admin");
        let ask = Ask { of: self.gate, method: Method::POST, target: LEADS, token, body: NEW_LEAD };
        let answer = ask.send().await?;
        step.line(format!("{QUIET}POST {LEADS} as admin:{QUIET:#} revenue 2000000, budget 80000"));
        let lead = answer.json().get("id").and_then(Json::as_u64);
        let lead = lead.ok_or_else(|| format!("no lead was made: {}", answer.status))?;
        let id = answer.header("x-correlation-id").to_owned();
        let run = eventually(async || self.run_of(&id)).await;
        let run = run.ok_or("no run came to its end within five seconds")?;
        step.line(format!("{QUIET}fieldgate runs show {}{QUIET:#}", run.run.id));
        for line in tree::brief(&run).lines() {
            step.line(line);
        }
        let is_done = run.run.status == RunStatus::Completed;
        let found = run.run.error.clone().unwrap_or_else(|| run.run.status.word().to_owned());
        step.promise("the run is completed", is_done, found);
        let record = self.records.record("leads", lead);
        let status = record.as_ref().and_then(|lead| lead.get("status")).and_then(Value::as_text);
        let text = "the lead is qualified in the CRM";
        step.promise(text, status == Some("qualified"), format!("{status:?}"));
        let is_task = |record: &Value| {
            let text = |name| record.get(name).and_then(Value::as_text).unwrap_or_default();
            text("type") == "task" && text("subject").contains("Ada Stone")
        };
        let tasks = self.records.records("activities").iter().filter(|one| is_task(one)).count();
        step.promise("the CRM has one task to call", tasks == 1, format!("{tasks} of them"));
        let mails = self.mailbox.mails();
        let is_sent = mails
            .iter()
            .any(|mail| mail.to == ["sales@example.com"] && mail.text.contains("Stone Ltd"));
        let text = "the mail server has the mail to sales";
        step.promise(text, is_sent, format!("{} mails came", mails.len()));
        let written = self.records.requests().into_iter().filter(|head| head.method != Method::GET);
        let of_run = written.filter(|head| {
            head.headers
                .get("x-correlation-id")
                .is_some_and(|value| value.as_bytes() == id.as_bytes())
        });
        let of_run = of_run.count();
        let text = "its writes carry the id of the request";
        step.promise(text, of_run == 3, format!("{of_run} writes do"));
        Ok(())
    }

    /// The run that a request caused, once it has ended.
    fn run_of(&self, correlation: &str) -> Option<Shown> {
        let visitor = Visitor::reader(&self.data_dir, &[runs::SCHEMA]).ok()?;
        let filter = Filter { correlation_id: Some(correlation.to_owned()), ..Filter::default() };
        let found = visitor.read(|connection| {
            let listed = runs::list(connection, &filter, 1)?;
            listed.first().map_or(Ok(None), |run| runs::show(connection, run.id))
        });
        found.ok()?.filter(|shown| shown.run.status.is_final())
    }

    /// The event of a type that a request caused, as the receiver got it.
    fn event_of(&self, event_type: &str, correlation: &str) -> Option<(String, Json)> {
        let received = self.receiver.received().accepted.into_iter().rev();
        let mut events =
            received.filter_map(|text| Some((serde_json::from_str::<Json>(&text).ok()?, text)));
        let is = |event: &Json, name: &str, value: &str| {
            event.get(name).and_then(Json::as_str) == Some(value)
        };
        let found = events.find(|(event, _)| {
            is(event, "type", event_type) && is(event, "correlationid", correlation)
        });
        found.map(|(event, text)| (text, event))
    }

    async fn callers_without_rights(&self, step: &mut Step) -> Result<(), String> {
        let nobody = self.get(self.gate, LEAD, None).await?;
        let is_challenged = !nobody.header("www-authenticate").is_empty();
        let is_refused = nobody.status == StatusCode::UNAUTHORIZED && is_challenged;
        step.promise("no token: 401", is_refused, nobody.status);
        let forged = self.get(self.gate, LEAD, Some("demo-forged")).await?;
        let is_refused = forged.status == StatusCode::UNAUTHORIZED;
        step.promise("a token that nobody gave out: 401", is_refused, forged.status);
        let stranger = self.get(self.gate, LEAD, Some(STRANGER)).await?;
        let is_refused = stranger.status == StatusCode::FORBIDDEN;
        step.promise("a role that no policy knows: 403", is_refused, stranger.status);
        let undeclared = self.get(self.gate, "/api/v1/users/", Some("demo-admin")).await?;
        let is_refused = undeclared.status == StatusCode::FORBIDDEN;
        step.promise(
            "a path that no policy declares, even for admin: 403",
            is_refused,
            undeclared.status,
        );
        Ok(())
    }

    async fn correlation(&self, step: &mut Step) -> Result<(), String> {
        let target = "/api/v1/contacts/1/";
        let answer = self.get(self.gate, target, Some("demo-sales_rep")).await?;
        let id = answer.header("x-correlation-id").to_owned();
        step.line(format!("{QUIET}GET {target}{QUIET:#}"));
        step.line(format!("{QUIET}X-Correlation-ID:{QUIET:#} {id}"));
        step.line(format!("{QUIET}grep {id} access.log{QUIET:#}"));
        step.promise("the answer carries an id", !id.is_empty(), "there is none");
        let requests = self.records.requests();
        let at_crm = requests.iter().rev().find(|head| head.target == target);
        let at_crm = at_crm.and_then(|head| head.headers.get("x-correlation-id"));
        let is_same = at_crm.is_some_and(|value| value.as_bytes() == id.as_bytes());
        step.promise("the CRM got the same id", is_same, format!("{at_crm:?}"));
        let line = eventually(async || self.log_line(&id)).await.unwrap_or_default();
        let is_logged = line.get("status_code") == Some(&Json::from(200))
            && line.get("user_id") == Some(&Json::from("demo-sales_rep"));
        step.promise("so has the line of the access log", is_logged, &line);
        Ok(())
    }

    async fn operators(&self, step: &mut Step) -> Result<(), String> {
        step.line(format!("{QUIET}curl http://{}/metrics{QUIET:#}", self.admin));
        let ready = self.get(self.admin, "/readyz", None).await?;
        step.promise("/readyz says that the gate is ready", ready.status == 200, ready.status);
        let metric = catalogue::REFUSALS.name;
        let series = format!("{metric}{{reason=\"{}\"}} 1", Refusal::FieldNotEditable);
        let found = eventually(async || {
            let metrics = self.get(self.admin, "/metrics", None).await.ok()?;
            metrics.text().lines().any(|line| line == series).then_some(())
        });
        let is_counted = found.await.is_some();
        step.promise("/metrics has counted the refused write", is_counted, format!("no {series}"));
        Ok(())
    }

    async fn get(
        &self,
        of: SocketAddr,
        target: &str,
        token: Option<&str>,
    ) -> Result<Answer, String> {
        Ask { of, method: Method::GET, target, token, body: "" }.send().await
    }

    /// Writes the lead as `sales_rep`.
    async fn patch(&self, body: &'static str) -> Result<Answer, String> {
        let token = Some("demo-sales_rep");
        Ask { of: self.gate, method: Method::PATCH, target: LEAD, token, body }.send().await
    }

    /// The line of the access log with this id.
    fn log_line(&self, id: &str) -> Option<Json> {
        let log = std::fs::read_to_string(&self.log).ok()?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.rev().find(|line| line.get("correlation_id").and_then(Json::as_str) == Some(id))
    }
}

/// The step as it went; one that could not be taken to its end has broken a promise.
fn concluded(mut step: Step, taken: Result<(), String>) -> Step {
    if let Err(why) = taken {
        step.promise("the step can be taken", false, why);
    }
    step
}

/// What was written and what came of it.
fn show_write(step: &mut Step, body: &str, answer: &Answer) {
    step.line(format!("{QUIET}PATCH as sales_rep:{QUIET:#} {body}"));
    step.line(format!("{QUIET}answer:{QUIET:#} {}", answer.status));
}

/// Asks again until there is an answer, as long as log and metrics may lag.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return Some(found);
        }
        if began.elapsed() > LAG {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The first field that does not look to a role as promised.
fn odd_one(lead: &Value, seen: &Value, role: usize) -> Option<String> {
    FIELDS.iter().find_map(|field| {
        let found = look(lead, seen, field.path);
        let promised = field.promised.get(role)?;
        (found != *promised).then(|| format!("`{}` is {found:?}, not {promised:?}", field.path))
    })
}

/// The first field whose value stands in `body` although the role may not see it.
fn leak(lead: &Value, body: &str, role: usize) -> Option<String> {
    FIELDS.iter().find_map(|field| {
        let is_secret = *field.promised.get(role)? != Look::Shown;
        let found = is_secret && body.contains(&needle(lead, field.path)?);
        found.then(|| format!("the value of `{}` is there", field.path))
    })
}
