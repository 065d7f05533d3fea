//! A real SMTP server, `aiosmtpd`, with a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::sinks::certificates;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

pub(crate) struct SmtpServer {
    pub(crate) folder: TempDir,
    child: Child,
    pub(crate) port: u16,
}

impl SmtpServer {
    /// A server that is told `settings` beside its certificate; `is_tls` offers TLS.
    pub(crate) fn start(is_tls: bool, mut settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = certificates("localhost");
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("certificate.pem", &certificates.certificate);
        put("key.pem", &certificates.key);
        put("ca.pem", &certificates.authority);
        if is_tls {
            settings["certificate"] = folder.path().join("certificate.pem").to_str().into();
            settings["key"] = folder.path().join("key.pem").to_str().into();
        }
        put("settings.json", &settings.to_string());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deeds/smtp_server.py");
        let child = Command::new("python3")
            .arg(script)
            .arg(folder.path())
            .env("PYTHONPATH", packages())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { folder, child, port: 0 };
        server.port = server.wait_for_port();
        server
    }

    /// The file with the authority that its certificate leads to.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The mails so far.
    pub(crate) fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("mails")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wait_for_port(&mut self) -> u16 {
        let began = Instant::now();
        loop {
            if let Ok(port) = std::fs::read_to_string(self.folder.path().join("port")) {
                return port.parse().unwrap();
            }
            let is_over = self.child.try_wait().unwrap().is_some() || began.elapsed() > START;
            if is_over {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("the SMTP server does not start: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `.ci/aiosmtpd` put the package; elsewhere Python finds its own.
fn packages() -> PathBuf {
    // This test is `target/debug/deps/deeds-...`.
    let test = std::env::current_exe().unwrap();
    let mut folders = test.ancestors().map(|folder| folder.join("tools/aiosmtpd"));
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/aiosmtpd");
    folders.find(|folder| folder.is_dir()).unwrap_or(usual)
}
