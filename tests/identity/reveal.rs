//! Masks turned back into values: for whom, of what, how often, and with which keys.

use std::collections::HashSet;

use fieldgate::audit::{self, AuditEntry, Kind, Query, SCHEMA};
use fieldgate::demo::crm::PEOPLE;
use fieldgate::mask::{KeyId, KeyRing};
use fieldgate::store::{DATABASE, Visitor};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harness::*;
use super::metric;

/// Leads whose masks can be turned back, in each of the three ways.
const LEAD: &str = r#"
resource: lead
id: id
routes:
  - { methods: [GET, PUT, PATCH], path: "/api/v1/leads/{id}/", records: "$" }
  - { methods: [GET, POST], path: "/api/v1/leads/", records: "$.results[*]", envelope: [count, next, previous] }
fields:
  "$..email": { pii: true, mask: encrypt, detokenize: true }
  "$..phone": { pii: true, mask: { tokenize: { vault: true } }, detokenize: true }
  "$..external_id": { pii: true, mask: tokenize, detokenize: true }
  "$..ssn": { pii: true, mask: encrypt }
  "$..last_name": { pii: true, mask: hash }
"#;

/// Sees masks only, and may turn three of four back.
const OFFICER: &str = r#"
role: support
lead: { default: view, "$..email": mask, "$..phone": mask, "$..external_id": mask, "$..ssn": mask, "$..last_name": mask }
reveal:
  lead: [email, "$..phone", external_id]
"#;

/// Sees the same masks, and may turn none back.
const CLERK: &str = r#"
role: marketing
lead: { default: view, "$..email": mask, "$..phone": mask, "$..external_id": mask, "$..ssn": mask, "$..last_name": mask }
"#;

const WRITER: &str = "role: admin\ndefault: edit\n";

fn token_of(subject: &str, roles: &str, tenant: &str) -> String {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(subject));
    format!(
        "      - {{ sha256: \"{digest}\", subject: {subject}, roles: [{roles}], tenant: {tenant} }}\n"
    )
}

async fn revealing(upstream: &Upstream, more: &str) -> Gate {
    let mut extra = "  - static_tokens:\n".to_owned();
    extra += &token_of("both", "support, marketing", "demo");
    extra += &token_of("stranger", "nothing", "demo");
    extra += "  - trusted_headers: { peers: [127.0.0.1/32], subject: X-User, roles: X-Roles, tenant: X-Company }\n";
    extra += "data_dir: data\n";
    gate(upstream)
        .config(extra.trim_end())
        .config(more)
        .file("data/.keep", "")
        .file("policies/resources/lead.yaml", LEAD)
        .file("policies/roles/support.yaml", OFFICER)
        .file("policies/roles/marketing.yaml", CLERK)
        .file("policies/roles/admin.yaml", WRITER)
        .start()
        .await
}

fn ask(gate: &Gate, who: &str, question: &Value) -> Ask {
    of(Ask::new(gate.admin, "POST", "/api/v1/reveal"), who).json(&question.to_string())
}

/// With the credentials of a caller. Those of another company come over a trusted proxy, with an API
/// key that this CRM knows.
fn of(ask: Ask, who: &str) -> Ask {
    let Some(role) = who.strip_prefix("globex-") else {
        return ask.header("Authorization", &format!("Bearer {who}"));
    };
    ask.header("X-User", who)
        .header("X-Roles", role)
        .header("X-Company", "globex")
        .header("X-Api-Key", PEOPLE[0].api_key)
}

fn question(field: &str, record: Option<u64>, mask: &Value) -> Value {
    let record = record.map(|id| id.to_string());
    json!({ "resource": "lead", "field": field, "record": record, "value": mask })
}

/// What a role is shown of a lead, and what the CRM has.
async fn lead(gate: &Gate, upstream: &Upstream, who: &str, id: u64) -> (Value, Value) {
    let path = format!("/api/v1/leads/{id}/");
    let seen = of(gate.get(&path), who).send().await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    let real = Ask::new(upstream.address, "GET", &path).as_role("admin").send().await;
    (seen.json(), real.json())
}

fn entries(gate: &Gate) -> Vec<AuditEntry> {
    let store = Visitor::reader(&gate.folder.path().join("data"), &[SCHEMA]).unwrap();
    let found = store.read(|connection| audit::query(connection, &Query::default())).unwrap();
    let entries = found.into_iter().map(|stored| stored.entry.unwrap());
    entries.filter(|entry| entry.kind == Kind::Reveal).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_come_back_for_who_has_the_right_and_every_question_is_written_down() {
    let upstream = Upstream::demo().await;
    let gate = revealing(&upstream, "").await;
    let (seen, real) = lead(&gate, &upstream, "demo-support", 4).await;
    for (field, record, begin) in [
        ("email", Some(4), "enc:"),
        ("$..phone", None, "token_"),
        ("phone", None, "token_"),
        ("external_id", None, "token_"),
    ] {
        let name = field.trim_start_matches("$..");
        assert!(seen[name].as_str().unwrap().starts_with(begin), "{seen}");
        let told = ask(&gate, "demo-support", &question(field, record, &seen[name]));
        let told = told.header("X-Correlation-ID", "abc-7").send().await;
        assert_eq!((told.status, told.json()), (200, json!({ "value": real[name] })), "{field}");
        assert_eq!(told.header("X-Correlation-ID"), Some("abc-7"));
        assert!(told.header("Cache-Control").unwrap().contains("no-store"));
        let entry = entries(&gate).pop().unwrap();
        assert_eq!(entry.subject.as_deref(), Some("user-support"));
        assert_eq!(entry.tenant.as_deref(), Some("demo"));
        assert_eq!(entry.fields[0].field, format!("$..{name}"));
        assert_eq!(entry.fields[0].act, "revealed");
        assert!(
            entry.fields[0].origin.starts_with("policies/roles/support.yaml:")
                || entry.fields[0].origin.contains("roles/support.yaml:"),
            "{entry:?}"
        );
        assert_eq!(
            entry.objects,
            record.map(|id: u64| id.to_string()).into_iter().collect::<Vec<_>>()
        );
        assert_eq!((entry.status, entry.correlation_id.as_str()), (Some(200), "abc-7"));
    }
    // The list is bound to its records as the single record is.
    let list = gate.get("/api/v1/leads/?page_size=3").as_role("support").send().await.json();
    for record in list["results"].as_array().unwrap() {
        let told =
            ask(&gate, "demo-support", &question("email", record["id"].as_u64(), &record["email"]));
        assert_eq!(told.send().await.status, 200, "{record}");
    }
    assert_eq!(metric(&gate, "fieldgate_reveals_total{outcome=\"revealed\"}").await, 7);
    // Short tokens do not tell a length, and equal values have equal ones.
    let again = lead(&gate, &upstream, "demo-support", 4).await.0;
    assert_eq!(again["phone"], seen["phone"]);
    let lengths: HashSet<usize> = list["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["phone"].as_str())
        .map(str::len)
        .collect();
    assert_eq!(lengths.len(), 1, "{list}");

    let folder = gate.stop_and_keep().await;
    let database = std::fs::read(folder.path().join("data").join(DATABASE)).unwrap();
    for name in ["email", "phone", "external_id"] {
        let canary = real[name].to_string();
        let canary = canary.trim_matches('"').as_bytes();
        assert!(!database.windows(canary.len()).any(|part| part == canary), "{name} lies open");
    }
}

/// Row 36: a mask of another company, field or record is not turned back.
#[tokio::test(flavor = "multi_thread")]
async fn all_refusals_look_alike_and_swapped_masks_are_refused() {
    let upstream = Upstream::demo().await;
    let gate = revealing(&upstream, "").await;
    let (own, _) = lead(&gate, &upstream, "demo-support", 4).await;
    let (other, _) = lead(&gate, &upstream, "demo-support", 6).await;
    let (foreign, _) = lead(&gate, &upstream, "globex-support", 4).await;
    assert_ne!(own["phone"], foreign["phone"], "companies have nothing in common");
    let changed = |mask: &Value| {
        let mut text = mask.as_str().unwrap().to_owned();
        let last = if text.pop() == Some('a') { 'b' } else { 'a' };
        json!(format!("{text}{last}"))
    };
    let questions = [
        // Without the right: the field, the role, the resource, the name.
        ("demo-support", question("ssn", Some(4), &own["ssn"]), "reveal_no_right"),
        ("demo-support", question("last_name", None, &own["last_name"]), "reveal_no_right"),
        ("demo-support", question("nonsense", None, &own["phone"]), "reveal_no_right"),
        (
            "demo-support",
            json!({"resource": "deal", "field": "email", "value": own["phone"]}),
            "reveal_no_right",
        ),
        ("demo-marketing", question("email", Some(4), &own["email"]), "reveal_no_right"),
        ("demo-admin", question("email", Some(4), &own["email"]), "reveal_no_right"),
        ("stranger", question("email", Some(4), &own["email"]), "reveal_no_right"),
        // Every role must have it, or a further role would reveal more.
        ("both", question("email", Some(4), &own["email"]), "reveal_no_right"),
        // Another record, field, company.
        ("demo-support", question("email", Some(6), &own["email"]), "reveal_not_ours"),
        ("demo-support", question("email", None, &own["email"]), "reveal_not_ours"),
        ("demo-support", question("email", Some(4), &other["email"]), "reveal_not_ours"),
        ("demo-support", question("email", Some(4), &own["ssn"]), "reveal_not_ours"),
        ("demo-support", question("external_id", None, &own["phone"]), "reveal_not_ours"),
        ("demo-support", question("phone", None, &own["external_id"]), "reveal_not_ours"),
        ("globex-support", question("phone", None, &own["phone"]), "reveal_not_ours"),
        ("globex-support", question("external_id", None, &own["external_id"]), "reveal_not_ours"),
        ("globex-support", question("email", Some(4), &own["email"]), "reveal_not_ours"),
        ("demo-support", question("email", Some(4), &foreign["email"]), "reveal_not_ours"),
        // Changed, made up, no mask at all.
        ("demo-support", question("email", Some(4), &changed(&own["email"])), "reveal_not_ours"),
        ("demo-support", question("phone", None, &changed(&own["phone"])), "reveal_not_ours"),
        (
            "demo-support",
            question("external_id", None, &changed(&own["external_id"])),
            "reveal_not_ours",
        ),
        ("demo-support", question("phone", None, &json!("token_aaaa")), "reveal_not_ours"),
        ("demo-support", question("phone", None, &json!("hash:00")), "reveal_not_ours"),
        ("demo-support", question("phone", None, &json!("")), "reveal_not_ours"),
    ];
    let mut looks = HashSet::new();
    let count = questions.len();
    for (who, question, reason) in questions {
        let answer = ask(&gate, who, &question).header("X-Correlation-ID", "same").send().await;
        let problem = answer.expect_problem_here(403, "reveal_refused");
        looks.insert(problem.to_string());
        let entry = entries(&gate).pop().unwrap();
        assert_eq!(entry.reason.as_deref(), Some(reason), "{who} {question}");
        assert_eq!(entry.status, Some(403));
        let mask = question["value"].as_str().unwrap();
        assert!(
            mask.len() < 8 || !entry.to_text().unwrap().contains(mask),
            "no mask in the ledger"
        );
    }
    assert_eq!(looks.len(), 1, "{looks:?}");
    assert_eq!(entries(&gate).len(), count);
    assert_eq!(metric(&gate, "fieldgate_reveals_total{outcome=\"refused\"}").await, count as u64);

    // Nobody known, nothing written.
    let nobody = Ask::new(gate.admin, "POST", "/api/v1/reveal");
    let nobody = nobody.json(&question("email", Some(4), &own["email"]).to_string()).send().await;
    nobody.expect_problem_here(401, "credentials");
    ask(&gate, "wrong", &question("email", Some(4), &own["email"]))
        .send()
        .await
        .expect_problem_here(401, "credentials");
    for body in [
        "",
        "[]",
        "{",
        r#"{"resource":"lead"}"#,
        r#"{"resource":"lead","field":"email","value":"x","tenant":"globex"}"#,
    ] {
        let asked = Ask::new(gate.admin, "POST", "/api/v1/reveal").as_role("support").json(body);
        asked.send().await.expect_problem_here(400, "reveal_question");
    }
    assert_eq!(
        Ask::new(gate.admin, "GET", "/api/v1/reveal").as_role("support").send().await.status,
        405
    );
    assert_eq!(entries(&gate).len(), count);
    // It is not on the data listener.
    let data = gate.request("POST", "/api/v1/reveal").as_role("support").json("{}").send().await;
    data.expect_problem(403, "no_route");
}

/// Runs `fieldgate reveal` against the gate, as the caller whose token it is.
async fn by_command(
    gate: &Gate,
    who: &str,
    arguments: &[&str],
    input: &str,
) -> (i32, String, String) {
    let token = gate.folder.path().join("caller.token");
    std::fs::write(&token, format!("{who}\n")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fieldgate"));
    command.arg("reveal").args(arguments).args([
        "--admin",
        &gate.admin.to_string(),
        "--token-file",
    ]);
    command.arg(token).env("NO_COLOR", "1");
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let input = input.as_bytes().to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let mut running = command.spawn().unwrap();
        // A command that wants no input may be gone by now.
        let _ = std::io::Write::write_all(&mut running.stdin.take().unwrap(), &input);
        running.wait_with_output().unwrap()
    });
    let ran = running.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_asks_at_the_same_door() {
    let upstream = Upstream::demo().await;
    let gate = revealing(&upstream, "").await;
    let (seen, real) = lead(&gate, &upstream, "demo-support", 4).await;
    let mask = |field: &str| seen[field].as_str().unwrap().to_owned();
    let (code, out, said) =
        by_command(&gate, "demo-support", &["lead", "email", &mask("email"), "--record", "4"], "")
            .await;
    assert_eq!((code, out.trim()), (0, real["email"].to_string().as_str()), "{said}");
    let masks = format!("{}\n\"{}\"\n", mask("phone"), mask("phone"));
    let (code, out, said) =
        by_command(&gate, "demo-support", &["lead", "phone", "-"], &masks).await;
    assert_eq!((code, out.lines().count()), (0, 2), "{said}");
    let (code, out, said) = by_command(
        &gate,
        "demo-marketing",
        &["lead", "email", &mask("email"), "--record", "4"],
        "",
    )
    .await;
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    assert!(said.contains("not revealed") && said.contains("no right"), "{said}");
    let (code, _, said) = by_command(&gate, "nobody", &["lead", "email", "x"], "").await;
    assert_eq!(code, 1, "{said}");
    assert_eq!(entries(&gate).len(), 4);
    let (code, _, said) = by_command(&gate, "a\u{7}b", &["lead", "email", "x"], "").await;
    assert_eq!(code, 2, "{said}");
}

trait ExpectHere {
    fn expect_problem_here(&self, status: u16, code: &str) -> Value;
}

impl ExpectHere for Answered {
    /// A problem of the admin listener.
    #[track_caller]
    fn expect_problem_here(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{} {}", self.head, self.text());
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_waits_and_others_do_not() {
    let upstream = Upstream::demo().await;
    let gate = revealing(&upstream, "reveal: { per_minute: 3 }").await;
    let (own, _) = lead(&gate, &upstream, "demo-support", 4).await;
    let good = question("phone", None, &own["phone"]);
    let bad = question("phone", None, &json!("token_a"));
    // Refused questions count as well, or guessing would be free.
    for (question, status) in [(&good, 200), (&bad, 403), (&bad, 403), (&good, 429), (&bad, 429)] {
        let answer = ask(&gate, "demo-support", question).send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 429 {
            let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
            assert!((1..=21).contains(&wait), "{wait}");
        }
    }
    assert_eq!(ask(&gate, "globex-support", &bad).send().await.status, 403);
    assert_eq!(metric(&gate, "fieldgate_reveals_total{outcome=\"limited\"}").await, 2);
    gate.until(async || entries(&gate).len() == 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_nothing_is_revealed() {
    let upstream = Upstream::demo().await;
    let silent = revealing(&upstream, "audit: { mode: off }").await;
    let (own, _) = lead(&silent, &upstream, "demo-support", 4).await;
    let answer = ask(&silent, "demo-support", &question("phone", None, &own["phone"])).send().await;
    answer.expect_problem_here(503, "reveal_unavailable");
    assert!(!answer.text().contains("value"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_under_load_of_old_masks_until_they_are_retired() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = revealing(&upstream, "reveal: { per_minute: 100000 }").await;
    let ring = gate.folder.path().join("keys.yaml");
    let (old, real) = lead(&gate, &upstream, "demo-support", 4).await;
    let before = crm.record("leads", 4).unwrap();

    let text = std::fs::read_to_string(&ring).unwrap();
    let id = KeyId::parse("t2").unwrap();
    let today = time::macros::date!(2026 - 11 - 25);
    let rotated = KeyRing::file_with_new_key(&text, &mut rand::rng(), &id, today, true).unwrap();
    put_in_place(&ring, rotated.expose_secret());
    gate.until(async || lead(&gate, &upstream, "demo-support", 4).await.0["phone"] != old["phone"])
        .await;
    let (new, _) = lead(&gate, &upstream, "demo-support", 4).await;
    assert!(new["email"].as_str().unwrap().starts_with("enc:t2."), "{new}");

    // The masks of both keys are known: revealed, turned back, and taken for "as it is".
    for seen in [&old, &new] {
        for (field, record) in [("email", Some(4)), ("phone", None), ("external_id", None)] {
            let told =
                ask(&gate, "demo-support", &question(field, record, &seen[field])).send().await;
            assert_eq!(told.json(), json!({ "value": real[field] }), "{field}");
            let body = json!({ field: seen[field] }).to_string();
            for who in ["demo-admin", "demo-support"] {
                let patch = gate
                    .request("PATCH", "/api/v1/leads/4/")
                    .header("Authorization", &format!("Bearer {who}"));
                let answer = patch.json(&body).send().await;
                assert_eq!(answer.status, 200, "{who} {field} {}", answer.text());
                assert_eq!(crm.record("leads", 4).unwrap().get(field), before.get(field), "{who}");
            }
        }
        let put = gate
            .request("PUT", "/api/v1/leads/4/")
            .as_role("support")
            .json(&seen_now(seen, &lead(&gate, &upstream, "demo-support", 4).await.0));
        let answer = put.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        for field in ["email", "phone", "external_id", "ssn", "last_name"] {
            assert_eq!(crm.record("leads", 4).unwrap().get(field), before.get(field));
        }
    }

    let text = std::fs::read_to_string(&ring).unwrap();
    let first = KeyId::parse("t1").unwrap();
    let retired = KeyRing::file_with_retired(&text, &first, today).unwrap();
    put_in_place(&ring, retired.expose_secret());
    let old_question = question("external_id", None, &old["external_id"]);
    gate.until(async || ask(&gate, "demo-support", &old_question).send().await.status == 403).await;
    for (field, record) in [("email", Some(4)), ("phone", None)] {
        let told = ask(&gate, "demo-support", &question(field, record, &old[field])).send().await;
        told.expect_problem_here(403, "reveal_refused");
        let told = ask(&gate, "demo-support", &question(field, record, &new[field])).send().await;
        assert_eq!(told.json(), json!({ "value": real[field] }), "{field}");
        // A mask that stands for nothing any more is never stored in its place.
        let body = json!({ field: old[field] }).to_string();
        let patch =
            gate.request("PATCH", "/api/v1/leads/4/").as_role("admin").json(&body).send().await;
        patch.expect_problem(409, "masked_value_writeback");
    }
    assert_eq!(crm.record("leads", 4).unwrap().get("email"), before.get("email"));
}

/// The record as it is shown now, with the masks that were shown before.
fn seen_now(masks: &Value, now: &Value) -> String {
    let mut sent = now.clone();
    for field in ["email", "phone", "external_id", "ssn", "last_name"] {
        sent[field] = masks[field].clone();
    }
    sent.to_string()
}

fn put_in_place(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_of_other_records_fields_and_companies_are_never_turned_back_in_a_write() {
    let upstream = Upstream::demo().await;
    let crm = upstream.crm.clone().unwrap();
    let gate = revealing(&upstream, "").await;
    let (own, real) = lead(&gate, &upstream, "demo-support", 4).await;
    let (other, others) = lead(&gate, &upstream, "demo-support", 6).await;
    let (foreign, _) = lead(&gate, &upstream, "globex-support", 6).await;
    let before = crm.record("leads", 4).unwrap().to_string();
    let write = |method: &str, path: &str, body: Value| {
        gate.request(method, path).as_role("admin").json(&body.to_string()).send()
    };
    for body in [
        json!({ "email": other["email"] }),
        json!({ "email": foreign["email"] }),
        json!({ "phone": foreign["phone"] }),
        json!({ "external_id": foreign["external_id"] }),
        json!({ "phone": own["external_id"] }),
        json!({ "external_id": own["phone"] }),
        json!({ "email": own["ssn"] }),
        // Where no field has masks of its own, and where a name is nobody's.
        json!({ "title": own["email"] }),
        json!({ "custom_fields": { "note": own["phone"] } }),
    ] {
        for method in ["PATCH", "PUT"] {
            let answer = write(method, "/api/v1/leads/4/", body.clone()).await;
            answer.expect_problem(409, "masked_value_writeback");
        }
    }
    // A new record is none of those that encrypted values are bound to.
    let post =
        write("POST", "/api/v1/leads/", json!({ "last_name": "x", "email": own["email"] })).await;
    post.expect_problem(409, "masked_value_writeback");
    assert_eq!(crm.record("leads", 4).unwrap().to_string(), before);

    // What belongs here is turned back: tokens of the field also in another record.
    let body = json!({ "email": own["email"], "phone": other["phone"], "external_id": own["external_id"] });
    assert_eq!(write("PATCH", "/api/v1/leads/4/", body).await.status, 200);
    let now: Value = serde_json::from_str(&crm.record("leads", 4).unwrap().to_string()).unwrap();
    assert_eq!((&now["email"], &now["phone"]), (&real["email"], &others["phone"]));
    assert_eq!(now["external_id"], real["external_id"]);
}
