//! The gate as a process of its own, which can be killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Longest time until a gate that was killed serves again.
const MOST_RESTART: Duration = Duration::from_secs(5);

/// The files of a gate; they outlive its processes. `log` holds what the last one said.
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
}

/// One process.
pub(crate) struct Gate {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    child: Child,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Home {
    pub(crate) fn new(folder: &Path, crm: SocketAddr, events: &str) -> Self {
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        copy_folder(&policies, &folder.join("policies"));
        let token = |role: &str| {
            let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(format!("demo-{role}")));
            format!(
                "      - {{ sha256: \"{digest}\", subject: {role}, roles: [{role}], tenant: t }}\n"
            )
        };
        let id = fieldgate::mask::KeyId::parse("t1").unwrap();
        let date = time::macros::date!(2026 - 11 - 22);
        let keys = fieldgate::mask::KeyRing::generate_file(&mut rand::rng(), &id, date);
        let path = folder.join("keys.yaml");
        std::fs::write(&path, secrecy::ExposeSecret::expose_secret(&keys)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\n\
             upstream: {{ url: \"http://{crm}\" }}\nkeys: keys.yaml\ndata_dir: data\n\
             identity:\n  - static_tokens:\n{}{}{events}",
            token("admin"),
            token("support"),
        );
        std::fs::write(folder.join("fieldgate.yaml"), config).unwrap();
        std::fs::create_dir_all(folder.join("data")).unwrap();
        Self { folder: folder.to_owned() }
    }

    /// Workflows read events in roles of their own, and what these see would be in the store too.
    #[allow(dead_code, reason = "not everybody who includes this file goes without them")]
    pub(crate) fn without_workflows(self) -> Self {
        std::fs::remove_dir_all(self.folder.join("policies/workflows")).unwrap();
        self
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts a process that misbehaves as `faults` say, and waits until it serves.
    pub(crate) fn start(&self, faults: &str) -> Gate {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_fieldgate")), faults)
    }

    /// [`start`](Self::start) by a command that ends in the program, such as a shell.
    pub(crate) fn start_by(&self, command: Command, faults: &str) -> Gate {
        self.try_start(command, faults).expect("the gate ended before it listened")
    }

    /// Starts a process whose faults may keep it from serving.
    pub(crate) fn try_start(&self, mut command: Command, faults: &str) -> Option<Gate> {
        let began = Instant::now();
        let mut child = command
            .args(["run", "--config"])
            .arg(self.folder.join("fieldgate.yaml"))
            .env("FIELDGATE_FAIL_AT", faults)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut log = File::create(self.folder.join("log")).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut lines = lines.inspect(move |line| writeln!(log, "{line}").unwrap());
        let mut address = |purpose: &str| {
            lines
                .by_ref()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
                .find(|line| line["message"] == "listening" && line["purpose"] == purpose)
                .map(|line| line["address"].as_str().unwrap().parse().unwrap())
        };
        let (Some(data), Some(admin)) = (address("data"), address("admin")) else {
            let _ = child.wait();
            return None;
        };
        assert!(began.elapsed() < MOST_RESTART, "started in {:?}", began.elapsed());
        // Somebody must read on, or the gate would stand still once the pipe is full.
        let reader = std::thread::spawn(move || lines.for_each(drop));
        Some(Gate { data, admin, child, reader: Some(reader) })
    }

    /// What `fieldgate` prints for these arguments.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every event of the journal, one `CloudEvent` a line.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let text = self.ask(&["events", "list", "--json", "--limit", "0"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Gate {
    /// `kill -9`. A gate that has killed itself by then is fine as well.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// [`stop`](Self::stop) for one that is kept.
    pub(crate) fn end(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
