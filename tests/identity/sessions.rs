//! People whom the CRM knows by session, password or key: Fieldgate takes its word, briefly.

use data_encoding::BASE64;
use fieldgate::demo::crm::PEOPLE;

use super::canary::Canaries;
use super::harness::*;
use super::{asking_gate, forwarded, metric, questions};

const LEAD: &str = "/api/v1/leads/1/";

/// Logs in through the gate; the cookie of the session.
async fn log_in(gate: &Gate, username: &str, password: &str) -> String {
    let body = format!(r#"{{"username":"{username}","password":"{password}"}}"#);
    let answer = gate.request("POST", "/login/").json(&body).send().await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

async fn see(gate: &Gate, cookie: &str) -> Answered {
    gate.get(LEAD).header("Cookie", cookie).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_credential_means_the_same_person() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    for (person, role) in PEOPLE.into_iter().zip(ROLES) {
        let expected = gate.get(LEAD).as_role(role).send().await;
        let session = log_in(&gate, person.username, person.token).await;
        let basic = BASE64.encode(format!("{}:{}", person.username, person.token).as_bytes());
        for (name, value) in [
            ("Cookie", format!("theme=dark; {session}")),
            ("Authorization", format!("Basic {basic}")),
            ("X-Api-Key", person.api_key.to_owned()),
        ] {
            let seen = gate.get(LEAD).header(name, &value).send().await;
            assert_eq!(seen.status, 200, "{name} {role}: {}", seen.head);
            assert_eq!(seen.text(), expected.text(), "{name} as {role}");
        }
    }
    assert_eq!(questions(&upstream), 3 * PEOPLE.len(), "one question a credential");
    let answered = r#"fieldgate_identity_questions_total{outcome="answered",source="who_am_i"}"#;
    assert_eq!(metric(&gate, answered).await, 15);
    let identified = r#"fieldgate_identifications_total{outcome="identified",source="who_am_i"}"#;
    assert_eq!(metric(&gate, identified).await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_crm_does_not_know_is_refused_and_asked_for_once() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    for _ in 0..3 {
        see(&gate, "sessionid=invented").await.expect_problem(401, "credentials_invalid");
    }
    assert_eq!((questions(&upstream), forwarded(&upstream)), (1, 0));
    let refused = r#"fieldgate_identifications_total{outcome="not_recognised",source="who_am_i"}"#;
    assert_eq!(metric(&gate, refused).await, 3);

    // What has two readings is not even asked for.
    let twice = gate.get(LEAD).header("Cookie", "sessionid=a; sessionid=b").send().await;
    twice.expect_problem(401, "credentials_invalid");
    let beside = gate
        .get(LEAD)
        .header("X-Api-Key", PEOPLE[0].api_key)
        .header("Authorization", "Digest username=ann")
        .send()
        .await;
    beside.expect_problem(401, "credentials_invalid");
    gate.get(LEAD)
        .header("Cookie", "theme=dark")
        .send()
        .await
        .expect_problem(401, "credentials_missing");
    assert_eq!((questions(&upstream), forwarded(&upstream)), (1, 0));
}

/// The rules would be those of the token's owner, and the data those of the session's.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_the_session_of_another_is_refused() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    let rep = PEOPLE.into_iter().zip(ROLES).find(|(_, role)| *role == "sales_rep").unwrap().0;
    let session = log_in(&gate, rep.username, rep.token).await;
    let before = forwarded(&upstream);
    for (name, value) in
        [("Cookie", session.as_str()), ("Cookie", "sessionid=invented"), ("X-Api-Key", rep.api_key)]
    {
        let both = gate.get(LEAD).as_role("admin").header(name, value).send().await;
        both.expect_problem(401, "credentials_invalid");
    }
    assert_eq!(forwarded(&upstream), before);
    let refused =
        r#"fieldgate_identifications_total{outcome="second_credential",source="who_am_i"}"#;
    assert_eq!(metric(&gate, refused).await, 3);
    let beside = gate.get(LEAD).as_role("admin").header("Cookie", "theme=dark").send().await;
    assert_eq!(beside.status, 200, "{}", beside.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_holds_from_the_next_request_on() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    let session = log_in(&gate, "sam", "demo-sales_rep").await;
    assert_eq!(see(&gate, &session).await.status, 200);
    assert_eq!(see(&gate, &session).await.status, 200);
    let gone = gate.request("POST", "/logout/").header("Cookie", &session).json("{}").send().await;
    assert_eq!(gone.status, 204, "{}", gone.head);
    see(&gate, &session).await.expect_problem(401, "credentials_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_other_sessions() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    let one = log_in(&gate, "sam", "demo-sales_rep").await;
    let two = log_in(&gate, "sam", "demo-sales_rep").await;
    let other = log_in(&gate, "ann", "demo-admin").await;
    for session in [&one, &two, &other] {
        assert_eq!(see(&gate, session).await.status, 200);
    }
    let change = r#"{"old_password":"demo-sales_rep","new_password":"another one"}"#;
    let changed = gate.request("POST", "/password/").header("Cookie", &one).json(change);
    assert_eq!(changed.send().await.status, 204);
    let asked = questions(&upstream);
    see(&gate, &two).await.expect_problem(401, "credentials_invalid");
    assert_eq!(see(&gate, &one).await.status, 200);
    assert_eq!(questions(&upstream), asked + 2);
    assert_eq!(see(&gate, &other).await.status, 200);
    assert_eq!(questions(&upstream), asked + 2, "nobody else is forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_cannot_tell_makes_nobody_known() {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".into(),
        json_answer("<html>"),
        b"nonsense".to_vec(),
    ] {
        let upstream = Upstream::scripted(answer, Pace::OnePacket).await;
        let gate = asking_gate(&upstream, "").await;
        let seen = see(&gate, "sessionid=abc").await;
        seen.expect_problem(503, "identity_unavailable");
        assert_eq!(seen.header("Retry-After"), Some("1"));
        assert_eq!(seen.header("WWW-Authenticate"), None);
        let heads = upstream.seen.lock().unwrap().clone();
        assert!(heads.iter().all(|head| head.starts_with("GET /api/v1/me/ ")), "{heads:?}");
        let failed = r#"fieldgate_identity_questions_total{outcome="failed",source="who_am_i"}"#;
        assert_eq!(metric(&gate, failed).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_is_silent_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = Upstream::demo().await;
    let silent = format!(
        "  - who_am_i:\n      url: http://{address}/me\n      timeout: 50ms\n      credentials: {{ cookies: [sessionid] }}\n      subject: $.id\n      roles: $.roles"
    );
    let gate = gate(&upstream).config(&silent).start().await;
    let seen = within(see(&gate, "sessionid=abc")).await;
    seen.expect_problem(503, "identity_unavailable");
    assert_eq!(forwarded(&upstream), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_in_anything_that_leaves() {
    let upstream = Upstream::demo().await;
    let gate = asking_gate(&upstream, "").await;
    let session = log_in(&gate, "sam", "demo-sales_rep").await;
    let secret = session.strip_prefix("sessionid=").unwrap();
    let basic = BASE64.encode(b"sam:wrong-password-4711");
    let answers = [
        see(&gate, &session).await,
        see(&gate, "sessionid=invented-session-4711").await,
        gate.get(LEAD).header("X-Api-Key", PEOPLE[1].api_key).send().await,
        gate.get(LEAD).header("X-Api-Key", "invented-key-4711").send().await,
        gate.get(LEAD).header("Authorization", &format!("Basic {basic}")).send().await,
        gate.get("/api/v1/nowhere/").header("Cookie", &session).send().await,
    ];
    let answers: Vec<&Answered> = answers.iter().collect();
    let canaries = Canaries::new([
        secret,
        "invented-session-4711",
        PEOPLE[1].api_key,
        "invented-key-4711",
        "wrong-password-4711",
        "demo-sales_rep",
        basic.as_str(),
    ]);
    canaries.assert_absent(&gate, &answers).await;
    // The CRM itself did get what belongs to it.
    let heads = upstream.crm.as_ref().unwrap().requests();
    assert!(heads.iter().any(|head| {
        head.target == LEAD && head.headers.get("cookie").is_some_and(|value| value == &session)
    }));
}
