//! The program as it is installed, in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::harness::*;

/// A running `fieldgate run`; ends with the test.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    _folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `fieldgate run` with the configuration of a folder.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    command.args(["run", "--config"]).arg(folder.join("fieldgate.yaml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    pub(crate) async fn start(upstream: &Upstream, extra: &str) -> Self {
        Self::in_front_of(&format!("http://{}", upstream.address), extra).await
    }

    pub(crate) async fn in_front_of(upstream: &str, extra: &str) -> Self {
        Self::with_faults(upstream, extra, "").await
    }

    /// One that fails at named places; see the room `fail_point`.
    pub(crate) async fn failing(upstream: &Upstream, extra: &str, faults: &str) -> Self {
        Self::with_faults(&format!("http://{}", upstream.address), extra, faults).await
    }

    async fn with_faults(upstream: &str, extra: &str, faults: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_gate(folder.path(), upstream, &format!("{extra}\n"), &[]);
        let mut command = program(folder.path());
        command.env("FIELDGATE_FAIL_AT", faults).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let log = child.stdout.take().unwrap();
        let starting = tokio::task::spawn_blocking(move || addresses(BufReader::new(log)));
        let (data, admin) = within(starting).await.unwrap();
        Self { child, data, admin, _folder: folder }
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        kilobytes << 10
    }

    /// The exit code, once there is one.
    pub(crate) async fn wait(&mut self) -> Option<i32> {
        within(async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

/// From the log, for the ports were the system's choice.
fn addresses(log: impl BufRead + Send + 'static) -> (SocketAddr, SocketAddr) {
    let (mut data, mut admin) = (None, None);
    let mut lines = log.lines();
    loop {
        let line: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let address = || line["address"].as_str().unwrap().parse().ok();
        match line["purpose"].as_str() {
            Some("data") => data = address(),
            Some("admin") => admin = address(),
            _ => {}
        }
        if let (Some(data), Some(admin)) = (data, admin) {
            // Whatever is logged later must find a reader.
            std::thread::spawn(move || lines.for_each(drop));
            return (data, admin);
        }
    }
}
