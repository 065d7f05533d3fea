//! Routes that are no API: open to everybody, but global entries hold there too.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::*;

const GLOBAL: &str = r#"
fields: { "$..password": hidden, "$..refresh": { mask: redact } }
passthrough:
  - { methods: [GET, POST], path: /login/ }
"#;

fn answer(content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nETag: \"raw\"\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn ask(content_type: &str, body: &str, pace: Pace) -> (Answered, String) {
    let upstream = Upstream::scripted(answer(content_type, body), pace).await;
    let gate = gate(&upstream).file("policies/global.yaml", GLOBAL).start().await;
    let answered = gate.get("/login/?next=/").header("Accept-Encoding", "gzip").send().await;
    let seen = upstream.seen.lock().unwrap().join("");
    (answered, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_filtered_by_the_global_entries() {
    for pace in PACES {
        let body = r#"{"password":"canary-1","refresh":"canary-2","access":"a"}"#;
        let (answered, seen) = ask("application/json", body, pace).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.text(), r#"{"refresh":"[REDACTED]","access":"a"}"#);
        assert!(answered.complete);
        assert_eq!(answered.header("ETag"), None);
        assert!(answered.header("X-Correlation-ID").is_some());
        assert!(seen.starts_with("GET /login/?next=/ HTTP/1.1"), "{seen}");
        assert!(seen.to_ascii_lowercase().contains("accept-encoding: identity"), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_never_comes_to_its_end() {
    for pace in PACES {
        let (answered, _) = ask("application/json", r#"{"password":"canary-1""#, pace).await;
        assert!(answered.status == 502 || !answered.complete, "{}", answered.head);
        assert!(!String::from_utf8_lossy(&answered.raw).contains("canary"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_else_passes_as_it_is() {
    let (answered, _) = ask("text/html", "<form>password</form>", Pace::OnePacket).await;
    assert_eq!((answered.status, answered.text()), (200, "<form>password</form>"));
    assert_eq!(answered.header("ETag"), Some("\"raw\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_is_for_routes_that_nobody_governs() {
    let upstream = Upstream::connections(|mut stream, seen| async move {
        let Some(request) = read_message(&mut stream).await else { return };
        seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
        let accepted =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    })
    .await;
    let global = "passthrough: [{ methods: [GET], path: /socket/ }]\n";
    let gate = gate(&upstream).file("policies/global.yaml", global).start().await;
    // Pingora ends an upgraded connection whose 101 overtakes the end of the request's own, empty
    // body, which only a CRM on the same machine is quick enough for. Clients connect again.
    let mut tries = 1;
    while !is_echoed(&gate).await {
        tries += 1;
        assert!(tries < 50, "no socket stays open: {}", gate.logged());
    }

    let governed = gate.get("/api/v1/leads/1/").as_role("admin").header("Upgrade", "websocket");
    governed.send().await.expect_problem(400, "upgrade");
    assert_eq!(upstream.heads().len(), tries, "the governed one was not forwarded");
}

/// Opens a socket and says something; whether it came back, or the connection ended before.
async fn is_echoed(gate: &Gate) -> bool {
    let mut stream = TcpStream::connect(gate.data).await.unwrap();
    let ask =
        "GET /socket/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let mut said = false;
    within(async {
        while !read.ends_with(b"hello") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..count]);
            if !said && read.ends_with(b"\r\n\r\n") {
                said = true;
                // It may have ended already.
                let _ = stream.write_all(b"hello").await;
            }
        }
    })
    .await;
    assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&read));
    read.ends_with(b"hello")
}
