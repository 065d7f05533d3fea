//! The composition root: wires the rooms together and owns start, drain and stop.
//!
//! Broken policies or keys do not end the process: it listens, says that it is not ready, refuses
//! every request, and takes new files as soon as they are good.

mod connection;
mod events;
mod listen;
mod policies;
mod score_refresh;
mod scores;
mod state;
mod traced;
mod workflows;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use pingora_core::apps::{HttpServerApp, HttpServerOptions};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::events::Events;
use self::listen::{DataListener, Listening};
use self::policies::Policies;
pub use self::score_refresh::{RefreshError, Refreshing};

use self::scores::{Pages, ScoreParts, Scores, ScoresRunning};
use self::workflows::Workflows;
use crate::admin::{self, AdminState, Condition, Readiness};
use crate::audit::Ledger;
use crate::config::{self, Settings};
use crate::diagnostic::Finding;
use crate::identity::{Identifier, Sources, Told};
use crate::proxy::{Crm, Errands, Gate, GateParts};
use crate::telemetry::{Draining, IdentityAsked, ListenerStarted, Purpose, Stopped, Telemetry};

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// `data` or `admin`.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// Anything else that the settings ask for and that cannot be had: one message each.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
}

impl From<String> for StartError {
    fn from(message: String) -> Self {
        Self::Settings(vec![message])
    }
}

/// A server whose listeners are bound and whose policies have been read.
pub struct Server {
    app: Arc<HttpProxy<Gate>>,
    policies: Policies,
    events: Option<Events>,
    workflows: Option<Workflows>,
    scores: ScoresRunning,
    findings: Vec<Finding>,
    data: Vec<DataListener>,
    addresses: Vec<SocketAddr>,
    admin: TcpListener,
    admin_address: SocketAddr,
    admin_state: AdminState,
    readiness: Readiness,
    telemetry: Telemetry,
    ledger: Option<Ledger>,
    limits: listen::ConnectionLimits,
    drain: std::time::Duration,
}

impl Server {
    /// Reads keys and policies and binds every listener.
    ///
    /// # Errors
    /// What the settings ask for cannot be had. Faults of policies and keys are no error here, see
    /// [`findings`](Self::findings).
    pub async fn start(settings: Settings, telemetry: Telemetry) -> Result<Self, StartError> {
        let readiness = Readiness::new();
        let identifier = identifier(&settings, &telemetry)?;
        require_roots(&settings.upstream)?;
        let crm = Crm::new(settings.upstream).map_err(|error| error.to_string())?;
        let crm = Arc::new(crm);

        let sinks = settings.events.as_ref().map(|events| &events.sinks[..]).unwrap_or_default();
        let policies = Policies::new(settings.policies, settings.keys, readiness.clone());
        let policies = policies.with_sinks(sinks);
        let findings = policies.load(&telemetry);
        readiness.set(Condition::StoreHealthy, true);
        let store = settings.data_dir.as_deref();
        let store = store.map(|folder| state::open(folder, &telemetry, &readiness)).transpose()?;
        let ledger = match (settings.audit, &store) {
            (Some(audit), Some(store)) => Some(state::ledger(audit, store, &policies, &telemetry)?),
            _ => None,
        };
        let (events, recorder, prepared) = match (settings.events, store.clone()) {
            (Some(events), Some(store)) => {
                let prepared = settings.workflows.map(|workflows| {
                    let header = &settings.telemetry.correlation_header;
                    let policies = policies.clone();
                    workflows::Prepared::new(workflows, &store, policies, header, &telemetry)
                });
                let prepared = prepared.transpose()?;
                let starters = prepared.as_ref().map(workflows::Prepared::starters);
                let starters = starters.unwrap_or_default();
                let (events, recorder, joining) =
                    Events::start(events, store, starters, telemetry.clone()).await?;
                (Some(events), Some(recorder), prepared.zip(Some(joining)))
            }
            _ => (None, None, None),
        };
        let score_events =
            recorder.as_ref().map(|recorder| (recorder.journal.clone(), recorder.readers.clone()));
        let scores = Scores::start(ScoreParts {
            store,
            events: score_events,
            policies: policies.clone(),
            crm: Arc::clone(&crm),
            settings: settings.scores,
            correlation_header: settings.telemetry.correlation_header.clone(),
            largest_answer: settings.limits.hold,
            telemetry: telemetry.clone(),
        })
        .await;
        let limits = listen::ConnectionLimits::new(&settings.limits);
        let threads = worker_threads(settings.threads);
        let gate = Gate::new(GateParts {
            policies: policies.store(),
            identifier,
            crm,
            recorder,
            scores: scores.keeper,
            configure: Some(scores.configure),
            limits: settings.limits,
            correlation_header: settings.telemetry.correlation_header,
            telemetry: telemetry.clone(),
            ledger: ledger.clone(),
        });
        let host = gate.upstream_host();
        let app = application(gate, &limits, threads);
        let workflows = prepared.map(|(prepared, joining)| {
            // What workflows write to the CRM walks the street like any write.
            prepared.start(joining, Arc::new(Errands::new(Arc::clone(&app), host)))
        });
        let workflows = workflows.transpose()?;

        let mut data = Vec::new();
        for listener in &settings.listeners {
            data.push(DataListener::bind(listener).await?);
        }
        let addresses = data.iter().map(DataListener::address).collect();
        let admin_listen =
            |cause| StartError::Listen { purpose: "admin", address: settings.admin.address, cause };
        let admin = TcpListener::bind(settings.admin.address).await.map_err(admin_listen)?;
        let admin_address = admin.local_addr().map_err(admin_listen)?;
        let pages = workflows.as_ref().map(Workflows::pages);
        let admin_state = AdminState::new(
            &settings.admin,
            telemetry.clone(),
            readiness.clone(),
            ledger.clone(),
            Some(Arc::new(Pages(scores.desk))),
        )
        .with_workflows(pages);
        Ok(Self {
            app,
            policies,
            events,
            workflows,
            scores: scores.running,
            findings,
            data,
            addresses,
            admin,
            admin_address,
            admin_state,
            readiness,
            telemetry,
            ledger,
            limits,
            drain: settings.drain,
        })
    }

    /// What was found in policies and keys. With an error among it the server is not ready.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Where clients can connect, with the ports that port 0 became.
    #[must_use]
    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where operators can connect.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `stop` resolves, then drains within the configured time.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let (stopping, watching) = watch::channel(false);
        let listening =
            Listening::start(self.data, &self.app, &self.limits, &watching, &self.telemetry);
        let admin_started =
            ListenerStarted { purpose: Purpose::Admin, address: self.admin_address, is_tls: false };
        admin_started.emit(&self.telemetry);
        let admin_stop = stopped(watching.clone());
        let (end_admin, admin_ends) = tokio::sync::oneshot::channel::<()>();
        let admin = tokio::spawn(admin::serve(self.admin, self.admin_state, async {
            // Probes and metrics are answered until the drain is over.
            let _ = admin_ends.await;
        }));
        let policies = tokio::spawn(self.policies.watch(self.telemetry.clone(), admin_stop));
        let (stop_events, events_stopping) = watch::channel(false);
        let workflows =
            self.workflows.map(|workflows| tokio::spawn(workflows.run(events_stopping.clone())));
        let events = self.events.map(|events| tokio::spawn(events.run(events_stopping)));
        let (stop_scores, scores_stopping) = watch::channel(false);
        let scores = tokio::spawn(self.scores.run(scores_stopping));
        self.readiness.set(Condition::Accepting, true);

        stop.await;
        self.readiness.set(Condition::Accepting, false);
        Draining { limit: self.drain }.emit(&self.telemetry);
        let began = Instant::now();
        stopping.send_replace(true);
        self.app.http_cleanup().await;
        // Whether it was in time or not, the process ends now; `Stopped` tells which.
        let _ = tokio::time::timeout(self.drain, listening.finish()).await;
        stop_scores.send_replace(true);
        let _ = scores.await;
        // After the last write: what it caused may still be delivered.
        stop_events.send_replace(true);
        if let Some(workflows) = workflows {
            let _ = workflows.await;
        }
        if let Some(events) = events {
            let _ = events.await;
        }
        drop(end_admin);
        let _ = admin.await;
        policies.abort();
        if let Some(ledger) = self.ledger {
            // Waits for the disk, so not on a thread that serves.
            let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
        }
        Stopped { drained_for: began.elapsed() }.emit(&self.telemetry);
    }
}

fn identifier(settings: &Settings, telemetry: &Telemetry) -> Result<Identifier, StartError> {
    let sources = Sources {
        entries: &settings.identity,
        tenant: &settings.tenant,
        upstream: &settings.upstream,
    };
    let telemetry = telemetry.clone();
    let told = Told::to(move |asked| IdentityAsked(asked).emit(&telemetry));
    let identifier = Identifier::build(sources, &|path| std::fs::read(path), &told)
        .map_err(|faults| StartError::Settings(faults.iter().map(ToString::to_string).collect()))?;
    identifier.prefetch(Instant::now());
    Ok(identifier)
}

/// Resolves once the server is told to stop.
async fn stopped(mut watching: watch::Receiver<bool>) {
    // An error means that the server itself is gone.
    let _ = watching.wait_for(|stopping| *stopping).await;
}

fn worker_threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

fn application(
    gate: Gate,
    limits: &listen::ConnectionLimits,
    threads: usize,
) -> Arc<HttpProxy<Gate>> {
    let conf = ServerConf { ca_file: gate.upstream_ca_file(), threads, ..ServerConf::default() };
    let mut app = HttpProxy::new(gate, Arc::new(conf));
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(connection::KEEP_ALIVE);
    app.server_options = Some(options);
    app.h2_options = Some(limits.http2());
    app.handle_init_modules();
    Arc::new(app)
}

/// A CRM behind TLS needs roots to check its certificate against; say so now, not per request.
fn require_roots(upstream: &config::Upstream) -> Result<(), StartError> {
    let needs_system_roots = upstream.tls.as_ref().is_some_and(|tls| tls.ca.is_none());
    if needs_system_roots && rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err("the system has no root certificates: install them (Debian: ca-certificates), or name a file as `upstream.tls.ca`".to_owned().into());
    }
    Ok(())
}
