//! Gates as processes of their own in front of one upstream, and the CPU that each of them uses.

use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fieldgate::demo::crm::Crm;
use fieldgate::mask::{KeyId, KeyRing};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

/// Clients at once.
pub(crate) const CONNECTIONS: usize = 4;

pub(crate) fn document(leads: u64) -> String {
    let records = Crm::with_leads(leads).records("leads");
    let records: Vec<String> = records.iter().map(ToString::to_string).collect();
    match records.as_slice() {
        [one] => one.clone(),
        many => format!(
            r#"{{"count":{},"next":null,"previous":null,"results":[{}]}}"#,
            many.len(),
            many.join(",")
        ),
    }
}

/// Answers every request with the same body, on kept connections.
pub(crate) fn upstream(body: &str) -> SocketAddr {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
    serve(format!("{head}: {}\r\n\r\n{body}", body.len()))
}

pub(crate) fn serve(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Arc<str> = answer.into();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while read_message(&mut reader).is_some() {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads a message with a Content-Length or without a body; `None` at the end.
fn read_message(reader: &mut impl BufRead) -> Option<()> {
    let mut length = 0;
    let mut is_first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if is_first && line.starts_with("HTTP/") {
            assert!(line.contains(" 200 "), "{line}");
        }
        is_first = false;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()
}

/// A gate in a process of its own.
pub(crate) struct Gate {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gate {
    pub(crate) fn start(
        folder: &std::path::Path,
        upstream: SocketAddr,
        more: &str,
        scoring: Option<&str>,
    ) -> Self {
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let policies = folder.join("policies");
        copy(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"), &policies);
        // Some of the shipped workflows are about scores.
        std::fs::remove_dir_all(policies.join("workflows")).unwrap();
        let file = policies.join("scoring.yaml");
        match scoring {
            Some(scoring) => std::fs::write(file, scoring).unwrap(),
            None => std::fs::remove_file(file).unwrap(),
        }
        write_keys(&folder.join("keys.yaml"));
        let free = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, admin] = free.map(|free| free.local_addr().unwrap());
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest("bench"));
        let config = format!(
            "listen: \"{address}\"\nadmin: {{ listen: \"{admin}\" }}\nthreads: 1\n\
             upstream: http://{upstream}\npolicies: \"{}\"\nkeys: keys.yaml\nidentity:\n  \
             - static_tokens:\n      - {{ sha256: \"{digest}\", subject: bench, roles: [sales_rep], tenant: acme }}\n{more}",
            policies.display()
        );
        let path = folder.join("fieldgate.yaml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
            .args(["run", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let gate = Self { child, address, admin };
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        gate
    }

    pub(crate) fn ask(&self, path: &str, requests: usize) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer bench\r\nUser-Agent: bench/1\r\n\r\n"
        );
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(self.address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    for _ in 0..requests {
                        stream.write_all(request.as_bytes()).unwrap();
                        read_message(&mut reader).unwrap();
                    }
                });
            }
        });
    }

    /// What an operator reads, in the format that has the exemplars.
    #[allow(dead_code, reason = "not every bench looks at it")]
    pub(crate) fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                       Accept: application/openmetrics-text; version=1.0.0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// CPU time that the process has used, by the scheduler's own count in nanoseconds.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let spent = tasks.map(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
            // A thread may have ended in the meantime.
            let stat = stat.unwrap_or_default();
            stat.split(' ').next().and_then(|spent| spent.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(spent.sum())
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn write_keys(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let id = KeyId::parse("b1").unwrap();
    let date = time::macros::date!(2026 - 11 - 22);
    let text = KeyRing::generate_file(&mut rand::rng(), &id, date);
    std::fs::write(path, text.expose_secret()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
