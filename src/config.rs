//! The sidecar's own configuration: one YAML file, read whole, every fault reported at once.
//!
//! Three shapes, of which only the last leaves this room: the file as written (the nodes of
//! `yaml`), the walk over it (`section`, with the kinds of value in `value`), and [`Settings`].
//! To add a setting is to add its field with a doc comment to `settings`, one line to the walk of
//! its section and one row to `docs/configuration.md`; tests compare the three.
//!
//! Secrets never stand in the file: it names files, environment variables and digests. Where
//! somebody wrote one into it all the same, no finding shows it.

mod actions;
mod admin;
mod audit;
mod events;
mod files;
mod identity;
mod limits;
mod listen;
mod path_pattern;
mod places;
mod scores;
mod secret;
mod section;
mod settings;
mod substitution;
mod surroundings;
mod telemetry;
pub(crate) mod tenant;
#[cfg(test)]
mod tests;
mod traces;
mod units;
mod upstream;
mod url;
mod value;
mod workflows;

use std::path::Path;
use std::sync::Arc;

pub use settings::*;
pub use surroundings::{Disk, Surroundings};

use crate::diagnostic::{Finding, Severity, SourceFile};
use crate::yaml::{self, Node, Value};
use places::Places;
use section::{Reader, Section};

/// A configuration that can be used, and what is doubtful about it.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, checked.
    pub settings: Settings,
    /// Findings that do not keep the file from being used.
    pub warnings: Vec<Finding>,
}

/// Reads the configuration file at `path`; `env` looks up environment variables.
///
/// # Errors
/// Every fault of the file, and of the files that it names, in the order of its lines. Warnings
/// stand among them.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Finding>> {
    let around = Disk::new(env);
    let name = path.display().to_string();
    let bytes = around.file(path).map_err(|error| {
        let why = surroundings::reason(&error);
        vec![
            Finding::error("config::file", format!("cannot read `{name}`: {why}"))
                .help("name the configuration file with `--config`"),
        ]
    })?;
    let source = surroundings::text_file(name, bytes).map_err(|finding| vec![finding])?;
    read(&source, path.parent().unwrap_or(Path::new("")), &around)
}

/// Reads a configuration. `base` is the folder that relative paths start from; what the file says
/// of variables and other files is looked up in `around`.
///
/// # Errors
/// As [`load`].
pub fn read(
    source: &Arc<SourceFile>,
    base: &Path,
    around: &dyn Surroundings,
) -> Result<Loaded, Vec<Finding>> {
    let root = yaml::parse(source).map_err(|finding| vec![with_quoting_help(source, finding)])?;
    let mut reader = Reader::new(source, base, around);
    let settings = root_section(&mut reader, &root);
    let findings = reader.into_findings();
    let is_faulty = findings.iter().any(|finding| finding.severity() == Severity::Error);
    match settings {
        Some(settings) if !is_faulty => Ok(Loaded { settings, warnings: findings }),
        _ => Err(findings),
    }
}

fn root_section(reader: &mut Reader<'_>, root: &Node) -> Option<Settings> {
    if matches!(root.value, Value::Null) {
        let finding = Finding::error("config::empty", "the file says nothing")
            .help("it needs at least `upstream` and `identity`");
        reader.report(finding, root.span);
        return None;
    }
    let mut at = Section::open(reader, root, "")?;
    let mut places = Places::default();
    let listeners =
        at.optional("listen", |reader, node, name| listen::read(reader, node, name, &mut places));
    // A faulty section must not bring in a default that meets other addresses.
    let listeners = match listeners {
        None if !at.is_written("listen") => listen::usual(&mut places),
        listeners => listeners.unwrap_or_default(),
    };
    let upstream = at
        .required("upstream", |reader, node, name| upstream::read(reader, node, name, &mut places));
    let asks_for_certificates = listeners
        .iter()
        .any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    let around = identity::Around::new((!listeners.is_empty()).then_some(asks_for_certificates));
    let identity =
        at.required("identity", |reader, node, name| identity::read(reader, node, name, around));
    let tenant = at.or("tenant", tenant::read, TenantNames::default());
    let usual_policies = at.reader().resolve(Settings::POLICIES);
    let policies = at.or("policies", value::folder, usual_policies);
    let keys = at.optional("keys", value::file(files::not_empty));
    let limits = at.or("limits", limits::read, Limits::default());
    let telemetry = at.or("telemetry", telemetry::read, Telemetry::default());
    let admin =
        at.optional("admin", |reader, node, name| admin::read(reader, node, name, &mut places));
    let admin = match admin {
        None if !at.is_written("admin") => admin::usual(&mut places),
        admin => admin.unwrap_or_default(),
    };
    let threads = at.or("threads", value::count(0..=1024), 0);
    let drain = at.or("drain", value::timeout, Settings::DRAIN);
    let data_dir = at.optional("data_dir", value::folder);
    let has_data_dir = at.is_written("data_dir");
    let audit = at.optional("audit", audit::read);
    if at.is_written("audit") && !has_data_dir {
        let finding = Finding::error("config::no_data_dir", "`audit` needs `data_dir`")
            .label("the ledger is kept there")
            .help("add `data_dir: /var/lib/fieldgate`, a folder on a disk that stays");
        at.report(finding, &["audit"]);
    }
    // Where there is a folder for it, the ledger is kept unless somebody says no.
    let audit = audit.unwrap_or_else(|| has_data_dir.then(Audit::default));
    let scores = at.or("scores", scores::read, Scores::default());
    let events = at.optional("events", |reader, node, name| {
        events::read(reader, node, name, data_dir.as_deref())
    });
    if at.is_written("events") && !has_data_dir {
        let finding = Finding::error("config::no_data_dir", "`events` needs `data_dir`")
            .label("events are kept until they are delivered")
            .help("add `data_dir: /var/lib/fieldgate`, a folder on a disk that stays");
        at.report(finding, &["events"]);
    }
    let workflows = at.optional("workflows", workflows::read);
    if at.is_written("workflows") && !has_data_dir {
        let finding = Finding::error("config::no_data_dir", "`workflows` needs `data_dir`")
            .label("events are kept until the runs that they start are")
            .help("add `data_dir: /var/lib/fieldgate`, a folder on a disk that stays");
        at.report(finding, &["workflows"]);
    }
    // Workflows run where there are events; who configures them wants events.
    let workflows = workflows.or_else(|| events.is_some().then(Workflows::default));
    let events = events.or_else(|| workflows.is_some().then(Events::default));
    if !at.is_written("policies") {
        files::require_usual_policies(at.reader());
    }
    at.close();
    places.check(reader);
    Some(Settings {
        listeners,
        upstream: upstream?,
        identity: identity?,
        tenant,
        policies,
        keys,
        limits,
        telemetry,
        admin,
        threads,
        drain,
        data_dir,
        audit,
        scores,
        events,
        workflows,
    })
}

/// `${NAME}` in braces of YAML is a common slip, and the parser can only speak of brackets.
fn with_quoting_help(source: &Arc<SourceFile>, finding: Finding) -> Finding {
    let line = finding.position().and_then(|(_, line, _)| source.text().lines().nth(line - 1));
    match line {
        Some(line) if line.contains("${") => {
            finding.help("inside `{...}` and `[...]` write \"${NAME}\" in quotes")
        }
        Some(line) if line.contains(": [::") => {
            finding.help("put quotes around an IPv6 address, as in \"[::1]:8080\"")
        }
        _ => finding,
    }
}
