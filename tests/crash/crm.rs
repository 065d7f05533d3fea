//! A CRM that writes down, durably, every write that it has done.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What no role but admin may see; it stands in every answer.
pub(crate) const CANARY: &str = "canary-4111111111111111";

pub(crate) struct Crm {
    pub(crate) address: SocketAddr,
    ledger: Arc<Ledger>,
    task: tokio::task::JoinHandle<()>,
}

struct Ledger {
    file: Mutex<File>,
    /// The correlation ids of the writes done.
    done: Mutex<HashSet<String>>,
}

impl Drop for Crm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Crm {
    pub(crate) async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let file = Mutex::new(File::create(folder.join("ledger")).unwrap());
        let ledger = Arc::new(Ledger { file, done: Mutex::default() });
        let serving = Arc::clone(&ledger);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, ledger, task }
    }

    pub(crate) fn done(&self) -> HashSet<String> {
        self.ledger.done.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, ledger: Arc<Ledger>) {
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read).await {
        let path = request.split(' ').nth(1).unwrap();
        let id = path.trim_matches('/').rsplit('/').next().unwrap();
        let stage = if request.starts_with("PATCH ") {
            let correlation = header(&request, "x-correlation-id").unwrap().to_owned();
            let mut file = ledger.file.lock().unwrap();
            writeln!(file, "{correlation}").unwrap();
            file.sync_data().unwrap();
            drop(file);
            ledger.done.lock().unwrap().insert(correlation);
            "won"
        } else {
            "new"
        };
        let body =
            format!(r#"{{"id":{id},"stage":"{stage}","amount":"{CANARY}","name":"Deal {id}"}}"#);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Head and body of the next request on the connection.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 4]).into_owned();
            let length: usize =
                header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            if read.len() >= end + 4 + length {
                read.drain(..end + 4 + length);
                return Some(head);
            }
        }
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
