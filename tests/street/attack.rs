//! Tries to find out what a role may not see: by filters, ranges, sorts, searches, conditions,
//! lengths, times and writes. The administrator finds out everything, so the attempts are good ones.

use std::time::{Duration, Instant};

use fieldgate::demo::crm::Crm;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::harness::*;

/// The lead whose secret is sought.
const VICTIM: u64 = 7;

fn secret_of(crm: &Crm, field: &str) -> String {
    crm.record("leads", VICTIM).unwrap().get(field).unwrap().as_text().unwrap().to_owned()
}

/// How many leads a list has that the attacker asked for, if it got one.
async fn count(gate: &Gate, role: &str, query: &str) -> Option<u64> {
    let answer = gate.get(&format!("/api/v1/leads/?{query}")).as_role(role).send().await;
    if answer.status != 200 {
        answer.expect_problem(403, "oracle_param");
        return None;
    }
    answer.json()["count"].as_u64()
}

/// Letter by letter: what the value begins with.
async fn by_beginnings(gate: &Gate, role: &str, field: &str, lookup: &str) -> String {
    let mut known = String::new();
    'letters: loop {
        for letter in "0123456789-abcdefghijklmnopqrstuvwxyz@._ ".chars() {
            let guess = format!("{known}{letter}").replace('@', "%40").replace(' ', "%20");
            let query = format!("id={VICTIM}&{field}__{lookup}={guess}");
            if count(gate, role, &query).await == Some(1) {
                known.push(letter);
                continue 'letters;
            }
        }
        return known;
    }
}

/// By halves: between which values it lies.
async fn by_ranges(gate: &Gate, role: &str, field: &str) -> String {
    let mut known = String::new();
    for _ in 0..11 {
        let mut found = None;
        for letter in "-0123456789".chars() {
            let query = format!("id={VICTIM}&{field}__gte={known}{letter}");
            if count(gate, role, &query).await == Some(1) {
                found = Some(letter);
            }
        }
        match found {
            Some(letter) => known.push(letter),
            None => break,
        }
    }
    known
}

/// By what a search for a piece of it finds.
async fn by_search(gate: &Gate, role: &str, beginning: &str) -> String {
    // Shorter pieces of a number stand in other fields too, so the beginning is given away.
    let mut known = beginning.to_owned();
    'letters: loop {
        for letter in "0123456789-".chars() {
            let query = format!("id={VICTIM}&search={known}{letter}");
            if count(gate, role, &query).await == Some(1) {
                known.push(letter);
                continue 'letters;
            }
        }
        return known;
    }
}

/// By its place among the others.
async fn by_order(gate: &Gate, role: &str, field: &str) -> Option<usize> {
    let target = format!("/api/v1/leads/?ordering={field}&page_size=1000");
    let answer = gate.get(&target).as_role(role).send().await;
    if answer.status != 200 {
        return None;
    }
    let body = answer.text().to_owned();
    let at = body.find(&format!("\"id\":{VICTIM},"))?;
    Some(body[..at].matches("\"id\":").count())
}

/// Row 24: no filter, range, sort or search tells of a hidden field.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_field_is_found_by_nobody_who_may_not_see_it() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = gate(&upstream).start().await;
    let ssn = secret_of(&crm, "ssn");
    let email = secret_of(&crm, "email");

    assert_eq!(by_beginnings(&gate, "admin", "ssn", "startswith").await, ssn);
    assert!(by_ranges(&gate, "admin", "ssn").await.starts_with(&ssn));
    assert_eq!(by_search(&gate, "admin", &ssn[..4]).await, ssn);
    assert_eq!(by_beginnings(&gate, "admin", "email", "istartswith").await, email);
    assert!(by_order(&gate, "admin", "ssn").await.is_some());

    for field in ["ssn", "email"] {
        for lookup in ["startswith", "istartswith", "contains", "endswith", "exact", "iexact"] {
            assert_eq!(
                by_beginnings(&gate, "sales_rep", field, lookup).await,
                "",
                "{field} {lookup}"
            );
        }
        assert_eq!(by_ranges(&gate, "sales_rep", field).await, "");
        assert_eq!(by_order(&gate, "sales_rep", field).await, None);
        assert_eq!(by_order(&gate, "sales_rep", &format!("-{field}")).await, None);
    }
    assert_eq!(by_search(&gate, "sales_rep", &ssn[..4]).await, ssn[..4]);

    let whole = ssn.as_str();
    for query in [
        format!("ssn={whole}"),
        format!("ssn__in={whole},x"),
        "ssn__isnull=false".to_owned(),
        format!("SSN={whole}"),
        format!("s%73n={whole}"),
        format!("ssn%5B%5D={whole}"),
        format!("id=7&ssn={whole}&ssn="),
        format!("id=7;ssn={whole}"),
        format!("x=1&ordering=id,ssn"),
        format!("search={whole}"),
        format!("owner__email=x"),
        format!("emails__value={email}"),
        format!("custom_fields__icontains=x"),
        format!("internal_notes__contains=x"),
        format!("fields=ssn"),
        format!("%2573sn={whole}"),
    ] {
        let target = format!("/api/v1/leads/?{query}");
        let answer = gate.get(&target).as_role("sales_rep").send().await;
        answer.expect_problem(403, "oracle_param");
    }
    gate.get("/api/v1/leads/?ssn=%zz")
        .as_role("sales_rep")
        .send()
        .await
        .expect_problem(400, "bad_query");
    let is_lists = |target: &str| target.starts_with("/api/v1/leads/?");
    let asked: Vec<_> = crm
        .requests()
        .into_iter()
        .filter(|request| {
            let token = request.headers.get("authorization").map(|value| value.as_bytes().to_vec());
            is_lists(&request.target) && token.as_deref() == Some(b"Bearer demo-sales_rep")
        })
        .collect();
    assert!(asked.is_empty(), "{:?}", asked.first().map(|request| &request.target));
}

/// Everything that an answer consists of, but for what is new each time.
fn seen(answer: &Answered) -> String {
    let head: Vec<&str> = answer
        .head
        .split("\r\n")
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("date:") && !line.starts_with("x-correlation-id:")
        })
        .collect();
    let body = String::from_utf8_lossy(&answer.body);
    let id = answer.header("x-correlation-id").unwrap_or("none");
    format!("{}\n{}", head.join("\n"), body.replace(id, "ID"))
}

/// A CRM whose victim has this number and this address, and the gate in front of it.
async fn world(ssn: &str, email: &str) -> (Upstream, Gate) {
    let upstream = Upstream::demo().await;
    let path = format!("/api/v1/leads/{VICTIM}/");
    let body = json!({ "ssn": ssn, "email": email }).to_string();
    let patch = Ask::new(upstream.address, "PATCH", &path).as_role("admin").json(&body);
    assert_eq!(patch.send().await.status, 200);
    let gate = gate(&upstream).start().await;
    (upstream, gate)
}

/// Two worlds that differ in what a role may not see look the same to it, whatever it asks: no
/// status, no header, no length, no order tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn worlds_that_differ_in_secrets_look_alike() {
    // The mask of an address shows its length and its domain, so these differ in neither.
    let secrets =
        [("900-11-1111", "jo.aaaa@example.com"), ("987-65-4321-long", "jo.zzzz@example.com")];
    let (one, other) = loop {
        let one = world(secrets[0].0, secrets[0].1).await;
        let other = world(secrets[1].0, secrets[1].1).await;
        // Both must have been changed within the same second.
        let changed = |world: &(Upstream, Gate)| {
            let lead = world.0.crm.as_ref().unwrap().record("leads", VICTIM).unwrap();
            lead.get("updated_at").unwrap().to_string()
        };
        if changed(&one) == changed(&other) {
            break (one, other);
        }
    };
    let real_etag = |world: &(Upstream, Gate)| {
        let address = world.0.address;
        async move {
            let path = format!("/api/v1/leads/{VICTIM}/");
            let read = Ask::new(address, "GET", &path).as_role("admin").send().await;
            read.header("ETag").unwrap().to_owned()
        }
    };
    // The attacker has guessed the secret of the first world, and so knows its validator.
    let etag = real_etag(&one).await;
    assert_ne!(etag, real_etag(&other).await);
    let lead = format!("/api/v1/leads/{VICTIM}/");
    let (ssn, email) = secrets[0];
    let list = |query: &str| format!("/api/v1/leads/?{query}");
    type Dress = Box<dyn Fn(Ask) -> Ask>;
    let plain = || -> Dress { Box::new(|ask| ask) };
    let with = |name: &'static str, value: &str| -> Dress {
        let value = value.to_owned();
        Box::new(move |ask| ask.header(name, &value))
    };
    let sends = |label: &'static str, body: String| -> Dress {
        Box::new(move |ask| ask.body(label, &body))
    };
    let json_of = |body: Value| sends("application/json", body.to_string());
    let attempts: Vec<(&str, String, Dress)> = vec![
        ("GET", lead.clone(), plain()),
        ("HEAD", lead.clone(), plain()),
        ("GET", lead.clone(), with("If-None-Match", &etag)),
        ("HEAD", lead.clone(), with("If-None-Match", &etag)),
        ("GET", lead.clone(), with("If-Match", &etag)),
        ("GET", lead.clone(), with("Range", "bytes=0-200")),
        ("GET", lead.clone(), with("If-Modified-Since", "Wed, 25 Nov 2099 00:00:00 GMT")),
        ("GET", list("page_size=1000"), plain()),
        ("HEAD", list("page_size=1000"), plain()),
        ("GET", list("ordering=id&page=2"), plain()),
        ("GET", list(&format!("ssn={ssn}")), plain()),
        ("GET", list(&format!("ssn__startswith={ssn}")), plain()),
        ("GET", list(&format!("ssn__gt={ssn}")), plain()),
        ("GET", list(&format!("email={}", email.replace('@', "%40"))), plain()),
        ("GET", list("ordering=ssn"), plain()),
        ("GET", list("ordering=-email"), plain()),
        ("GET", list(&format!("search={ssn}")), plain()),
        ("GET", list(&format!("title={ssn}")), plain()),
        ("GET", list("id__gt=abc"), plain()),
        ("PATCH", lead.clone(), json_of(json!({"ssn": ssn}))),
        ("PATCH", lead.clone(), json_of(json!({"email": email}))),
        ("PUT", lead.clone(), json_of(json!({"ssn": ssn, "status": "new"}))),
        ("PUT", lead.clone(), json_of(json!({"email": email}))),
        ("POST", "/api/v1/leads/".to_owned(), json_of(json!({"last_name": "x", "email": email}))),
        ("PATCH", lead.clone(), sends("application/x-www-form-urlencoded", format!("ssn={ssn}"))),
        (
            "PATCH",
            lead.clone(),
            sends(
                "application/json-patch+json",
                json!([{"op":"test","path":"/ssn","value":ssn}]).to_string(),
            ),
        ),
        (
            "PATCH",
            lead.clone(),
            sends(
                "application/json-patch+json",
                json!([{"op":"copy","from":"/ssn","path":"/title"}]).to_string(),
            ),
        ),
    ];
    let conditional = |value: &str| -> Dress {
        let value = value.to_owned();
        Box::new(move |ask| ask.header("If-Match", &value).json(r#"{"status":"nonsense"}"#))
    };
    let writes =
        ["PUT", "PATCH", "DELETE"].map(|method| (method, lead.clone(), conditional(&etag)));
    let mut told_apart = 0;
    for (method, target, dress) in attempts.into_iter().chain(writes) {
        // A host of its own would show in the links of a list.
        let ask =
            |gate: &Gate, role: &str| dress(gate.request(method, &target).as_role(role)).send();
        let (first, second) = (ask(&one.1, "sales_rep").await, ask(&other.1, "sales_rep").await);
        let hosts = |text: String, gate: &Gate| text.replace(&gate.data.to_string(), "GATE");
        assert_eq!(
            hosts(seen(&first), &one.1),
            hosts(seen(&second), &other.1),
            "{method} {target}"
        );
        assert!(first.status != 0, "{method} {target}");
        if method == "GET" || method == "HEAD" {
            let (first, second) = (ask(&one.1, "admin").await, ask(&other.1, "admin").await);
            let differ = hosts(seen(&first), &one.1) != hosts(seen(&second), &other.1);
            told_apart += usize::from(differ);
        }
    }
    assert!(told_apart > 8, "an administrator tells the worlds apart: {told_apart}");
}

/// Whether two kinds of questions can be told apart by how long their answers take: the share of
/// pairs in which the one takes longer, far from one half. Ranks, because the load of the machine
/// stretches single answers, and pairs taken in turn, because it comes and goes.
fn can_be_told_apart(one: &[Duration], other: &[Duration]) -> bool {
    let longer = one.iter().map(|one| other.iter().filter(|other| one > *other).count());
    let longer: usize = longer.sum();
    let pairs = one.len() * other.len();
    // Chance alone comes this far in less than one of a million tries with sixty answers each.
    longer * 5 < pairs || longer * 5 > pairs * 4
}

/// Times the answers to a right and to a wrong guess, in turn.
async fn time_both(rounds: usize, mut ask: impl AsyncFnMut(bool)) -> [Vec<Duration>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    // The first answers open connections and compile plans.
    for _ in 0..4 {
        ask(true).await;
        ask(false).await;
    }
    for round in 0..rounds {
        for guess in if round % 2 == 0 { [true, false] } else { [false, true] } {
            let began = Instant::now();
            ask(guess).await;
            times[usize::from(guess)].push(began.elapsed());
        }
    }
    times
}

/// A CRM that thinks longer about a record that meets the question, as those with many do, and about
/// a write that changes nothing.
async fn thoughtful(secret: &'static str) -> Upstream {
    Upstream::connections(move |mut stream, seen| async move {
        while let Some(request) = read_message(&mut stream).await {
            let text = String::from_utf8_lossy(&request).into_owned();
            let meets = text.contains(secret);
            seen.lock().unwrap().push(text);
            if meets {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            let body = format!(r#"{{"id":7,"status":"new","email":"jo.aaaa@example.com","ssn":"{secret}"}}"#);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v7\"\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// The CRM is as slow as can be where a guess is right, so that whoever reaches it with a guess
/// knows. The administrator does; a role that may not see the field never gets a guess that far.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_an_answer_takes_tells_nothing_of_a_hidden_field() {
    const SECRET: &str = "900-11-1111";
    const WRONG: &str = "900-22-2222";
    let upstream = thoughtful(SECRET).await;
    let gate = gate(&upstream).start().await;
    let lead = format!("/api/v1/leads/{VICTIM}/");
    type Dress = fn(&Gate, &str, &str) -> Ask;
    let attempts: [(&str, Dress); 6] = [
        ("a filter", |gate, _, guess| gate.get(&format!("/api/v1/leads/?ssn={guess}"))),
        ("a beginning", |gate, _, guess| {
            gate.get(&format!("/api/v1/leads/?ssn__startswith={guess}"))
        }),
        ("a search", |gate, _, guess| gate.get(&format!("/api/v1/leads/?search={guess}"))),
        ("a condition", |gate, lead, guess| {
            gate.get(lead).header("If-None-Match", &format!("\"{guess}\""))
        }),
        ("a write", |gate, lead, guess| {
            gate.request("PATCH", lead).json(&json!({ "ssn": guess }).to_string())
        }),
        ("a patch", |gate, lead, guess| {
            let test = json!([{ "op": "test", "path": "/ssn", "value": guess }]).to_string();
            gate.request("PATCH", lead).body("application/json-patch+json", &test)
        }),
    ];
    let ask = async |role: &str, dress: Dress, is_right: bool| {
        let guess = if is_right { SECRET } else { WRONG };
        let answer = dress(&gate, &lead, guess).as_role(role).send().await;
        assert!(answer.status >= 200, "{}", answer.head);
    };
    for (what, dress) in attempts {
        let [wrong, right] =
            time_both(60, async |is_right| ask("sales_rep", dress, is_right).await).await;
        assert!(!can_be_told_apart(&right, &wrong), "{what}: {right:?} {wrong:?}");
    }
    let reached =
        upstream.heads().into_iter().filter(|head| head.contains(SECRET) || head.contains(WRONG));
    assert_eq!(reached.count(), 0, "a guess came as far as the CRM");
    // The same attempts tell who may see the field; the condition is never passed on to the CRM.
    for (what, dress) in attempts.into_iter().filter(|(what, _)| *what != "a condition") {
        let [wrong, right] =
            time_both(24, async |is_right| ask("admin", dress, is_right).await).await;
        assert!(can_be_told_apart(&right, &wrong), "{what}: {right:?} {wrong:?}");
    }
}

#[test]
fn the_comparison_of_times_is_a_good_one() {
    let times = |from: u64, step: u64| -> Vec<Duration> {
        (0..60).map(|at| Duration::from_micros(from + at * step % 977)).collect()
    };
    assert!(can_be_told_apart(&times(2000, 37), &times(1000, 41)));
    assert!(can_be_told_apart(&times(1000, 37), &times(2000, 41)));
    assert!(!can_be_told_apart(&times(1000, 37), &times(1000, 41)));
    // A few answers that the machine held up make no difference.
    let mut held_up = times(1000, 37);
    held_up.iter_mut().step_by(12).for_each(|time| *time += Duration::from_secs(1));
    assert!(!can_be_told_apart(&held_up, &times(1000, 41)));
}
