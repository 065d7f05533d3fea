//! `fieldgate score`: why a lead has the score that it has, and scores calculated anew.

mod chart;
mod refresh;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::exit::{Exit, Failed};
use super::mask::load_policies;
use super::{heading, terminal};
use crate::diagnostic::suggest;
use crate::policy::PolicySet;
use crate::policy::scoring::{Scoring, Told};
use crate::policy::set::Role;
use crate::score::{
    Activities, ActivityRule, ActivitySource, ComponentSet, Disclosure, Inputs, Rendering, Score,
    ScoringPlan,
};

/// Score leads
///
/// `scoring.yaml` in the policy folder says which resources are leads and what counts.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    #[command(subcommand)]
    command: ScoreCommand,
}

#[derive(Debug, Subcommand)]
enum ScoreCommand {
    Explain(Explain),
    Refresh(refresh::Refresh),
}

const AFTER_EXPLAIN: &str = concat!(
    heading!("Examples"),
    "  fieldgate score explain --lead lead.json\n",
    "  fieldgate score explain --lead lead.json --activities 7 --company acme\n",
    "  fieldgate score explain --lead lead.json --role sales_rep --at 2026-11-22T10:00:00Z\n",
    "  curl -s http://crm/api/v1/leads/1/ | fieldgate score explain --lead - --json\n\n",
    heading!("Exit codes"),
    "  0  scored\n",
    "  1  the lead is no JSON object, or a policy has faults\n",
    "  2  no such role or kind of lead, or nothing says how leads are scored\n",
    "  3  a file cannot be read",
);

/// Show why a lead has its score
///
/// Reads one lead as the CRM answers with it, and draws what each component contributes. With
/// `--role`, as a caller with these roles is told: what rests on fields that are masked or hidden
/// for them is folded into `other`.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_EXPLAIN)]
struct Explain {
    /// The lead as JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    lead: PathBuf,
    /// The moment to score it at, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<OffsetDateTime>,
    /// The policy folder
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// The kind of lead, where the policies know several
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// The company whose rules hold
    #[arg(long, value_name = "ID")]
    company: Option<String>,
    /// A role of the caller; repeat it for a caller with several
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Activities of the last 30 days, where the lead itself does not tell them
    #[arg(long, value_name = "COUNT")]
    activities: Option<u32>,
    /// Print the answer of the API instead of a chart
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "a moment is written as in 2026-11-22T10:00:00Z".to_owned())
}

impl ScoreArgs {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            ScoreCommand::Explain(explain) => explain.execute(),
            ScoreCommand::Refresh(refresh) => refresh.execute(),
        }
    }
}

impl Explain {
    fn execute(self) -> Result<Exit, Failed> {
        let set = load_policies(&self.policies)?;
        let scoring = set.scoring.as_ref().ok_or_else(|| {
            let folder = self.policies.display();
            Failed::usage(format!("nothing in `{folder}` says how leads are scored"))
                .help("write `scoring.yaml` there; `leads: [lead]` is enough")
        })?;
        let resource = self.resource(scoring)?;
        let plan = scoring.plan(resource, self.company.as_deref()).ok_or_else(|| {
            let known = scoring.leads.keys().map(String::as_str);
            Failed::usage(format!("`{resource}` holds no leads")).help(suggest(resource, known))
        })?;
        let (disclosure, folded) = self.told(&set, scoring, resource, plan)?;
        let now = self.at.unwrap_or_else(OffsetDateTime::now_utc);
        let record = read_lead(&self.lead)?;
        let mut inputs = Inputs::at(now);
        inputs
            .see_record(plan, &record)
            .map_err(|refusal| Failed::input(format!("the lead is refused: {refusal}")))?;
        let score = Score::of(plan, &inputs, self.elsewhere(plan), now);
        let rendering = Rendering::of(&score, disclosure, folded);
        let text = if self.json { json(rendering) } else { self.chart(rendering) };
        terminal::print(&text)?;
        Ok(Exit::Good)
    }

    /// The kind of lead: the one that was named, or the only one.
    fn resource<'a>(&'a self, scoring: &'a Scoring) -> Result<&'a str, Failed> {
        let mut known = scoring.leads.keys();
        match (&self.resource, known.next(), known.next()) {
            (Some(named), _, _) => Ok(named),
            (None, Some(only), None) => Ok(only),
            (None, _, _) => {
                let known: Vec<&str> = scoring.leads.keys().map(String::as_str).collect();
                let message = "the policies know several kinds of leads";
                let help = format!("name one with `--resource`: `{}`", known.join("`, `"));
                Err(Failed::usage(message).help(help))
            }
        }
    }

    /// What the roles are told; everything where no role is named.
    fn told(
        &self,
        set: &PolicySet,
        scoring: &Scoring,
        resource: &str,
        plan: &ScoringPlan,
    ) -> Result<(Disclosure, ComponentSet), Failed> {
        if self.roles.is_empty() {
            return Ok((Disclosure::Full, ComponentSet::NONE));
        }
        let names: BTreeSet<&str> = self.roles.iter().map(String::as_str).collect();
        let mut roles: Vec<&Role> = Vec::new();
        for name in names {
            let role = set.roles.get(name).ok_or_else(|| {
                Failed::usage(format!("no policy knows the role `{name}`"))
                    .help(suggest(name, set.roles.keys().map(String::as_str)))
            })?;
            roles.push(role);
        }
        let Told { disclosure, visible, .. } = scoring
            .told(set, resource, &roles, plan)
            .map_err(|error| Failed::input(error.to_string()))?;
        Ok((disclosure, plan.folded(visible)))
    }

    /// What `--activities` says, as whoever the policy asks would have said it.
    fn elsewhere(&self, plan: &ScoringPlan) -> Activities {
        let source = match plan.activity_rule() {
            ActivityRule::Observed { .. } => ActivitySource::Observed,
            ActivityRule::Fetch(_) => ActivitySource::Fetched,
            ActivityRule::Nowhere | ActivityRule::Count(_) | ActivityRule::Moments(_) => {
                ActivitySource::None
            }
        };
        self.activities.map_or(Activities::NONE, |count| match source {
            ActivitySource::None => Activities::NONE,
            ActivitySource::Record | ActivitySource::Observed | ActivitySource::Fetched => {
                Activities { count, source }
            }
        })
    }

    fn chart(&self, rendering: Option<Rendering<'_>>) -> String {
        let roles = self.roles.join("`, `");
        match rendering {
            None => format!("withheld from `{roles}`\n"),
            Some(rendering) => {
                let told_to = (!self.roles.is_empty()).then_some(roles.as_str());
                chart::draw(&rendering, told_to, terminal::width())
            }
        }
    }
}

/// The answer of the API, and how much of the score it tells.
fn json(rendering: Option<Rendering<'_>>) -> String {
    let mut out = Vec::new();
    match rendering {
        None => out.extend_from_slice(b"{\"disclosure\":\"withhold\"}\n"),
        Some(rendering) => {
            let word = if rendering.total().is_some() { "full" } else { "bucket" };
            out.extend_from_slice(format!("{{\"disclosure\":\"{word}\",").as_bytes());
            rendering.write_members(&mut out);
            out.extend_from_slice(b"}\n");
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn read_lead(path: &Path) -> Result<Vec<u8>, Failed> {
    let read = if path == Path::new("-") {
        let mut record = Vec::new();
        io::stdin().lock().read_to_end(&mut record).map(|_| record)
    } else {
        fs::read(path)
    };
    let record = read.map_err(|error| {
        Failed::could_not_run(format!("`{}` cannot be read: {}", path.display(), error.kind()))
    })?;
    if record.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failed::input("a lead is one JSON object")
            .help("give the record alone, not the list that it stands in"));
    }
    Ok(record)
}
