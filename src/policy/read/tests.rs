use proptest::prelude::{ProptestConfig, TestCaseError, any, prop, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::json::path::FieldPath;
use crate::mask::Strategy;
use crate::policy::Combine;
use crate::policy::set::Unmatched;

const LEAD: &str = r#"
resource: lead
id: $.id
combine: union
routes:
  - { methods: [GET],        path: /api/v1/leads/,       records: "$.results[*]", envelope: [count, page.next] }
  - { methods: [PUT, PATCH], path: "/api/v1/leads/{id}/", records: "$" }
fields:
  "$..email": { pii: true, mask: { partial: { show_first: 2, keep_domain: true } } }
  "$..ssn":   { pii: true, mask: redact }
  score:      { mask: { as: 0 } }
emits:
  - { on: [PUT], when: { not: { field: a, operator: in, value: [1.5, null, { x: [] }] } }, event: lead.x, data: { y: old.z } }
events: { success: { field: error, operator: exists, value: false }, creates: [{ resource: lead, at: "$.other[*]", on: [PUT] }] }
"#;
const SALES: &str = r#"
role: sales_rep
lead: { default: hidden, "$..email": mask, status: edit }
"#;
const GLOBAL: &str = r#"
default_mode: mask
unmatched: global_only
fields: { "$..password": hidden, "$..api_key": { mask: hash }, "$..pin": mask }
passthrough: [{ methods: [GET], path: /favicon.ico }]
"#;

fn files() -> Vec<Arc<SourceFile>> {
    vec![
        SourceFile::new("p/resources/lead.yaml", LEAD),
        SourceFile::new("p/roles/sales_rep.yaml", SALES),
        SourceFile::new("p/global.yaml", GLOBAL),
    ]
}

#[test]
fn a_set_says_what_the_files_say() {
    let read = read("p".as_ref(), &files());
    assert_eq!(crate::diagnostic::render(&read.findings, false, 100), "");
    let set = read.set.unwrap();

    let lead = &set.resources["lead"];
    assert_eq!(lead.id.as_ref().unwrap().as_str(), "$.id");
    assert_eq!(lead.combine, Combine::Union);
    assert_eq!(lead.routes[0].path, "/api/v1/leads/");
    assert_eq!(lead.routes[0].records.as_str(), "$.results[*]");
    let envelope: Vec<_> = lead.routes[0].envelope.iter().map(FieldPath::as_str).collect();
    assert_eq!(envelope, ["count", "page.next"]);
    assert_eq!(lead.routes[1].methods, [http::Method::PUT, http::Method::PATCH]);
    assert!(lead.fields[0].is_pii && !lead.fields[2].is_pii);
    assert_eq!(lead.fields[1].strategy, Some(Strategy::Redact { text: "[REDACTED]".to_owned() }));
    assert_eq!(lead.fields[1].origin.file_and_line(), "p/resources/lead.yaml:10");

    let sales = &set.roles["sales_rep"];
    assert_eq!(sales.default, Mode::Mask);
    assert_eq!(sales.resources["lead"].default, Some(Mode::Hidden));
    let entries = sales.resources["lead"].entries.iter();
    let entries: Vec<_> = entries.map(|entry| (entry.path.as_str(), entry.mode)).collect();
    assert_eq!(entries, [("$..email", Mode::Mask), ("status", Mode::Edit)]);

    assert_eq!(set.global.unmatched, Unmatched::GlobalOnly);
    let entries = set.global.entries.iter();
    let entries: Vec<_> = entries.map(|entry| (entry.path.as_str(), entry.mode)).collect();
    let expect =
        [("$..password", Mode::Hidden), ("$..api_key", Mode::Mask), ("$..pin", Mode::Mask)];
    assert_eq!(entries, expect);
    assert_eq!(set.global.fields.len(), 1);
    assert_eq!(set.global.fields[0].strategy, Some(Strategy::Hash));
    assert_eq!(set.global.passthrough[0].path, "/favicon.ico");
}

#[test]
fn what_the_files_leave_out() {
    let lead = r#"{resource: lead, routes: [{methods: [GET], path: /leads, records: "$"}]}"#;
    let files = [
        SourceFile::new("resources/lead.yaml", lead),
        SourceFile::new("roles/a.yaml", "role: a\nlead: { x: hidden }"),
    ];
    let set = read("".as_ref(), &files).set.unwrap();
    assert_eq!(set.roles["a"].default, Mode::View);
    assert_eq!(set.roles["a"].resources["lead"].default, None);
    assert_eq!(set.resources["lead"].combine, Combine::MostRestrictive);
    assert!(set.resources["lead"].id.is_none() && set.resources["lead"].fields.is_empty());
    assert_eq!(set.global.unmatched, Unmatched::Deny);
    assert!(set.global.entries.is_empty() && set.global.passthrough.is_empty());
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let mut files = files();
    let first = format!("{:?}", read("p".as_ref(), &files).set.unwrap());
    for _ in 0..files.len() {
        files.rotate_left(1);
        assert_eq!(format!("{:?}", read("p".as_ref(), &files).set.unwrap()), first);
    }
    files.reverse();
    assert_eq!(format!("{:?}", read("p".as_ref(), &files).set.unwrap()), first);
}

#[test]
fn the_revision_follows_names_and_contents_but_not_the_folder() {
    let revision = |folder: &str, role: &str, text: &str| {
        let files = [
            SourceFile::new(format!("{folder}/resources/lead.yaml"), LEAD),
            SourceFile::new(format!("{folder}/roles/{role}"), text),
        ];
        read(folder.as_ref(), &files).set.unwrap().revision
    };
    let first = revision("p", "s.yaml", SALES);
    assert_eq!(first.len(), 12);
    assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(revision("/etc/fieldgate/roles", "s.yaml", SALES), first);
    assert_ne!(revision("p", "t.yaml", SALES), first);
    assert_ne!(revision("p", "s.yaml", &format!("{SALES} ")), first);
}

/// Texts that come close to policies, which random characters never do.
fn nearly_yaml() -> impl proptest::strategy::Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "resource: lead\n",
        "role: a\n",
        "routes:\n",
        "  - { methods: [GET], path: ",
        "\"/a/{id}/\"",
        ", records: \"$\" }\n",
        "fields:\n",
        "  \"$..email\": ",
        "{ pii: true, mask: ",
        "redact }\n",
        "{ partial: { show_first: ",
        "99999999999999999999",
        "default: ",
        "hidden\n",
        "lead: ",
        "{",
        "}",
        "[",
        "]",
        "\n",
        "  ",
        "- ",
        "$",
        "..",
        "'",
        "\"",
        "é",
        "\u{feff}",
        "&a ",
        "*a",
        "!!str ",
        "? ",
        "|\n",
        "---\n",
        "unmatched: global_only\n",
        "passthrough:\n",
        "~",
        "envelope: [count]",
        "mask: ",
        "as: ",
        "\t",
        "<<: ",
        "\u{0}",
        "$[?@.a==1]",
        "$..['x",
        "{*rest}",
        "#",
        "%zz",
        "emits:\n  - ",
        "{ event: deal.won, when: ",
        "{ field: old.a, operator: ",
        "changed }",
        "in, value: [",
        "and: [",
        "not: ",
        "data: { a: new.b",
        "on: [PATCH]",
        "events: { creates: [",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

#[track_caller]
fn check_any_text(text: &str) -> Result<(), TestCaseError> {
    for name in ["global.yaml", "resources/lead.yaml", "roles/a.yaml", "x/y.yaml"] {
        let mut files = files();
        files.push(SourceFile::new(format!("p/{name}"), text));
        let read = read("p".as_ref(), &files);
        let (errors, _) = crate::diagnostic::count(&read.findings);
        prop_assert_eq!(read.set.is_none(), errors > 0);
        let _ = crate::diagnostic::render(&read.findings, false, 100);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        check_any_text(&text)?;
    }

    #[test]
    fn no_broken_policy_makes_it_panic(text in nearly_yaml()) {
        check_any_text(&text)?;
    }

    #[test]
    fn a_policy_cut_short_is_no_panic(at in 0..LEAD.len(), role in 0..SALES.len(), global in 0..GLOBAL.len()) {
        check_any_text(LEAD.get(..at).unwrap())?;
        check_any_text(SALES.get(..role).unwrap())?;
        check_any_text(GLOBAL.get(..global).unwrap())?;
    }
}
