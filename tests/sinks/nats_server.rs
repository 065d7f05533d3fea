//! A real `nats-server` with a folder and a port of its own, which can be killed and started again.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

pub(crate) struct NatsServer {
    folder: TempDir,
    child: Child,
    pub(crate) port: u16,
    pub(crate) monitor: u16,
    settings: String,
}

impl NatsServer {
    /// A server with `JetStream`; `settings` are lines of its configuration.
    pub(crate) fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = run(folder.path(), 0, 0, settings);
        let mut server = Self { folder, child, port: 0, monitor: 0, settings: settings.to_owned() };
        let ports = server.ports();
        (server.port, server.monitor) = (port(&ports["nats"]), port(&ports["monitoring"]));
        server.wait_until_up();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the same folder on the same port.
    pub(crate) fn start_again(&mut self) {
        self.child = run(self.folder.path(), self.port, self.monitor, &self.settings);
        self.wait_until_up();
    }

    /// The ports that the server chose, as it wrote them down.
    fn ports(&mut self) -> serde_json::Value {
        let name = format!("_{}.ports", self.child.id());
        let folder = self.folder.path().to_owned();
        self.wait_for("its ports", || {
            let files = std::fs::read_dir(&folder).unwrap().filter_map(Result::ok);
            let mut files =
                files.filter(|file| file.file_name().to_str().unwrap().ends_with(&name));
            let text = std::fs::read(files.next()?.path()).ok()?;
            serde_json::from_slice(&text).ok()
        })
    }

    fn wait_until_up(&mut self) {
        let port = self.port;
        self.wait_for("a connection", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Asks again until there is an answer: the server gives no other sign.
    fn wait_for<T>(&mut self, what: &str, ask: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let is_over = self.child.try_wait().unwrap().is_some() || began.elapsed() > START;
            if is_over {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("nats-server gives no sign of {what}: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, port: u16, monitor: u16, settings: &str) -> Child {
    let port_or_any = |port: u16| if port == 0 { "-1".to_owned() } else { port.to_string() };
    let mut text = String::new();
    writeln!(text, "listen: 127.0.0.1:{}", port_or_any(port)).unwrap();
    writeln!(text, "http: 127.0.0.1:{}", port_or_any(monitor)).unwrap();
    writeln!(text, "ports_file_dir: {:?}", folder.to_str().unwrap()).unwrap();
    writeln!(text, "{settings}").unwrap();
    if !settings.contains("jetstream") {
        writeln!(text, "jetstream {{ store_dir: {:?} }}", folder.to_str().unwrap()).unwrap();
    }
    let text = text.replace("STORE", folder.to_str().unwrap());
    let file = folder.join("nats.conf");
    std::fs::write(&file, text).unwrap();
    let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
    Command::new(program())
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Where `nats-server` is: `NATS_SERVER`, what `.ci/nats-server` put into the target folder, `PATH`.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER") {
        return named.into();
    }
    // This test is `target/debug/deps/sinks-...`.
    let test = std::env::current_exe().unwrap();
    let mut folders: Vec<PathBuf> =
        test.ancestors().map(|folder| folder.join("tools/bin")).collect();
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin"));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders.iter().map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    found.expect("there is no `nats-server`: run `.ci/nats-server`, or name one in NATS_SERVER")
}

fn port(urls: &serde_json::Value) -> u16 {
    urls[0].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}
