//! The end: what is under way is answered, nothing new is taken, and it ends in time.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::harness::*;
use super::program::{Program, program};

const LEAD: &str = "/api/v1/leads/1/";

/// An upstream that answers when it is let go.
async fn waiting() -> (Upstream, Arc<Semaphore>) {
    let gates = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gates);
    let upstream = Upstream::connections(move |mut stream, seen| {
        let open = Arc::clone(&open);
        async move {
            let Some(request) = read_message(&mut stream).await else { return };
            seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
            open.acquire().await.unwrap().forget();
            let _ = stream.write_all(&json_answer(r#"{"id":1,"ssn":"canary-ssn"}"#)).await;
        }
    })
    .await;
    (upstream, gates)
}

async fn has_asked(upstream: &Upstream) {
    within(async {
        while upstream.heads().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn signal(program: &Program, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &program.child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_requests_under_way_finish() {
    let (upstream, open) = waiting().await;
    let mut program = Program::start(&upstream, "drain: 20s").await;
    let idle = TcpStream::connect(program.data).await.unwrap();
    let ask = Ask::new(program.data, "GET", LEAD).as_role("sales_rep");
    let under_way = tokio::spawn(ask.clone().send());
    has_asked(&upstream).await;
    signal(&program, "TERM");
    within(async {
        while TcpStream::connect(program.data).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let ready = Ask::new(program.admin, "GET", "/readyz").send().await;
    assert_eq!(ready.status, 503, "operators are told until the end");
    open.add_permits(1);
    let answered = within(under_way).await.unwrap();
    assert_eq!((answered.status, answered.text()), (200, r#"{"id":1}"#));
    let began = Instant::now();
    assert_eq!(program.wait().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "an idle connection is not waited for");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_does_not_keep_the_program() {
    let (upstream, _open) = waiting().await;
    let mut program = Program::start(&upstream, "drain: 500ms").await;
    let under_way = tokio::spawn(Ask::new(program.data, "GET", LEAD).as_role("admin").send());
    has_asked(&upstream).await;
    let began = Instant::now();
    signal(&program, "TERM");
    assert_eq!(program.wait().await, Some(0));
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert!(began.elapsed() < Duration::from_secs(10));
    let answered = within(under_way).await.unwrap();
    assert!(answered.status == 0 || answered.status == 503, "{}", answered.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let upstream = Upstream::demo().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", upstream.address);
    write_gate(folder.path(), &url, &format!("listen: {address}\n"), &[]);
    let ran = program(folder.path()).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}: the port is in use")), "{said}");
}
