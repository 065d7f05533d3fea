//! `fieldgate demo`: a CRM, the gate before it, and a tour through what it does.
//!
//! The gate is started as `fieldgate run` starts it, from files that the demo writes first.

mod client;
mod comparison;
mod home;
mod step;
mod tour;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::exit::{Exit, Failed};
use super::run::{self, ListenRemedies};
use super::signals::Signals;
use super::terminal::{BAD, GOOD, QUIET, STRONG};
use super::{heading, runtime, terminal};
use crate::demo::crm::{self, Crm};
use crate::demo::mailbox::Mailbox;
use crate::demo::receiver::Receiver;
use crate::server::Server;
use home::{Addresses, Home};
use step::Step;
use tour::Tour;

/// How long the demo CRM may take to end.
const CRM_STOP: Duration = Duration::from_secs(2);

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate demo\n",
    "  fieldgate demo --once\n",
    "  fieldgate demo --listen 127.0.0.1:9000 --data-dir ./demo\n\n",
    heading!("Bearer tokens"),
    "  demo-admin  demo-sales_rep  demo-marketing  demo-finance  demo-support\n",
    "  Both the gate and the CRM know them; to the CRM they are all the same.\n\n",
    heading!("Exit codes"),
    "  0  stopped by a signal; with --once, every step was as promised\n",
    "  1  a step was not as promised, or the policies have faults\n",
    "  3  a port is in use, the state folder cannot be written, or a signal came before\n",
    "     --once was done",
);

/// See one lead as three roles see it
///
/// Starts a small CRM without any field permissions and Fieldgate in front of it, both in this
/// process, walks through what each role gets, and stays until Ctrl-C. The policies are written to
/// the state folder; edit them and ask again. Needs no network.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Demo {
    /// End after the tour
    #[arg(long)]
    once: bool,
    /// Where the gate listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the demo CRM listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    crm_listen: SocketAddr,
    /// Where health and metrics are; this machine only, for it asks for no token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", value_parser = loopback)]
    admin_listen: SocketAddr,
    /// The state folder, kept at the end [default: a temporary folder]
    ///
    /// Policies and keys that are there already are used as they are; `fieldgate.yaml` is written
    /// anew at each start, unless it is not the demo's own.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "invalid socket address syntax")?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("the demo's admin listener has no token, so it must be on 127.0.0.1 or [::1]".to_owned())
}

const FLAGS: ListenRemedies = ListenRemedies {
    data: "choose another address with `--listen`, such as `--listen 127.0.0.1:0`",
    admin: "choose another address with `--admin-listen`, such as `--admin-listen 127.0.0.1:0`",
};

const CRM_FLAG: &str =
    "choose another address with `--crm-listen`, such as `--crm-listen 127.0.0.1:0`";

impl Demo {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        self.require_three_addresses()?;
        let home = Home::open(self.data_dir.as_deref())?;
        // As many threads as the configuration that the demo writes asks for.
        runtime::with_threads(0)?.block_on(self.live_in(&home))
    }

    /// Two flags with one address would end in an error about a file that nobody wrote.
    fn require_three_addresses(&self) -> Result<(), Failed> {
        let named = [
            ("--listen", self.listen),
            ("--crm-listen", self.crm_listen),
            ("--admin-listen", self.admin_listen),
        ];
        for (index, (flag, address)) in named.iter().enumerate() {
            let earlier = named.iter().take(index).find(|(_, earlier)| earlier == address);
            if let Some((other, _)) = earlier.filter(|_| address.port() != 0) {
                let message = format!("`{other}` and `{flag}` cannot both be {address}");
                return Err(Failed::usage(message));
            }
        }
        Ok(())
    }

    async fn live_in(&self, home: &Home) -> Result<Exit, Failed> {
        let signals = Signals::catch()?;
        let bound = TcpListener::bind(self.crm_listen).await;
        let (listener, crm_address) = bound
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|error| run::cannot_listen(self.crm_listen, &error).help(CRM_FLAG))?;
        let (receiver, receiver_address) = receive(home).await?;
        let (mailbox, mailbox_address) = take_mails().await?;
        home.write_crm_token()?;
        home.furnish(&Addresses {
            listen: self.listen,
            upstream: reachable(crm_address),
            admin: self.admin_listen,
            receiver: receiver_address,
            mailbox: mailbox_address,
        })?;
        let settings = run::load_settings(&home.config())?;
        let telemetry = run::start_telemetry(&settings, Box::new(home.open_log()?))?;
        let server = Server::start(settings, telemetry.clone())
            .await
            .map_err(|error| run::refused(error, &FLAGS))?;
        if !run::tell_of_policies(&server) {
            return Err(Failed::told(Exit::Findings));
        }

        let records = Arc::new(Crm::seeded());
        let (stop_crm, crm_stops) = oneshot::channel::<()>();
        let crm_stops = async { crm_stops.await.unwrap_or_default() };
        let crm = tokio::spawn(crm::serve(listener, Arc::clone(&records), crm_stops));

        let gate = server.data_addresses().first().copied().unwrap_or(self.listen);
        let tour = Tour {
            gate: reachable(gate),
            crm: reachable(crm_address),
            admin: reachable(server.admin_address()),
            log: home.log(),
            data_dir: home.folder().to_owned(),
            records,
            receiver,
            mailbox,
        };
        let (stop, stops) = oneshot::channel::<()>();
        let mut serving = pin!(server.serve(async { stops.await.unwrap_or_default() }));
        let exit = tokio::select! {
            () = &mut serving => return Err(Failed::could_not_run("the gate ended by itself")),
            exit = self.visit(home, &tour, signals) => exit,
        };
        drop(stop);
        serving.await;
        drop(stop_crm);
        // What the CRM does at its end is of no interest, as long as it ends.
        let _ = tokio::time::timeout(CRM_STOP, crm).await;
        telemetry.flush(run::LAST_LINES);
        Ok(exit)
    }

    /// The tour, and after it the time until somebody has seen enough.
    async fn visit(&self, home: &Home, tour: &Tour, signals: Signals) -> Exit {
        let mut stop = pin!(signals.first());
        show(&greeting(home, tour));
        let mut promises = 0;
        let mut broken = 0;
        let walk = tour.walk(|step: &Step| {
            promises += step.promises.len();
            broken += step.broken();
            show(&step.to_string());
        });
        tokio::select! {
            () = walk => {}
            () = &mut stop => {
                return if self.once { Exit::CouldNotRun } else { Exit::Good };
            }
        }
        show(&verdict(promises, broken));
        if !self.once {
            show(&farewell(home, tour));
            stop.await;
            show("\nstopped\n");
        }
        if broken == 0 { Exit::Good } else { Exit::Findings }
    }
}

/// Starts the receiver of events, on a port of its own; it ends with the process.
async fn receive(home: &Home) -> Result<(Receiver, SocketAddr), Failed> {
    let failed = |error: &dyn std::fmt::Display| {
        Failed::could_not_run(format!("the receiver of events cannot be started: {error}"))
    };
    let receiver = Receiver::new(&home.webhook_secret()?).map_err(|error| failed(&error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    tokio::spawn(receiver.clone().serve(listener));
    Ok((receiver, address))
}

/// Starts the mail server, on a port of its own; it ends with the process.
async fn take_mails() -> Result<(Mailbox, SocketAddr), Failed> {
    let failed = |error: std::io::Error| {
        Failed::could_not_run(format!("the mail server cannot be started: {error}"))
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mailbox = Mailbox::default();
    tokio::spawn(mailbox.clone().serve(listener));
    Ok((mailbox, address))
}

/// Prints a part of the tour. A tour that nobody can read still checks what was promised.
fn show(text: &str) {
    let _ = terminal::print(text);
}

fn greeting(home: &Home, tour: &Tour) -> String {
    let Tour { gate, crm, admin, .. } = tour;
    let folder = home.folder().display();
    format!(
        "{STRONG}Fieldgate before a small CRM that has no field permissions{STRONG:#}\n\n  \
         gate    http://{gate}\n  \
         CRM     http://{crm}\n  \
         admin   http://{admin}\n  \
         state   {folder}\n          \
         {QUIET}policies/, fieldgate.yaml, keys.yaml, access.log, fieldgate.db{QUIET:#}\n"
    )
}

fn verdict(promises: usize, broken: usize) -> String {
    if broken == 0 {
        format!("\n{GOOD}all {promises} promises were kept{GOOD:#}\n")
    } else {
        format!("\n{BAD}{broken} of {promises} promises were not kept{BAD:#}\n")
    }
}

fn farewell(home: &Home, tour: &Tour) -> String {
    let Tour { gate, admin, .. } = tour;
    let role = home.in_shell("policies/roles/sales_rep.yaml");
    let log = home.in_shell("access.log");
    let folder = home.in_shell("");
    format!(
        "
{STRONG}Try it{STRONG:#}
  {QUIET}# tokens: demo-admin demo-sales_rep demo-marketing demo-finance demo-support{QUIET:#}
  curl -H 'Authorization: Bearer demo-marketing' \\
    http://{gate}/api/v1/leads/1/

  curl -X PATCH -H 'Authorization: Bearer demo-sales_rep' \\
    -H 'Content-Type: application/json' -d '{{\"email\": \"x@example.com\"}}' \\
    http://{gate}/api/v1/leads/1/

  {QUIET}# change a policy while the gate runs; it holds within two seconds{QUIET:#}
  $EDITOR {role}

  tail -f {log}
  fieldgate events list --data-dir {folder}
  fieldgate runs list --data-dir {folder}
  curl http://{admin}/metrics

Ctrl-C stops both and {}.
",
        home.fate()
    )
}

/// Where a listener can be reached from this machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}
