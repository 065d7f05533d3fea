//! The policies and keys on disk: loaded at start, and again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::scores::below;
use crate::admin::{Condition, Readiness};
use crate::config::EventSink;
use crate::diagnostic::{Finding, Severity};
use crate::json::path::FieldPath;
use crate::mask;
use crate::policy::{
    Checked, Fingerprint, Overlay, PolicySet, PolicyStore, ReloadOutcome, Watch, fingerprint,
};
use crate::proxy::Governance;
use crate::telemetry::{PolicyReloadFailed, PolicyReloaded, Telemetry, rule_name};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where policies and keys come from, and the ones in force.
#[derive(Clone)]
pub(super) struct Policies {
    folder: PathBuf,
    keys: Option<PathBuf>,
    store: Arc<PolicyStore<Governance>>,
    readiness: Readiness,
    /// How the folder looked before it was first read, so that no later change goes unseen.
    first_look: Fingerprint,
    /// How the key ring file looked when it was last read.
    keys_seen: Arc<Mutex<Option<Stamp>>>,
    /// Counts the sets that were put in force.
    changes: Arc<watch::Sender<u64>>,
    /// Sinks of events, and the role that each sees them as.
    sinks: Arc<[(String, String)]>,
}

/// A file that may be put into the folder.
pub(super) struct Prepared {
    pub(super) file: Overlay,
    /// What the revision of the folder will be.
    pub(super) revision: String,
    pub(super) warnings: Vec<String>,
}

/// Size and time of the last change of a file; `None` where there is none.
type Stamp = Option<(u64, Option<SystemTime>)>;

impl Policies {
    pub(super) fn new(folder: PathBuf, keys: Option<PathBuf>, readiness: Readiness) -> Self {
        let first_look = fingerprint(&folder);
        let (store, keys_seen) = (Arc::default(), Arc::default());
        let changes = Arc::new(watch::channel(0).0);
        let sinks = Arc::default();
        Self { folder, keys, store, readiness, first_look, keys_seen, changes, sinks }
    }

    /// Holds the policies to the roles of these sinks: a role that nobody declares sees nothing, so
    /// its sink would be sent empty events for ever.
    pub(super) fn with_sinks(self, sinks: &[EventSink]) -> Self {
        let sinks = sinks.iter().map(|sink| (sink.name.clone(), sink.role.clone())).collect();
        Self { sinks, ..self }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn store(&self) -> Arc<PolicyStore<Governance>> {
        Arc::clone(&self.store)
    }

    /// Changes whenever other policies are in force.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Reads everything and puts it in force if it is good. Last good wins.
    pub(super) fn load(&self, telemetry: &Telemetry) -> Vec<Finding> {
        let keys_changed = self.keys_changed();
        let (keys, key_faults) = match self.keys.as_deref().map(mask::load) {
            None => (None, Vec::new()),
            Some(Ok(keys)) => (Some(Arc::new(keys)), Vec::new()),
            Some(Err(faults)) => (None, faults),
        };
        self.readiness.set(Condition::KeysLoaded, key_faults.is_empty() || self.is_in_force());
        let outcome = self.store.reload(&self.folder, keys_changed, |set| {
            if !key_faults.is_empty() {
                return Err(key_faults.clone());
            }
            let unknown = sinks_without_role(&self.sinks, &set);
            if unknown.is_empty() { Governance::prepare(set, keys.clone()) } else { Err(unknown) }
        });
        let findings = self.tell(outcome, telemetry);
        self.readiness.set(Condition::PoliciesLoaded, self.is_in_force());
        findings
    }

    /// The file of a company's scoring with this text, if the whole folder is good with it; else its
    /// faults, in one line each. `None` where nothing can be called as the company is.
    pub(super) fn overlay(
        &self,
        company: &str,
        text: String,
    ) -> Option<Result<Prepared, Vec<String>>> {
        let file = Overlay::new(&self.folder, company, text)?;
        let in_force = self.store.current();
        let keys = in_force.and_then(|in_force| in_force.snapshot.keys());
        let checked = file.check().and_then(|Checked { set, findings }| {
            let revision = set.revision.clone();
            Governance::prepare(set, keys)?;
            Ok((revision, findings))
        });
        let lines = |findings: &[Finding], of: Severity| -> Vec<String> {
            let of_kind = findings.iter().filter(|finding| finding.severity() == of);
            of_kind.map(|finding| self.in_one_line(finding)).collect()
        };
        Some(match checked {
            Ok((revision, findings)) => {
                Ok(Prepared { file, revision, warnings: lines(&findings, Severity::Warning) })
            }
            Err(findings) => Err(lines(&findings, Severity::Error)),
        })
    }

    /// As [`in_one_line`], with the name of the file below the folder.
    fn in_one_line(&self, finding: &Finding) -> String {
        match finding.position() {
            Some((file, line, column)) => {
                let file = below(&self.folder, file);
                format!("{file}:{line}:{column}: {}", finding.message())
            }
            None => finding.message().to_owned(),
        }
    }

    fn is_in_force(&self) -> bool {
        self.store.current().is_some()
    }

    fn tell(&self, outcome: ReloadOutcome, telemetry: &Telemetry) -> Vec<Finding> {
        match outcome {
            ReloadOutcome::Unchanged { .. } => Vec::new(),
            ReloadOutcome::Swapped { revision, findings, .. } => {
                self.changes.send_modify(|count| *count += 1);
                if let Some(in_force) = self.store.current() {
                    reloaded(&in_force.snapshot, &revision).emit(telemetry);
                }
                findings
            }
            ReloadOutcome::Refused { findings, still } => {
                let faults = findings
                    .iter()
                    .filter(|finding| finding.severity() == Severity::Error)
                    .map(in_one_line)
                    .collect();
                let in_force = still.map(Arc::from);
                PolicyReloadFailed { in_force, faults }.emit(telemetry);
                findings
            }
        }
    }

    /// Looks at the files now and then, and loads them when they have changed.
    pub(super) async fn watch(self, telemetry: Telemetry, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut watch = Watch::new(self.first_look);
        let mut asked = asked_to_reload();
        loop {
            let asked = tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = asked.recv() => true,
            };
            let this = self.clone();
            let telemetry = telemetry.clone();
            // Reading a folder may block, on a network mount for long.
            let looked = tokio::task::spawn_blocking(move || {
                if watch.look(fingerprint(&this.folder)) || asked || this.keys_changed_since() {
                    this.load(&telemetry);
                }
                watch
            });
            match looked.await {
                Ok(seen) => watch = seen,
                Err(_) => return,
            }
        }
    }

    fn keys_changed_since(&self) -> bool {
        let now = self.keys.as_deref().map(stamp);
        *self.keys_seen.lock().unwrap_or_else(PoisonError::into_inner) != now
    }

    /// Notes how the key ring looks now; says whether that is new.
    fn keys_changed(&self) -> bool {
        let now = self.keys.as_deref().map(stamp);
        let mut seen = self.keys_seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, now) != now
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

fn reloaded(governance: &Governance, revision: &str) -> PolicyReloaded {
    let set = governance.set();
    let declared = set.resources.values().flat_map(|resource| &resource.routes);
    let declared = declared.map(|route| Arc::from(route.path.as_str()));
    let open = set.global.passthrough.iter().map(|entry| Arc::from(entry.path.as_str()));
    PolicyReloaded {
        revision: revision.into(),
        routes: declared.chain(open).collect(),
        resources: set.resources.keys().map(|name| Arc::from(name.as_str())).collect(),
        roles: set.roles.keys().map(|name| Arc::from(name.as_str())).collect(),
        rules: rules(set),
    }
}

/// Every rule by the name under which it is counted, with each resource that it speaks of.
fn rules(set: &PolicySet) -> Vec<(Arc<str>, Arc<str>)> {
    let mut rules = Vec::new();
    for resource in set.resources.keys() {
        let resource: Arc<str> = resource.as_str().into();
        let mut add = |role: Option<&str>, path: Option<&FieldPath>| {
            let path = path.map(ToString::to_string);
            let rule = rule_name(role, path.as_deref());
            rules.push((Arc::clone(&resource), rule.into()));
        };
        for role in set.roles.values() {
            add(Some(&role.name), None);
            let here = role.resources.get(resource.as_ref());
            for entry in here.map_or(&[][..], |here| &here.entries) {
                add(Some(&role.name), Some(&entry.path));
            }
        }
        for entry in &set.global.entries {
            add(None, Some(&entry.path));
        }
    }
    rules
}

/// `file:line:column: message`.
fn in_one_line(finding: &Finding) -> String {
    match finding.position() {
        Some((file, line, column)) => format!("{file}:{line}:{column}: {}", finding.message()),
        None => finding.message().to_owned(),
    }
}

/// SIGHUP, the usual way to ask for a reload.
struct ReloadSignal(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

fn asked_to_reload() -> ReloadSignal {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        ReloadSignal(signal(SignalKind::hangup()).ok())
    }
    #[cfg(not(unix))]
    ReloadSignal()
}

impl ReloadSignal {
    async fn recv(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
/// Sinks whose role the policies do not declare.
fn sinks_without_role(sinks: &[(String, String)], set: &PolicySet) -> Vec<Finding> {
    let unknown = sinks.iter().filter(|(_, role)| !set.roles.contains_key(role));
    unknown
        .map(|(sink, role)| {
            let message = format!(
                "the sink `{sink}` sees events as `{role}`, a role that no policy declares"
            );
            let known: Vec<&str> = set.roles.keys().map(String::as_str).collect();
            Finding::error("config::unknown_role", message)
                .help(format!("the policies have the roles {}", known.join(", ")))
        })
        .collect()
}
