//! `fieldgate score refresh`: scores calculated anew, with a bar that says how far it is.
//!
//! Where a gate runs on the same data folder, it is asked to do it; else it is done here.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::cli::exit::{Exit, Failed};
use crate::cli::run::load_settings;
use crate::cli::signals::Signals;
use crate::cli::{heading, runtime, terminal};
use crate::config::Admin;
use crate::outbound::Client;
use crate::proxy::Progress;
use crate::score_history::RefreshKind;
use crate::server::{RefreshError, Refreshing, StartError};
use crate::telemetry::Telemetry;

/// How often a gate is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How long an answer of the gate may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a gate is asked.
const PAGE: &str = "/api/v1/scores/refresh/";

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate score refresh\n",
    "  fieldgate score refresh --all --config /etc/fieldgate/fieldgate.yaml\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  1  it had to stop, or the configuration or a policy has faults\n",
    "  2  the configuration names no data folder, or no credential for the CRM\n",
    "  3  the store or the CRM cannot be had",
);

/// Calculate scores anew
///
/// Reads leads from the CRM with the credentials of `scores.service` in the configuration, in batches
/// and no faster than `scores.rate`, and keeps their scores in the data folder: those that are older
/// than `stale_after` in `scoring.yaml`, or all that the CRM lists. One that was ended half way goes on
/// where it was.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Refresh {
    /// All leads that the CRM lists, whatever the age of their scores
    #[arg(long)]
    all: bool,
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "fieldgate.yaml")]
    config: PathBuf,
}

impl Refresh {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let settings = load_settings(&self.config)?;
        if settings.data_dir.is_none() {
            return Err(Failed::usage(format!("`{}` names no `data_dir`", self.config.display()))
                .help("without a data folder no score is kept"));
        }
        if settings.scores.service.is_empty() {
            let message = format!("`{}` names no credential for the CRM", self.config.display());
            return Err(Failed::usage(message)
                .help("add `scores: { service: [{ value: { file: crm.token } }] }`"));
        }
        let kind = if self.all { RefreshKind::All } else { RefreshKind::Stale };
        let telemetry = Telemetry::start(&settings.telemetry, Box::new(io::sink()))
            .map_err(|error| Failed::could_not_run(error.to_string()))?;
        runtime::with_threads(settings.threads)?.block_on(async {
            let admin = Gate::at(&settings.admin)?;
            match Refreshing::start(settings, telemetry).await {
                Ok(refreshing) => here(refreshing, kind).await,
                Err(RefreshError::Owned) => admin.refresh(kind).await,
                Err(RefreshError::Policies(findings)) => {
                    terminal::tell_findings(&findings);
                    Err(Failed::told(Exit::Findings))
                }
                Err(RefreshError::Start(StartError::Settings(messages))) => {
                    Err(Failed::could_not_run(messages.join("; ")))
                }
                Err(RefreshError::Start(error @ StartError::Listen { .. })) => {
                    Err(Failed::could_not_run(error.to_string()))
                }
            }
        })
    }
}

/// Refreshes in this process.
async fn here(refreshing: Refreshing, kind: RefreshKind) -> Result<Exit, Failed> {
    let signals = Signals::catch()?;
    let mut changes = refreshing.progress();
    let mut bar = Bar::new();
    let mut running = std::pin::pin!(refreshing.run(kind, signals.first()));
    let progress = loop {
        tokio::select! {
            progress = &mut running => break progress,
            changed = changes.changed() => {
                let progress = changes.borrow_and_update().clone();
                if changed.is_ok() && progress.is_running && !progress.resource.is_empty() {
                    bar.show(&Step::of(&progress));
                }
            }
        }
    };
    end(&mut bar, &Step::of(&progress))
}

/// A gate that runs.
struct Gate {
    client: Client,
    token: Option<String>,
}

impl Gate {
    fn at(admin: &Admin) -> Result<Self, Failed> {
        let mut address = admin.address;
        if address.ip().is_unspecified() {
            let is_ipv4 = address.is_ipv4();
            address.set_ip(if is_ipv4 {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        let host = address.ip().to_string();
        let client = Client::new(&host, address.port(), None, PATIENCE)
            .map_err(|error| Failed::could_not_run(error.to_string()))?;
        let token = admin.token.as_ref().map(|token| token.expose_secret().to_owned());
        Ok(Self { client, token })
    }

    /// Has the gate refresh, and looks on.
    async fn refresh(&self, kind: RefreshKind) -> Result<Exit, Failed> {
        let asked = format!("{{\"kind\":\"{}\"}}", kind.word());
        let begun = self.ask(Method::POST, asked).await?;
        let number = begun.number;
        let mut bar = Bar::new();
        let mut step = begun;
        while step.is_running && step.number == number {
            bar.show(&step);
            tokio::time::sleep(ASK_EVERY).await;
            step = self.ask(Method::GET, String::new()).await?;
        }
        end(&mut bar, &step)
    }

    async fn ask(&self, method: Method, body: String) -> Result<Step, Failed> {
        let refused = |why: String| {
            Failed::could_not_run(format!("the gate that runs cannot be asked: {why}")).help(
                "`admin` in the configuration says where it listens; or stop it, and try again",
            )
        };
        let mut request = Request::builder().method(method).uri(PAGE);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Bytes::from(body)).map_err(|error| refused(error.to_string()))?;
        let answer = self.client.send(request).await.map_err(|error| refused(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(refused(format!("it answers {}", answer.status.as_u16())));
        }
        let told = serde_json::from_slice(&answer.body).ok();
        told.as_ref().and_then(Step::read).ok_or_else(|| refused("it answers nonsense".to_owned()))
    }
}

/// How far a refresh is, wherever it runs.
struct Step {
    number: u64,
    is_running: bool,
    is_resumed: bool,
    /// `lead of acme`
    of: String,
    done: u64,
    total: Option<u64>,
    gone: u64,
    stopped: Option<String>,
}

impl Step {
    fn of(progress: &Progress) -> Self {
        Self {
            number: progress.number,
            is_running: progress.is_running,
            is_resumed: progress.is_resumed,
            of: subject(&progress.resource, progress.company.as_deref()),
            done: progress.done,
            total: progress.total,
            gone: progress.gone,
            stopped: progress.stopped.map(ToOwned::to_owned),
        }
    }

    fn read(told: &Value) -> Option<Self> {
        Some(Self {
            number: told.get("number")?.as_u64()?,
            is_running: told.get("is_running")?.as_bool()?,
            is_resumed: told.get("is_resumed")?.as_bool()?,
            of: subject(told.get("resource")?.as_str()?, told.get("company")?.as_str()),
            done: told.get("done")?.as_u64()?,
            total: told.get("total")?.as_u64(),
            gone: told.get("gone")?.as_u64()?,
            stopped: told.get("stopped")?.as_str().map(ToOwned::to_owned),
        })
    }
}

fn subject(resource: &str, company: Option<&str>) -> String {
    company.map_or_else(|| resource.to_owned(), |company| format!("{resource} of {company}"))
}

/// What is said at the end.
fn end(bar: &mut Bar, step: &Step) -> Result<Exit, Failed> {
    bar.show(step);
    bar.close();
    if let Some(reason) = &step.stopped {
        let help = match reason.as_str() {
            "asked" => "go on with the same command",
            "no_listing" => "add `listing` to `scoring.yaml`, see docs/scoring.md",
            "not_allowed" => "the CRM does not take the credential of `scores.service`",
            "no_scoring" => "write `scoring.yaml` into the policy folder",
            "no_route" => "no route of the resource reads one record by its id",
            _ => {
                "see that the CRM answers and the store can be written; then go on with the same command"
            }
        };
        let message = format!("the refresh had to stop after {} leads: {reason}", step.done);
        return Err(Failed::input(message).help(help));
    }
    terminal::print(&format!(
        "{} leads, {} of them gone or not to be read\n",
        step.done, step.gone
    ))?;
    Ok(Exit::Good)
}

/// The bar: one line that is drawn anew on a terminal, and now and then a line elsewhere.
struct Bar {
    began: Instant,
    /// Leads that were done when this process began.
    first: Option<u64>,
    is_terminal: bool,
    of: String,
    last_tenth: Option<u64>,
    is_open: bool,
}

impl Bar {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            first: None,
            is_terminal: io::stderr().is_terminal(),
            of: String::new(),
            last_tenth: None,
            is_open: false,
        }
    }

    fn show(&mut self, step: &Step) {
        if step.of != self.of {
            self.close();
            *self = Self { of: step.of.clone(), ..Self::new() };
            if step.is_resumed {
                terminal::tell(&format!("{}: goes on after {} leads\n", step.of, step.done));
            }
        }
        let first = *self.first.get_or_insert(step.done);
        let line = draw(step, step.done.saturating_sub(first), self.began.elapsed());
        if self.is_terminal {
            terminal::tell(&format!("\r\x1b[2K{line}"));
            self.is_open = true;
            return;
        }
        let tenth = step.total.filter(|total| *total > 0).map(|total| step.done * 10 / total);
        if tenth != self.last_tenth {
            self.last_tenth = tenth;
            terminal::tell(&format!("{line}\n"));
        }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            terminal::tell("\n");
        }
    }
}

/// `lead of acme  [#####---------------]  250 of 1000, 19/s, 40s left`
fn draw(step: &Step, here: u64, elapsed: Duration) -> String {
    const CELLS: u64 = 20;
    let mut line = format!("{}  ", step.of);
    let rate = u64::try_from(u128::from(here) * 1000 / elapsed.as_millis().max(1)).unwrap_or(0);
    // Writing to a `String` cannot fail.
    match step.total.filter(|total| *total > 0) {
        Some(total) => {
            let full = (step.done.min(total) * CELLS / total).min(CELLS);
            let bar = |count: u64, cell: &str| cell.repeat(usize::try_from(count).unwrap_or(0));
            let _ = write!(line, "[{}{}]  ", bar(full, "#"), bar(CELLS - full, "-"));
            let _ = write!(line, "{} of {total}", step.done);
            let left = total.saturating_sub(step.done);
            if rate > 0 {
                let _ = write!(line, ", {rate}/s, {}s left", left.div_ceil(rate));
            }
        }
        None => {
            let _ = write!(line, "{} leads", step.done);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        let step = |done, total| Step {
            number: 1,
            is_running: true,
            is_resumed: false,
            of: "lead of acme".to_owned(),
            done,
            total,
            gone: 0,
            stopped: None,
        };
        let second = Duration::from_secs(1);
        for (done, total, here, expect) in [
            (0, Some(1000), 0, "lead of acme  [--------------------]  0 of 1000"),
            (
                250,
                Some(1000),
                50,
                "lead of acme  [#####---------------]  250 of 1000, 50/s, 15s left",
            ),
            (999, Some(1000), 1, "lead of acme  [###################-]  999 of 1000, 1/s, 1s left"),
            (
                1000,
                Some(1000),
                10,
                "lead of acme  [####################]  1000 of 1000, 10/s, 0s left",
            ),
            (
                1001,
                Some(1000),
                10,
                "lead of acme  [####################]  1001 of 1000, 10/s, 0s left",
            ),
            (7, None, 7, "lead of acme  7 leads"),
            (0, Some(0), 0, "lead of acme  0 leads"),
        ] {
            assert_eq!(draw(&step(done, total), here, second), expect);
        }
    }
}
