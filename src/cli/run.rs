//! `fieldgate run`: the sidecar itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failed};
use super::signals::Signals;
use super::{heading, runtime, terminal};
use crate::config::{self, Settings};
use crate::diagnostic::count;
use crate::server::{Server, StartError};
use crate::telemetry::Telemetry;

/// How long the last lines of the log may take once everything else has ended.
pub(super) const LAST_LINES: Duration = Duration::from_secs(5);

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate run\n",
    "  fieldgate run --config /etc/fieldgate/fieldgate.yaml\n\n",
    heading!("Signals"),
    "  SIGTERM and SIGINT stop taking new requests, wait for those under way (`drain`\n",
    "  in the configuration, 30s unless set) and end. A second one ends at once, with\n",
    "  exit code 3. SIGHUP reads policies and keys again.\n\n",
    heading!("Exit codes"),
    "  0  stopped by a signal\n",
    "  1  the configuration has faults\n",
    "  3  a file cannot be read or an address cannot be listened on",
);

/// Stand in front of a CRM
///
/// Reads the configuration, the policies and the key ring, and serves until it is stopped. Every
/// fault is printed to standard error at once; the log goes to standard output. With faults in the
/// configuration nothing starts. With faults in the policies or the key ring it listens, is not
/// ready and refuses every request, until the files are good.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Run {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "fieldgate.yaml")]
    config: PathBuf,
}

impl Run {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let settings = load_settings(&self.config)?;
        let telemetry = start_telemetry(&settings, Box::new(std::io::stdout()))?;
        let runtime = runtime::with_threads(settings.threads)?;
        runtime.block_on(async {
            let signals = Signals::catch()?;
            let server = Server::start(settings, telemetry.clone())
                .await
                .map_err(|error| refused(error, &CONFIGURED))?;
            tell_of_policies(&server);
            server.serve(signals.first()).await;
            Ok::<(), Failed>(())
        })?;
        telemetry.flush(LAST_LINES);
        Ok(Exit::Good)
    }
}

/// Loads a configuration; what is wrong or doubtful with it is printed.
pub(super) fn load_settings(path: &Path) -> Result<Settings, Failed> {
    match config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            terminal::tell_findings(&loaded.warnings);
            Ok(loaded.settings)
        }
        Err(findings) => {
            terminal::tell_findings(&findings);
            Err(Failed::told(exit_of_file(path)))
        }
    }
}

/// What findings about a file mean: faults in it, or that it cannot be read at all.
pub(super) fn exit_of_file(path: &Path) -> Exit {
    let is_readable = File::open(path).is_ok() && !path.is_dir();
    if is_readable { Exit::Findings } else { Exit::CouldNotRun }
}

/// Prints what was found in policies and keys; says whether requests can be answered.
pub(super) fn tell_of_policies(server: &Server) -> bool {
    terminal::tell_findings(server.findings());
    let (errors, _) = count(server.findings());
    if errors > 0 {
        terminal::tell("not ready: every request is refused until policies and keys are good\n");
    }
    errors == 0
}

/// Starts telemetry and lets it take over the log of this process.
pub(super) fn start_telemetry(
    settings: &Settings,
    output: Box<dyn std::io::Write + Send>,
) -> Result<Telemetry, Failed> {
    let telemetry = Telemetry::start(&settings.telemetry, output)
        .map_err(|error| Failed::could_not_run(error.to_string()))?;
    telemetry.install().map_err(|error| Failed::could_not_run(error.to_string()))?;
    Ok(telemetry)
}

/// What to change when an address cannot be listened on.
pub(super) struct ListenRemedies {
    /// For clients.
    pub(super) data: &'static str,
    /// For operators.
    pub(super) admin: &'static str,
}

const CONFIGURED: ListenRemedies = ListenRemedies {
    data: "change `listen` in the configuration, or stop what has the port",
    admin: "change `listen` under `admin` in the configuration, or stop what has the port",
};

/// Why a server could not start.
pub(super) fn refused(error: StartError, remedies: &ListenRemedies) -> Failed {
    match error {
        StartError::Listen { purpose, address, cause } => {
            let remedy = if purpose == "admin" { remedies.admin } else { remedies.data };
            cannot_listen(address, &cause).help(remedy)
        }
        StartError::Settings(messages) => Failed::could_not_run(messages.join("; ")),
    }
}

/// The one sentence about an address that cannot be had.
pub(super) fn cannot_listen(address: std::net::SocketAddr, cause: &std::io::Error) -> Failed {
    let why = match cause.kind() {
        std::io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this account may not take the port".to_owned(),
        _ => cause.to_string(),
    };
    Failed::could_not_run(format!("cannot listen on {address}: {why}"))
}
