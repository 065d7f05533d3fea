//! Bodies against small policies, as the street would settle them.

use std::sync::{Arc, OnceLock};

use proptest::prelude::{Just, prop};
use proptest::strategy::Strategy as _;
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use super::*;
use crate::diagnostic::SourceFile;
use crate::guard::Current;
use crate::json::filter::{Filter, FilterLimits, Replacer};
use crate::json::navigate::Slot;
use crate::mask::{Masker, NonceSequence, SecretError, SecretSource};
use crate::policy::plan::{Purpose, Scope};
use crate::policy::set::{PolicySet, Role};

struct NoSecrets;

impl SecretSource for NoSecrets {
    fn environment(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }

    fn file(&self, _: &str) -> Result<SecretString, SecretError> {
        Err(SecretError::Missing)
    }
}

const KEYS: &str =
    "active: k1\nkeys:\n  k1: { secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= }\n";

const LEAD: &str = r#"
resource: lead
WRITES
routes:
  - { methods: [GET, PUT, PATCH, POST], path: /leads/1/, records: "RECORDS" BODY }
fields:
  "$..email": { mask: { partial: { show_first: 2, keep_domain: true } } }
  "$..phone": { mask: hash }
  "$..iban": { mask: encrypt }
  "$..token": { mask: tokenize, detokenize: true }
  "$..card": { mask: { tokenize: { vault: true } }, detokenize: true }
  "$..slip": { mask: { tokenize: { vault: true } } }
  "$..budget": { mask: { as: null } }
"#;

/// One resource, one role, one tenant.
pub(super) struct Stage {
    set: Arc<PolicySet>,
    keys: KeyRing,
    resource: String,
    /// The place of its route.
    route: usize,
    role: String,
    /// Compiled when they are first asked for: reading, writing, the registry.
    plans: [OnceLock<Plan>; 3],
}

struct Masks(Vec<Masker>, NonceSequence, Option<crate::json::Selection>, Option<String>);

impl Replacer for Masks {
    fn replace(
        &mut self,
        slot: Slot,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), crate::json::Refusal> {
        self.0[slot.0 as usize].mask_in(raw, self.3.as_deref(), &mut self.1, out).unwrap();
        Ok(())
    }

    fn record_begins(&mut self, raw: &[u8]) {
        self.3 = self.2.as_ref().and_then(|id| id.id_in(raw));
    }
}

impl Stage {
    fn new(role: &str) -> Self {
        Self::with(role, "", "$", "")
    }

    fn with(role: &str, writes: &str, records: &str, body: &str) -> Self {
        let lead = LEAD.replace("WRITES", writes).replace("RECORDS", records).replace("BODY", body);
        Self::of(&lead, role)
    }

    fn of(lead: &str, role: &str) -> Self {
        let lead = lead.replace("WRITES", "").replace("RECORDS", "$").replace("BODY", "");
        let files = [
            SourceFile::new("resources/lead.yaml", lead),
            SourceFile::new("roles/r.yaml", format!("role: r\n{role}")),
        ];
        let read = crate::policy::read("".as_ref(), &files);
        let set = read
            .set
            .unwrap_or_else(|| panic!("{}", crate::diagnostic::render(&read.findings, false, 100)));
        Self::made(Arc::new(set), "lead", 0, "r")
    }

    fn made(set: Arc<PolicySet>, resource: &str, route: usize, role: &str) -> Self {
        let keys = KeyRing::read(&SourceFile::new("keys.yaml", KEYS), &NoSecrets).unwrap();
        let (resource, role) = (resource.to_owned(), role.to_owned());
        Self { set, keys, resource, route, role, plans: Default::default() }
    }

    /// Every shipped resource and role, with every field of the registry masked in one way.
    fn shipped(strategy: Option<&crate::mask::Strategy>) -> Vec<Self> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut set = crate::policy::load(&folder).set.unwrap();
        for resource in set.resources.values_mut() {
            for field in &mut Arc::get_mut(resource).unwrap().fields {
                field.strategy = strategy.cloned().or_else(|| field.strategy.clone());
            }
        }
        let set = Arc::new(set);
        let one = |route: &crate::policy::set::Route| {
            route.records.means_one_value() && route.methods.contains(&http::Method::PUT)
        };
        let mut stages = Vec::new();
        for (name, resource) in &set.resources {
            let route = resource.routes.iter().position(one).unwrap();
            for role in set.roles.keys() {
                stages.push(Self::made(Arc::clone(&set), name, route, role));
            }
        }
        stages
    }

    fn plan(&self, purpose: Purpose) -> &Plan {
        let at = match purpose {
            Purpose::Read => 0,
            Purpose::Write => 1,
            _ => 2,
        };
        self.plans[at].get_or_init(|| {
            let resource = &self.set.resources[&self.resource];
            let scope = Scope { resource, route: &resource.routes[self.route] };
            let roles: Vec<&Role> = match purpose {
                Purpose::Registry => Vec::new(),
                _ => vec![&*self.set.roles[&self.role]],
            };
            Plan::compile(Some(scope), &roles, &self.set.global, purpose).unwrap()
        })
    }

    /// What the role is shown of a document.
    pub(super) fn shown(&self, real: &str) -> String {
        let plan = self.plan(Purpose::Read);
        let masker = |slot: &crate::policy::plan::MaskSlot| {
            self.keys.masker(&slot.strategy, "acme", &slot.field).unwrap()
        };
        let maskers = plan.slots.iter().map(masker).collect();
        let masks = Masks(maskers, NonceSequence::new([3; 8]), plan.record_id.clone(), None);
        let limits = FilterLimits { replaced_value: 1 << 20, held_value: 1 << 20 };
        let mut filter = Filter::new(Arc::clone(&plan.automaton), masks, limits);
        let mut out = Vec::new();
        filter.push(real.as_bytes(), &mut out).unwrap();
        filter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn settle(
        &self,
        method: &str,
        label: &str,
        body: &str,
        current: Option<&str>,
    ) -> Result<String, Denied> {
        let (settled, body) = self.settled(method, label, body, current)?;
        let _ = settled;
        Ok(body)
    }

    fn settled(
        &self,
        method: &str,
        label: &str,
        body: &str,
        current: Option<&str>,
    ) -> Result<(Settled, String), Denied> {
        self.settled_with(method, label, body, current, &LookedUp::new())
    }

    fn settled_with(
        &self,
        method: &str,
        label: &str,
        body: &str,
        current: Option<&str>,
        vaulted: &LookedUp,
    ) -> Result<(Settled, String), Denied> {
        let (plan, registry) = (self.plan(Purpose::Write), self.plan(Purpose::Registry));
        let resource = &self.set.resources[&self.resource];
        let route = &resource.routes[self.route];
        let rights = Rights {
            writes: resource.writes,
            plan,
            registry,
            body: route.records_in_body(),
            keys: Some(&self.keys),
            tenant: "acme",
            vaulted,
        };
        let form = Form::of(label).unwrap();
        let update = Update::of(&method.parse().unwrap());
        let nothing = Settled { body: None, tally: Tally::default(), reported: Vec::new() };
        if look(&rights, &form, update, body.as_bytes())? == Look::Fine {
            return Ok((nothing, body.to_owned()));
        }
        let shown = current.map(|real| self.shown(real));
        let known = match (current, &shown) {
            (Some(real), Some(shown)) => Known::Record(Current {
                real: real.as_bytes(),
                shown: shown.as_bytes(),
                records: &route.records,
            }),
            _ => Known::Unknown,
        };
        let settled = settle(&rights, &form, update, body.as_bytes(), known)?;
        let out = match &settled.body {
            Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            None => body.to_owned(),
        };
        Ok((settled, out))
    }
}

fn not_writable(names: &[&str]) -> Result<String, Denied> {
    Err(Denied::NotWritable(names.iter().map(|&name| name.to_owned()).collect()))
}

fn masked(names: &[&str]) -> Result<String, Denied> {
    Err(Denied::MaskedValue(names.iter().map(|&name| name.to_owned()).collect()))
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PATCH: &str = "application/json-patch+json";

const REP: &str = r#"lead: { "$..email": mask, "$..phone": mask, "$..iban": mask, "$..token": mask, "$..budget": mask, "$..ssn": hidden, status: edit, "$.owner.note": edit, tags: edit }"#;

const REAL: &str = r#"{"id":7,"status":"new","email":"john@x.org","phone":"555-1234","iban":"DE12","token":"t-1","budget":1.10,"ssn":"900","owner":{"id":1,"email":"o@x.org","ssn":"1","note":"a"},"tags":["a"]}"#;

#[track_caller]
fn check(
    role: &str,
    method: &str,
    label: &str,
    body: &str,
    current: Option<&str>,
    expect: Result<&str, Denied>,
) {
    let found = Stage::new(role).settle(method, label, body, current);
    assert_eq!(found, expect.map(ToOwned::to_owned), "{method} {label} {body}");
}

#[test]
fn a_record_put_straight_back_is_no_change() {
    let stage = Stage::new(REP);
    let shown = stage.shown(REAL);
    assert!(!shown.contains("ssn") && shown.contains("enc:") && shown.contains("hash:"));
    let put: Json =
        serde_json::from_str(&stage.settle("PUT", JSON, &shown, Some(REAL)).unwrap()).unwrap();
    assert_eq!(put, serde_json::from_str::<Json>(REAL).unwrap());

    let (settled, patched) = stage.settled("PATCH", JSON, &shown, Some(REAL)).unwrap();
    let patched: Json = serde_json::from_str(&patched).unwrap();
    // The nested object is written whole by most servers, so what its sender could not see is in it.
    let owner = json!({"id":1,"email":"o@x.org","ssn":"1","note":"a"});
    assert_eq!(patched, json!({"status":"new","owner":owner,"tags":["a"]}));
    assert_eq!(settled.tally.stripped, 0);
    assert!(settled.tally.kept > 5);
}

#[test]
fn only_real_changes_are_violations() {
    let stage = Stage::new(REP);
    let shown: Json = serde_json::from_str(&stage.shown(REAL)).unwrap();
    let with = |name: &str, value: Json| {
        let mut changed = shown.clone();
        changed[name] = value;
        changed.to_string()
    };
    let put = |body: &str| stage.settle("PUT", JSON, body, Some(REAL));
    let qualified = put(&with("status", json!("qualified"))).unwrap();
    let qualified: Json = serde_json::from_str(&qualified).unwrap();
    assert_eq!(qualified["status"], "qualified");
    assert_eq!(qualified["email"], "john@x.org");
    assert_eq!(qualified["owner"]["ssn"], "1");
    assert_eq!(put(&with("id", json!(8))), not_writable(&["id"]));
    assert_eq!(put(&with("email", json!("jo**@y.org"))), not_writable(&["email"]));
    assert_eq!(put(&with("new", json!(1))), not_writable(&["new"]));
}

/// If a right guess passed, a write would be a way to ask.
#[test]
fn a_right_guess_is_refused_like_a_wrong_one() {
    for (name, right, wrong) in [
        ("email", json!("john@x.org"), json!("jane@x.org")),
        ("phone", json!("555-1234"), json!("555-1235")),
        ("iban", json!("DE12"), json!("DE13")),
        ("token", json!("t-1"), json!("t-2")),
        ("budget", json!(1.10), json!(1.2)),
        ("ssn", json!("900"), json!("901")),
    ] {
        for guess in [right, wrong] {
            let body = json!({ name: guess }).to_string();
            for method in ["PUT", "PATCH", "POST"] {
                check(
                    REP,
                    method,
                    JSON,
                    &body,
                    Some(REAL),
                    Err(Denied::NotWritable(vec![name.into()])),
                );
            }
            let test = json!([{"op":"test","path":format!("/{name}"),"value":guess}]).to_string();
            check(
                REP,
                "PATCH",
                PATCH,
                &test,
                Some(REAL),
                Err(Denied::NotWritable(vec![name.into()])),
            );
            if let Some(text) = guess.as_str() {
                let form = format!("{name}={text}");
                check(
                    REP,
                    "PATCH",
                    FORM,
                    &form,
                    Some(REAL),
                    Err(Denied::NotWritable(vec![name.into()])),
                );
            }
        }
    }
}

/// Encryption gives equal values different texts, and a write does not tell them either.
#[test]
fn what_was_encrypted_for_another_record_is_no_way_to_compare() {
    let stage = Stage::new(REP);
    for other in [r#"{"iban":"DE12"}"#, r#"{"iban":"DE13"}"#] {
        let text = stage.shown(other);
        assert_eq!(stage.settle("PATCH", JSON, &text, Some(REAL)).unwrap(), "{}", "{other}");
    }
}

#[test]
fn a_full_update_loses_nothing_that_its_sender_may_not_write() {
    let put = Stage::new(REP).settle("PUT", JSON, r#"{ "status":"x" }"#, Some(REAL)).unwrap();
    assert!(put.starts_with(r#"{ "status":"x" ,"id":7,"email":"john@x.org""#), "{put}");
    let put: Json = serde_json::from_str(&put).unwrap();
    // `tags` may be written, so leaving it out is a change like any other.
    assert_eq!(put.get("tags"), None);
    assert_eq!(put["budget"], json!(1.10));
    assert_eq!(put["owner"]["note"], "a");
}

#[test]
fn without_the_record_masks_are_a_conflict_and_changes_are_refused() {
    check(REP, "PUT", JSON, r#"{"status":"x"}"#, None, Err(Denied::MaskedValue(vec!["$".into()])));
    check(REP, "PATCH", JSON, r#"{"status":"x"}"#, None, Ok(r#"{"status":"x"}"#));
    check(
        REP,
        "PATCH",
        JSON,
        r#"{"email":"jo**@x.org"}"#,
        None,
        Err(Denied::MaskedValue(vec!["email".into()])),
    );
    check(
        REP,
        "PATCH",
        JSON,
        r#"{"email":"jo@x.org"}"#,
        None,
        Err(Denied::NotWritable(vec!["email".into()])),
    );
    check(
        REP,
        "POST",
        JSON,
        r#"{"email":"jo**@x.org"}"#,
        None,
        Err(Denied::NotWritable(vec!["email".into()])),
    );
    check("default: edit", "PUT", JSON, r#"{"email":"a"}"#, None, Ok(r#"{"email":"a"}"#));
}

#[test]
fn masks_never_reach_the_crm_where_they_could_be_written() {
    let editor = Stage::new("default: edit\nlead: { ssn: hidden }");
    let rep = Stage::new(REP);
    let shown: Json = serde_json::from_str(&rep.shown(REAL)).unwrap();
    for name in ["phone", "iban"] {
        let body = json!({ name: shown[name], "status": "x" }).to_string();
        let patched = editor.settle("PATCH", JSON, &body, Some(REAL));
        assert_eq!(patched.unwrap(), r#"{"status":"x"}"#, "{name}");
        assert_eq!(editor.settle("POST", JSON, &body, None), masked(&[name]));
        let put = editor.settle("PUT", JSON, &body, Some(REAL)).unwrap();
        let put: Json = serde_json::from_str(&put).unwrap();
        assert_eq!(put[name], serde_json::from_str::<Json>(REAL).unwrap()[name]);
        let form = format!("{name}={}", shown[name].as_str().unwrap());
        assert_eq!(editor.settle("PATCH", FORM, &form, Some(REAL)).unwrap(), "");
    }
    // A field whose policy says so takes its token for the value.
    let body = json!({ "token": shown["token"] }).to_string();
    assert_eq!(editor.settle("POST", JSON, &body, None).unwrap(), r#"{"token":"t-1"}"#);
    let form = format!("token={}", shown["token"].as_str().unwrap());
    assert_eq!(editor.settle("POST", FORM, &form, None).unwrap(), "token=t-1");
    // A token of another field is nobody's value.
    let swapped = json!({ "iban": shown["token"] }).to_string();
    assert_eq!(editor.settle("PATCH", JSON, &swapped, Some(REAL)), masked(&["iban"]));
}

#[test]
fn strip_takes_out_and_report_lets_through() {
    let strip = Stage::with(REP, "writes: strip", "$", "");
    let body = r#"{ "status" : "x", "email": "a@b.c", "ssn":"1" }"#;
    let (settled, patched) = strip.settled("PATCH", JSON, body, Some(REAL)).unwrap();
    assert_eq!(patched, r#"{ "status" : "x"}"#);
    assert_eq!(settled.tally.stripped, 2);
    let put = strip.settle("PUT", JSON, body, Some(REAL)).unwrap();
    let put: Json = serde_json::from_str(&put).unwrap();
    assert_eq!((&put["email"], &put["ssn"]), (&json!("john@x.org"), &json!("900")));
    assert_eq!(
        strip.settle("POST", FORM, "status=x&ssn=1&owner[note]=b", None).unwrap(),
        "status=x&owner[note]=b"
    );
    let part =
        |name: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nv\r\n");
    let parts = format!("{}{}--b--\r\n", part("ssn"), part("status"));
    let label = "multipart/form-data; boundary=b";
    let kept = strip.settle("POST", label, &parts, None).unwrap();
    assert_eq!(kept, format!("{}--b--\r\n", part("status")));
    let operations =
        r#"[{"op":"add","path":"/ssn","value":1}, {"op":"replace","path":"/status","value":"x"}]"#;
    let kept = strip.settle("PATCH", PATCH, operations, Some(REAL)).unwrap();
    assert_eq!(kept, r#"[ {"op":"replace","path":"/status","value":"x"}]"#);
    assert_eq!(strip.settle("POST", JSON, "7", None), not_writable(&["$"]));

    let report = Stage::with(REP, "writes: report", "$", "");
    let (settled, patched) = report.settled("PATCH", JSON, body, Some(REAL)).unwrap();
    assert_eq!(patched, body);
    assert_eq!(settled.reported, ["email", "ssn"]);
    // What was shown is a mask, reported or not.
    let mask = r#"{"email":"jo**@x.org","status":"x"}"#;
    assert_eq!(report.settle("PATCH", JSON, mask, Some(REAL)).unwrap(), r#"{"status":"x"}"#);
}

#[test]
fn forms_spell_paths_in_many_ways() {
    for (body, expect) in [
        ("status=x", Ok("status=x")),
        ("owner[note]=x", Ok("owner[note]=x")),
        ("owner.note=x", Ok("owner.note=x")),
        ("tags[]=x&tags[]=y", Ok("tags[]=x&tags[]=y")),
        ("tags[0]=x", Ok("tags[0]=x")),
        ("owner[email]=x", Err(Denied::NotWritable(vec!["owner.email".into()]))),
        ("owner.email=x", Err(Denied::NotWritable(vec!["owner.email".into()]))),
        ("owner=x", Err(Denied::NotWritable(vec!["owner".into()]))),
        ("ssn%5B%5D=x", Err(Denied::NotWritable(vec!["ssn".into()]))),
        ("status[ssn]=x", Err(Denied::NotWritable(vec!["status.ssn".into()]))),
        ("owner[note]=x&owner.note=y", Err(Denied::Unreadable(Unreadable::RepeatedName))),
        ("status=x&_method=PUT", Err(Denied::MethodOverride)),
        ("a[b=x", Err(Denied::Unreadable(Unreadable::Form))),
    ] {
        check(REP, "POST", FORM, body, None, expect.clone());
        check(REP, "PATCH", FORM, body, Some(REAL), expect);
    }
    let everything = Stage::new("default: edit\nlead: { ssn: hidden }");
    for body in ["SSN=1", "Ssn=1", "s_s_n=1"] {
        let name = body.split('=').next().unwrap();
        assert_eq!(everything.settle("POST", FORM, body, None), not_writable(&[name]));
        let json = format!(r#"{{"{name}":1}}"#);
        assert_eq!(everything.settle("POST", JSON, &json, None), not_writable(&[name]));
    }
}

#[test]
fn a_form_is_a_full_update_too() {
    let real = r#"{"id":7,"status":"new","email":"john@x.org","ssn":"9 0","gone":null}"#;
    let role = r#"lead: { "$..email": mask, "$..ssn": hidden, status: edit }"#;
    check(
        role,
        "PUT",
        FORM,
        "status=x&email=jo**%40x.org",
        Some(real),
        Ok("status=x&email=john%40x.org&id=7&ssn=9%200"),
    );
    check(
        role,
        "PUT",
        FORM,
        "status=x&id=8",
        Some(real),
        Err(Denied::NotWritable(vec!["id".into()])),
    );
    let nested = r#"{"status":"new","owner":{"ssn":"1"}}"#;
    check(
        role,
        "PUT",
        FORM,
        "status=x",
        Some(nested),
        Err(Denied::MaskedValue(vec!["owner".into()])),
    );
    let label = "multipart/form-data; boundary=b";
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!("{}--b--\r\n", part("status", "x"));
    let expect = format!(
        "{}{}{}{}--b--\r\n",
        part("status", "x"),
        part("id", "7"),
        part("email", "john@x.org"),
        part("ssn", "9 0")
    );
    check(role, "PUT", label, &body, Some(real), Ok(&expect));
    let file =
        "--b\r\nContent-Disposition: form-data; name=\"ssn\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n";
    check(role, "POST", label, file, None, Err(Denied::NotWritable(vec!["ssn".into()])));
}

#[test]
fn operations_write_and_read_fields() {
    for (operation, expect) in [
        (r#"{"op":"replace","path":"/status","value":"x"}"#, None),
        (r#"{"op":"add","path":"/tags/-","value":"x"}"#, None),
        (r#"{"op":"remove","path":"/tags/0"}"#, None),
        (r#"{"op":"replace","path":"/owner/note","value":"x"}"#, None),
        (r#"{"op":"copy","from":"/id","path":"/status"}"#, None),
        (r#"{"op":"test","path":"/id","value":7}"#, None),
        (r#"{"op":"replace","path":"/ss\u006e","value":"x"}"#, Some("ssn")),
        (r#"{"op":"remove","path":"/email"}"#, Some("email")),
        (r#"{"op":"copy","from":"/ssn","path":"/status"}"#, Some("ssn")),
        (r#"{"op":"move","from":"/id","path":"/status"}"#, Some("id")),
        (r#"{"op":"copy","from":"/owner","path":"/tags"}"#, Some("owner")),
        (r#"{"op":"move","from":"/status","path":"/email"}"#, Some("email")),
        (r#"{"op":"add","path":"/owner","value":{"ssn":"2"}}"#, Some("owner.ssn")),
        (r#"{"op":"test","path":"/ssn","value":"900"}"#, Some("ssn")),
        (r#"{"op":"test","path":"","value":{"ssn":"900"}}"#, Some("$")),
        (r#"{"op":"test","path":"/owner","value":{}}"#, Some("owner")),
    ] {
        let body = format!("[{operation}]");
        match expect {
            None => check(REP, "PATCH", PATCH, &body, Some(REAL), Ok(&body)),
            Some(name) => check(
                REP,
                "PATCH",
                PATCH,
                &body,
                Some(REAL),
                Err(Denied::NotWritable(vec![name.into()])),
            ),
        }
    }
    let stage = Stage::new(REP);
    let shown: Json = serde_json::from_str(&stage.shown(REAL)).unwrap();
    let back = json!([
        {"op":"replace","path":"/email","value":shown["email"]},
        {"op":"test","path":"/iban","value":shown["iban"]},
        {"op":"replace","path":"/status","value":"x"},
    ]);
    let kept = stage.settle("PATCH", PATCH, &back.to_string(), Some(REAL)).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&kept).unwrap(), json!([back[2]]));
    check(
        REP,
        "PATCH",
        PATCH,
        r#"{"op":"add"}"#,
        Some(REAL),
        Err(Denied::Unreadable(Unreadable::Patch)),
    );
    check(
        REP,
        "PATCH",
        PATCH,
        r#"[{"op":"add","op":"x"}]"#,
        Some(REAL),
        Err(Denied::Unreadable(Unreadable::RepeatedName)),
    );
}

#[test]
fn a_body_asks_for_no_other_method() {
    for (label, body) in [
        (JSON, r#"{"_method":"DELETE"}"#),
        (JSON, r#"{"status":"x"," _METHOD ":"DELETE"}"#),
        (JSON, r#"{"\u005fmethod":"DELETE"}"#),
        ("application/merge-patch+json", r#"{"_method":"PUT"}"#),
        ("application/vnd.api+json", r#"{"_method":"PUT","data":{}}"#),
        (FORM, "_method=PUT"),
        (FORM, "_Method=PUT"),
    ] {
        check("default: edit", "POST", label, body, None, Err(Denied::MethodOverride));
    }
    let inner = r#"{"payment":{"_method":"card"}}"#;
    check("default: edit", "POST", JSON, inner, None, Ok(inner));
}

/// Go compares names without case, and takes `ſ` for an `s`.
#[test]
fn letters_that_are_others_without_case() {
    for body in [r#"{"\u017fsn":"1"}"#, "{\"\u{17f}\u{17f}n\":1}"] {
        let found = Stage::new("default: edit\nlead: { ssn: hidden, rank: view }");
        let found = found.settle("POST", JSON, body, None);
        assert!(matches!(found, Err(Denied::NotWritable(_))), "{body}");
    }
    let kelvin = "{\"ran\u{212a}\":1}";
    let found =
        Stage::new("default: edit\nlead: { rank: view }").settle("POST", JSON, kelvin, None);
    assert!(matches!(found, Err(Denied::NotWritable(_))));
}

/// Whoever merges a query string with a body writes the field of each parameter's name.
#[test]
fn parameters_of_a_write_are_fields() {
    struct Known<'a>(&'a Stage);

    impl crate::guard::query::Sight for Known<'_> {
        fn rules(&self, resource: &str) -> Option<&crate::policy::query::QueryRules> {
            self.0.set.resources.get(resource).map(|resource| &resource.query)
        }

        fn plan(&self, _: &str) -> Option<Arc<Plan>> {
            None
        }

        fn sees_all(&self, _: &str) -> bool {
            false
        }

        fn knows(&self, _: &str, name: &str) -> bool {
            ["status", "source", "ssn", "email", "id", "date_of_birth", "page"].contains(&name)
        }
    }

    let role = r#"lead: { "$..email": mask, ssn: hidden, status: edit, date_of_birth: view }"#;
    let check = |body: &str, query: &str, names_record: bool, expect: &[&str]| {
        let stage = Stage::with(role, "query: { ignore: [page] }", "$", body);
        let route = &stage.set.resources["lead"].routes[0];
        let vaulted = LookedUp::new();
        let rights = Rights {
            writes: Writes::Enforce,
            plan: stage.plan(Purpose::Write),
            registry: stage.plan(Purpose::Registry),
            body: route.records_in_body(),
            keys: None,
            tenant: "",
            vaulted: &vaulted,
        };
        let known = Known(&stage);
        let found = crate::guard::query::merged(&known, "lead", &rights, names_record, query);
        assert_eq!(found.unwrap(), expect, "{query}");
    };
    check("", "source=x&status=new&notify=1&page=2&fields=ssn&format=json", true, &["source"]);
    check("", "ssn=9&ssn[]=9", true, &["ssn", "ssn[]"]);
    check("", "owner[email]=x&email=y", true, &["owner[email]", "email"]);
    check("", "date_of_birth=x", true, &["date_of_birth"]);
    check("", "date.of.birth=x", true, &["date.of.birth"]);
    check("", "id=8", true, &["id"]);
    check("", "id=8", false, &[]);
    check(r#", body: "$.lead""#, "lead[source]=x", true, &["lead[source]"]);
    check(r#", body: "$.lead""#, "lead[status]=x&status=y", true, &[]);
}

/// PHP writes `_` for a dot in the name of a form field.
#[test]
fn a_dot_in_the_name_of_a_form_field_may_be_an_underscore() {
    let role = "default: edit\nlead: { date_of_birth: view, billing_address: hidden }";
    for (body, name) in [
        ("date.of.birth=x", "date.of.birth"),
        ("billing.address=x", "billing.address"),
        ("billing.address[0]=x", "billing.address"),
    ] {
        check(role, "POST", FORM, body, None, not_writable(&[name]).map(|_| ""));
    }
    check(role, "POST", FORM, "owner.name=x", None, Ok("owner.name=x"));
}

/// The CRM carries out one operation after the other; who holds the second one against the record as
/// it was before the first is led to the wrong element.
#[test]
fn operations_are_not_held_against_a_record_that_earlier_ones_have_changed() {
    let role = r#"default: edit
lead: { "$..emails[*].value": mask, "box": edit }"#;
    let real = r#"{"title":"a","emails":[{"id":1,"value":null},{"id":2,"value":"john@x.org"}]}"#;
    let refused = |operations: &str| {
        let found = Stage::new(role).settle("PATCH", PATCH, operations, Some(real));
        let is_refused = matches!(found, Err(Denied::NotWritable(_) | Denied::MaskedValue(_)));
        assert!(is_refused, "{operations}: {found:?}");
    };
    let first = r#"{"op":"remove","path":"/emails/0"}"#;
    let whole = r#"{"op":"replace","path":"/emails/0","value":{"id":1,"value":null}}"#;
    for operations in [
        format!(r#"[{first},{{"op":"copy","from":"/emails/0/value","path":"/title"}}]"#),
        format!(r#"[{first},{{"op":"copy","from":"/emails/0","path":"/title"}}]"#),
        format!(r#"[{first},{{"op":"test","path":"/emails/0/value","value":null}}]"#),
        format!("[{first},{whole}]"),
        format!(r#"[{{"op":"move","from":"/emails/0","path":"/title"}},{whole}]"#),
        format!(r#"[{{"op":"add","path":"/emails/0","value":{{"id":9}}}},{whole}]"#),
        format!(r#"[{{"op":"add","path":"/Emails/0","value":{{"id":9}}}},{whole}]"#),
        format!(r#"[{{"op":"replace","path":"","value":{real}}},{whole}]"#),
    ] {
        refused(&operations);
    }
    for fine in [
        r#"[{"op":"add","path":"/tags/-","value":"x"},{"op":"add","path":"/tags/-","value":"y"}]"#,
        r#"[{"op":"replace","path":"/title","value":"x"},{"op":"replace","path":"/title","value":"y"}]"#,
        r#"[{"op":"test","path":"/emails/0/id","value":1},{"op":"remove","path":"/emails/0"}]"#,
    ] {
        check(role, "PATCH", PATCH, fine, Some(real), Ok(fine));
    }
}

/// Where writes are let through to try a policy out, nothing is told that the caller may not see.
#[test]
fn whoever_may_write_everything_still_reads_nothing_by_it() {
    for writes in ["writes: strip", "writes: report"] {
        let stage = Stage::with(REP, writes, "$", "");
        for (operation, name) in [
            (r#"{"op":"copy","from":"/ssn","path":"/status"}"#, "ssn"),
            (r#"{"op":"move","from":"/email","path":"/status"}"#, "email"),
            (r#"{"op":"test","path":"/ssn","value":"900"}"#, "ssn"),
            (r#"{"op":"test","path":"/ssn","value":"901"}"#, "ssn"),
        ] {
            let found = stage.settle("PATCH", PATCH, &format!("[{operation}]"), Some(REAL));
            assert_eq!(found, not_writable(&[name]), "{writes} {operation}");
        }
    }
}

/// Who sees an empty object must not empty it of what he does not see.
#[test]
fn an_object_that_holds_hidden_members_is_not_taken_away() {
    let role = "default: edit\nlead: { address: edit, address.street: hidden }";
    let real = r#"{"status":"new","address":{"street":"Elm 1","city":"Ulm"}}"#;
    let refused = || not_writable(&["address"]);
    let json = |method: &str, body: &str| Stage::new(role).settle(method, JSON, body, Some(real));
    for body in [r#"{"address":null}"#, r#"{"status":"x","address":null}"#] {
        assert_eq!(json("PUT", body), refused(), "{body}");
        assert_eq!(json("PATCH", body), refused(), "{body}");
        let label = "application/merge-patch+json";
        assert_eq!(Stage::new(role).settle("PATCH", label, body, Some(real)), refused());
    }
    assert_eq!(json("PUT", r#"{"address":7}"#), refused());
    for operation in [
        r#"{"op":"remove","path":"/address"}"#,
        r#"{"op":"copy","from":"/status","path":"/address"}"#,
        r#"{"op":"replace","path":"/address","value":null}"#,
    ] {
        let found = Stage::new(role).settle("PATCH", PATCH, &format!("[{operation}]"), Some(real));
        assert_eq!(found, refused(), "{operation}");
    }
    assert_eq!(json("PATCH", r#"{"status":null}"#).unwrap(), r#"{"status":null}"#);
    // Unread, it may hold one.
    let unread = Stage::new(role).settle("PATCH", JSON, r#"{"address":null}"#, None);
    assert_eq!(unread, masked(&["address"]));
    let fine = r#"{"status":null}"#;
    assert_eq!(Stage::new(role).settle("PATCH", JSON, fine, None).unwrap(), fine);
    let strip = Stage::with(role, "writes: strip", "$", "");
    let kept = strip.settle("PUT", JSON, r#"{"status":"x","address":null}"#, Some(real)).unwrap();
    assert_eq!(kept, r#"{"status":"x","address":{"street":"Elm 1","city":"Ulm"}}"#);
    let open = r#"{"status":"new","address":{"city":"Ulm"}}"#;
    let gone = r#"{"address":null}"#;
    assert_eq!(Stage::new(role).settle("PUT", JSON, gone, Some(open)).unwrap(), gone);
}

#[test]
fn merge_patches_are_partial_at_any_depth() {
    let label = "application/merge-patch+json";
    let body = r#"{"owner":{"note":"b","email":"o@**x.org"}}"#;
    check(
        REP,
        "PATCH",
        label,
        body,
        Some(REAL),
        Err(Denied::NotWritable(vec!["owner.email".into()])),
    );
    let stage = Stage::new(REP);
    let shown: Json = serde_json::from_str(&stage.shown(REAL)).unwrap();
    let body = json!({"owner":{"note":"b","email":shown["owner"]["email"]}}).to_string();
    assert_eq!(
        stage.settle("PATCH", label, &body, Some(REAL)).unwrap(),
        r#"{"owner":{"note":"b"}}"#
    );
    check(
        REP,
        "PATCH",
        label,
        r#"{"ssn":null}"#,
        Some(REAL),
        Err(Denied::NotWritable(vec!["ssn".into()])),
    );
}

#[test]
fn json_api_has_its_fields_in_two_places() {
    let label = "application/vnd.api+json";
    let stage = Stage::with(
        &format!("{} {}", REP.trim_end_matches(" }"), ", account: edit }"),
        "",
        "$.data.attributes",
        "",
    );
    let real = r#"{"data":{"type":"leads","id":"7","attributes":{"status":"new","email":"john@x.org","ssn":"900"}}}"#;
    let fine = r#"{"data":{"type":"leads","id":"7","attributes":{"status":"x"},"relationships":{"account":{"data":{"type":"accounts","id":"1"}}}}}"#;
    assert_eq!(stage.settle("PATCH", label, fine, Some(real)).unwrap(), fine);
    let owner = fine.replace("account\":", "manager\":");
    assert_eq!(
        stage.settle("PATCH", label, &owner, Some(real)),
        not_writable(&["data.relationships.manager"])
    );
    let email = r#"{"data":{"type":"leads","id":"7","attributes":{"email":"a@b.c"}}}"#;
    assert_eq!(
        stage.settle("PATCH", label, email, Some(real)),
        not_writable(&["data.attributes.email"])
    );
    let back =
        r#"{"data":{"type":"leads","id":"7","attributes":{"email":"jo**@x.org","status":"x"}}}"#;
    let kept = r#"{"data":{"type":"leads","id":"7","attributes":{"status":"x"}}}"#;
    assert_eq!(stage.settle("PATCH", label, back, Some(real)).unwrap(), kept);

    let whole = Stage::with(
        r#"lead: { "$.attributes.status": edit, "$..email": mask, "$..ssn": hidden }"#,
        "",
        "$.data",
        "",
    );
    assert_eq!(whole.settle("PATCH", label, back, Some(real)).unwrap(), kept);
    assert_eq!(
        whole.settle("PATCH", label, email, Some(real)),
        not_writable(&["data.attributes.email"])
    );
}

#[test]
fn bodies_may_be_wrapped_otherwise_than_answers() {
    let stage = Stage::with(REP, "", "$.data", r#", body: "$.lead""#);
    let real = format!(r#"{{"data":{REAL}}}"#);
    let body = |lead: &str| format!(r#"{{"lead":{lead}}}"#);
    assert_eq!(
        stage.settle("PATCH", JSON, &body(r#"{"status":"x"}"#), Some(&real)).unwrap(),
        body(r#"{"status":"x"}"#)
    );
    assert_eq!(
        stage.settle("PATCH", JSON, &body(r#"{"email":"x"}"#), Some(&real)),
        not_writable(&["lead.email"])
    );
    assert_eq!(
        stage.settle("PATCH", JSON, r#"{"status":"x"}"#, Some(&real)),
        not_writable(&["status"])
    );
    let mask = body(r#"{"email":"jo**@x.org","status":"x"}"#);
    assert_eq!(stage.settle("PATCH", JSON, &mask, Some(&real)).unwrap(), body(r#"{"status":"x"}"#));
    assert_eq!(
        stage
            .settle("PATCH", FORM, "lead[email]=jo**%40x.org&lead[status]=x", Some(&real))
            .unwrap(),
        "lead[status]=x"
    );
}

#[test]
fn bulk_bodies_have_many_records() {
    let stage = Stage::with(REP, "", "$[*]", "");
    let body = r#"[{"status":"x"},{"status":"y"}]"#;
    assert_eq!(stage.settle("PATCH", JSON, body, None).unwrap(), body);
    let body = r#"[{"status":"x"},{"email":"y"}]"#;
    assert_eq!(stage.settle("POST", JSON, body, None), not_writable(&["email"]));
    let body = r#"[{"status":"x"},{"email":"jo**@x.org"}]"#;
    assert_eq!(stage.settle("PATCH", JSON, body, Some(&format!("[{REAL}]"))), masked(&["email"]));
    assert_eq!(
        stage.settle("PUT", JSON, body, Some(&format!("[{REAL},{REAL}]"))),
        masked(&["$", "email"])
    );
}

#[test]
fn elements_are_told_by_their_ids() {
    let role = r#"lead: { people: edit, "$..email": mask, "$..ssn": hidden }"#;
    let real = r#"{"people":[{"id":1,"ssn":"a","email":"ann@x.org"},{"id":2,"ssn":"b","email":"bob@x.org"}]}"#;
    let stage = Stage::new(role);
    let settle = |body: &str| stage.settle("PATCH", JSON, body, Some(real));
    let swapped = r#"{"people":[{"id":2,"email":"bo*@x.org"},{"id":1,"email":"an*@x.org"}]}"#;
    let expect = r#"{"people":[{"id":2,"email":"bob@x.org","ssn":"b"},{"id":1,"email":"ann@x.org","ssn":"a"}]}"#;
    assert_eq!(settle(swapped).unwrap(), expect);
    let one_less = r#"{"people":[{"id":2,"email":"bo*@x.org"}]}"#;
    assert_eq!(settle(one_less).unwrap(), r#"{"people":[{"id":2,"email":"bob@x.org","ssn":"b"}]}"#);
    let nameless = r#"{"people":[{"email":"bo*@x.org"}]}"#;
    assert_eq!(settle(nameless), masked(&["people"]));
    let stolen = r#"{"people":[{"id":1,"email":"bo*@x.org"},{"id":2,"email":"bo*@x.org"}]}"#;
    assert_eq!(settle(stolen), not_writable(&["people.email"]));
}

#[test]
fn fields_that_an_expression_masks_come_back_too() {
    let role = "lead: { \"$.notes[?@.secret==true].text\": mask, status: edit }";
    let real = r#"{"status":"a","notes":[{"secret":true,"text":"x"},{"secret":false,"text":"y"}]}"#;
    let stage = Stage::new(role);
    let shown = stage.shown(real);
    assert!(shown.contains("[REDACTED]") && shown.contains("\"y\""));
    let put = stage.settle("PUT", JSON, &shown, Some(real)).unwrap();
    assert_eq!(
        serde_json::from_str::<Json>(&put).unwrap(),
        serde_json::from_str::<Json>(real).unwrap()
    );
}

// --- whatever the record ------------------------------------------------------------------------

fn record() -> impl proptest::strategy::Strategy<Value = Json> {
    let scalar = proptest::prop_oneof![
        Just(Json::Null),
        Just(json!("")),
        Just(json!(true)),
        Just(json!(0)),
        (-1000_i32..1000).prop_map(|number| json!(f64::from(number) / 8.0)),
        "[a-z@.*0-9é\"\\\\ ]{0,12}".prop_map(Json::String),
    ];
    let name = prop::sample::select(vec![
        "id", "email", "phone", "iban", "token", "budget", "ssn", "status", "owner", "note",
        "tags", "people",
    ]);
    let value = scalar.prop_recursive(3, 24, 4, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(object),
        ]
    });
    let name = prop::sample::select(vec![
        "id", "email", "phone", "iban", "token", "card", "slip", "budget", "ssn", "status",
        "owner", "tags", "people",
    ]);
    prop::collection::vec((name, value), 0..8).prop_map(object)
}

fn object(members: Vec<(&'static str, Json)>) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

const ROLES: [&str; 7] = [
    REP,
    "default: edit",
    "default: view",
    "default: hidden\nlead: { id: view, status: edit }",
    "default: mask\nlead: { \"owner.note\": edit }",
    "default: edit\nlead: { \"$..email\": mask, \"$..phone\": mask, \"$..iban\": mask, \"$..token\": mask, \"$..card\": mask, \"$..slip\": mask, \"$..budget\": mask, \"$..ssn\": hidden }",
    "lead: { people: edit, \"$..iban\": hidden, owner: mask, \"tags\": hidden }",
];

proptest::proptest! {
    /// What a role reads and sends straight back changes nothing, whoever it is and whatever is
    /// in the record.
    #[test]
    fn what_was_read_and_sent_back_changes_nothing(
        real in record(),
        role in prop::sample::select(ROLES.to_vec()),
        writes in prop::sample::select(vec!["", "writes: strip", "writes: report"]),
        id in prop::sample::select(vec!["", "id: id"]),
    ) {
        // With an id, what is encrypted is bound to it.
        let writes = format!("{writes}\n{id}");
        let stage = Stage::with(role, &writes, "$", "");
        let text = real.to_string();
        let shown = stage.shown(&text);
        // A value that looks like a mask of its own field cannot be told from one.
        proptest::prop_assume!(!["enc:", "hash:", "token_"].iter().any(|prefix| text.contains(prefix)));
        match stage.settle("PUT", JSON, &shown, Some(&text)) {
            Ok(put) => proptest::prop_assert_eq!(&serde_json::from_str::<Json>(&put).unwrap(), &real),
            Err(other) => proptest::prop_assert!(false, "{:?} {} {}", other, text, shown),
        }
        match stage.settle("PATCH", JSON, &shown, Some(&text)) {
            Ok(patched) => {
                let patched: Json = serde_json::from_str(&patched).unwrap();
                for (name, value) in patched.as_object().unwrap() {
                    proptest::prop_assert_eq!(Some(value), real.get(name), "{}", name);
                }
            }
            Err(other) => proptest::prop_assert!(false, "{:?} {} {}", other, text, shown),
        }
    }
}

/// Every strategy, each in the forms that differ.
fn strategies() -> Vec<Option<crate::mask::Strategy>> {
    use crate::mask::{JsonReplacement as As, Partial, Strategy as By};
    let partial = |show_first, keep_domain, fixed_length| {
        let options = Partial { show_first, keep_domain, fixed_length, ..Partial::default() };
        By::Partial(options)
    };
    let replacements = [
        As::Null,
        As::Bool(false),
        As::Integer(0),
        As::Text(String::new()),
        As::EmptyList,
        As::EmptyObject,
    ];
    let keyed = [By::Hash, By::Encrypt, By::Tokenize, By::Vault, By::default()];
    let partials = [partial(2, false, None), partial(0, true, None), partial(1, false, Some(5))];
    let all = keyed.into_iter().chain(partials).chain(replacements.map(By::Typed));
    // And each field as it is shipped.
    all.map(Some).chain([None]).collect()
}

/// The names that shipped rules speak of, and some that none does.
fn known_names() -> &'static [&'static str] {
    static NAMES: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let set = crate::policy::load(&folder).set.unwrap();
        let fields = set.resources.values().flat_map(|resource| &resource.fields);
        let fields = fields.chain(&set.global.fields).map(|field| &field.path);
        let ruled = set.roles.values().flat_map(|role| role.resources.values());
        let ruled = ruled.flat_map(|here| &here.entries).map(|entry| &entry.path);
        let names = fields.chain(ruled).filter_map(|path| path.last_name().map(str::to_owned));
        let mut names: Vec<&'static str> = names.map(|name| &*name.leak()).collect();
        names.extend(["id", "id", "id", "nickname", "value", "people"]);
        names
    });
    &NAMES
}

fn shipped_record() -> impl proptest::strategy::Strategy<Value = Json> {
    let scalar = proptest::prop_oneof![
        Just(Json::Null),
        Just(json!("")),
        Just(json!(false)),
        (0_u32..3000).prop_map(|number| json!(number)),
        Just(json!("john@example.com")),
        "[a-z@.0-9é\"\\\\ -]{0,14}".prop_map(Json::String),
    ];
    let name = || prop::sample::select(known_names());
    let value = scalar.prop_recursive(2, 12, 3, move |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::vec((name(), inner), 0..4).prop_map(object),
        ]
    });
    prop::collection::vec((name(), value), 1..10).prop_map(object)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// The same with the shipped policies: every role, every kind of record, every strategy.
    #[test]
    fn no_shipped_role_changes_what_it_sends_back(real in shipped_record()) {
        static STAGES: std::sync::LazyLock<Vec<(String, Vec<Stage>)>> =
            std::sync::LazyLock::new(|| {
                let strategies = strategies();
                let stages = strategies.iter().map(|strategy| {
                    (format!("{strategy:?}"), Stage::shipped(strategy.as_ref()))
                });
                stages.collect()
            });
        let text = real.to_string();
        for (at, (strategy, stages)) in STAGES.iter().enumerate() {
            assert_eq!(stages.len(), 25);
            // Each strategy with one resource of each case, and over the cases with all.
            let resource = (at + text.len()) % 5;
            for stage in &stages[resource * 5..resource * 5 + 5] {
                let shown = stage.shown(&text);
                let told = format!("{strategy} {} {} {text} {shown}", stage.resource, stage.role);
                match stage.settle("PUT", JSON, &shown, Some(&text)) {
                    Ok(put) => proptest::prop_assert_eq!(
                        &serde_json::from_str::<Json>(&put).unwrap(), &real, "{}", told),
                    Err(other) => proptest::prop_assert!(false, "{:?} {}", other, told),
                }
                match stage.settle("PATCH", JSON, &shown, Some(&text)) {
                    Ok(patched) => {
                        let patched: Json = serde_json::from_str(&patched).unwrap();
                        for (name, value) in patched.as_object().unwrap() {
                            proptest::prop_assert_eq!(Some(value), real.get(name), "{}", told);
                        }
                    }
                    Err(other) => proptest::prop_assert!(false, "{:?} {}", other, told),
                }
            }
        }
    }
}

/// The text of a mask for `acme`.
fn mask_of(stage: &Stage, strategy: &crate::mask::Strategy, field: &str, raw: &str) -> String {
    let masker = stage.keys.masker(strategy, "acme", field).unwrap();
    let mut out = Vec::new();
    masker.mask(raw.as_bytes(), &mut NonceSequence::new([3; 8]), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn tokens_of_the_map_are_looked_up_before_anything_is_written() {
    let stage = Stage::new("default: edit");
    let vault = crate::mask::Strategy::Vault;
    let token = mask_of(&stage, &vault, "lead.$..card", "\"4111\"");
    for (label, body) in [
        ("application/json", format!(r#"{{"card":"{token}","a":[{{"card":"{token}"}}]}}"#)),
        ("application/x-www-form-urlencoded", format!("card={token}")),
    ] {
        let current = Some(r#"{"card":"4000","a":[]}"#);
        let settled = |known: &LookedUp| stage.settled_with("PATCH", label, &body, current, known);
        let Err(Denied::Vaulted(wanted)) = settled(&LookedUp::new()) else { panic!("{body}") };
        assert!(wanted.iter().all(|wanted| wanted.field == "lead.$..card"), "{wanted:?}");
        let with = |value: Option<&[u8]>| -> LookedUp {
            wanted.iter().map(|token| (token.clone(), value.map(<[u8]>::to_vec))).collect()
        };
        let (done, sent) = settled(&with(Some(b"\"4111\""))).unwrap();
        assert!(!sent.contains("token_") && sent.contains("4111"), "{sent}");
        assert_eq!(done.tally.detokenized, body.matches("token_").count() as u64);
        // What the map has forgotten is not stored in its place.
        let refused = settled(&with(None)).unwrap_err();
        assert!(matches!(refused, Denied::MaskedValue(_)), "{refused:?}");
    }
    // Where it may not be turned back it means "as it is"; foreign ones are refused.
    let slip = mask_of(&stage, &vault, "lead.$..slip", "7");
    let body = format!(r#"{{"slip":"{slip}","b":1}}"#);
    let sent = stage.settle("PATCH", "application/json", &body, Some(r#"{"slip":7}"#));
    assert_eq!(sent, Ok(r#"{"b":1}"#.to_owned()));
    let body = format!(r#"{{"slip":"{token}"}}"#);
    let sent = stage.settle("PATCH", "application/json", &body, Some(r#"{"slip":7}"#));
    assert_eq!(sent, masked(&["slip"]));
}

#[test]
fn a_token_of_the_map_that_was_shown_is_known_again_and_no_other() {
    let stage = Stage::new("default: mask\nlead: { b: edit }");
    let real = r#"{"card":"4111","b":1}"#;
    let shown = stage.shown(real);
    assert!(shown.contains("token_"), "{shown}");
    for method in ["PUT", "PATCH"] {
        let sent = stage.settle(method, "application/json", &shown, Some(real)).unwrap();
        let expect = if method == "PUT" { real } else { r#"{"b":1}"# };
        assert_eq!(sent, expect);
    }
    let other = mask_of(&stage, &crate::mask::Strategy::Vault, "lead.$..card", "\"4222\"");
    let body = format!(r#"{{"card":"{other}"}}"#);
    let sent = stage.settle("PATCH", "application/json", &body, Some(real));
    assert_eq!(sent, not_writable(&["card"]), "an equal token would tell who guesses right");
}

#[test]
fn an_encrypted_value_of_another_record_is_foreign() {
    let lead = LEAD.replace("resource: lead", "resource: lead\nid: id");
    let lead = lead.replace(
        "\"$..iban\": { mask: encrypt }",
        "\"$..iban\": { mask: encrypt, detokenize: true }",
    );
    let reader = Stage::of(&lead, "default: mask\nlead: { id: view }");
    let writer = Stage::of(&lead, "default: edit");
    let shown = |id: u64| {
        // The id stands behind what is bound to it.
        let seen = reader.shown(&format!(r#"{{"iban":"DE1","id":{id}}}"#));
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        seen["iban"].as_str().unwrap().to_owned()
    };
    let (own, other) = (shown(1), shown(2));
    let current = Some(r#"{"iban":"DE9","id":1}"#);
    let patch = |text: &str| {
        writer.settle("PATCH", "application/json", &format!(r#"{{"iban":"{text}"}}"#), current)
    };
    assert_eq!(patch(&own), Ok(r#"{"iban":"DE1"}"#.to_owned()));
    assert_eq!(patch(&other), masked(&["iban"]));
    let post = writer.settle("POST", "application/json", &format!(r#"{{"iban":"{own}"}}"#), None);
    assert_eq!(post, masked(&["iban"]), "a new record is none of those");
}
