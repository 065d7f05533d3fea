//! A panic, or a failure where none should be, ends one request: before the head with a problem,
//! after it with the connection, and never with a byte that was not filtered.

use super::canary::Canaries;
use super::harness::*;
use super::program::Program;

const LEADS: &str = "/api/v1/leads/";
const SECRET: &str = "canary-ssn";

fn list(leads: usize) -> String {
    let lead = format!(r#"{{"id":1,"title":"Head","ssn":"{SECRET}"}}"#);
    format!(r#"{{"count":{leads},"results":[{}]}}"#, vec![lead; leads].join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_head_is_a_problem_and_the_next_request_is_answered() {
    for fault in ["answer.filter=panic:1", "answer.filter=error:1"] {
        let upstream = Upstream::scripted(json_answer(&list(3)), Pace::OnePacket).await;
        let program = Program::failing(&upstream, "", fault).await;
        let ask = Ask::new(program.data, "GET", LEADS).as_role("sales_rep");
        let failed = within(ask.clone().send()).await;
        failed.expect_problem(500, "internal");
        Canaries::new([SECRET]).assert_not_in(fault, failed.text().as_bytes());
        let good = within(ask.send()).await;
        assert_eq!(good.status, 200, "{fault}");
        assert!(good.text().contains("Head") && !good.text().contains(SECRET), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_after_the_head_ends_the_connection() {
    for fault in ["answer.filter=panic:4", "answer.filter=error:4"] {
        let upstream = Upstream::scripted(json_answer(&list(20_000)), Pace::OnePacket).await;
        let program = Program::failing(&upstream, "limits: { hold: 4KiB }", fault).await;
        let ask = Ask::new(program.data, "GET", LEADS).as_role("sales_rep");
        let broken = within(ask.clone().send()).await;
        assert_eq!(broken.status, 200, "{fault}: {}", broken.head);
        assert!(!broken.complete, "{fault}: it must not look complete");
        Canaries::new([SECRET]).assert_not_in(fault, &broken.raw);
        assert_eq!(within(ask.send()).await.status, 200, "{fault}: the next one is answered");
    }
}
