//! Questions of a role that may not see `ssn` and sees masks of `email` and of a related field.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::diagnostic::SourceFile;
use crate::policy::plan::{Purpose, Scope};
use crate::policy::set::PolicySet;

const LEAD: &str = r#"
resource: lead
oracle: ORACLE
routes: [{ methods: [GET], path: /leads/, records: "$[*]" }]
query: { dialect: DIALECT, relations: { account: account } EXTRA }
fields: { "$..ssn": { pii: true, mask: redact } }
"#;
const ACCOUNT: &str = r#"
resource: account
routes: [{ methods: [GET], path: /accounts/, records: "$[*]" }]
fields: { "vat_number": { mask: redact } }
"#;
const REP: &str = r#"
role: rep
lead: { "$..ssn": hidden, "$..email": mask }
account: { vat_number: hidden }
"#;

pub(crate) struct Roles {
    set: PolicySet,
    role: &'static str,
}

impl Roles {
    fn new(dialect: &str, oracle: &str, extra: &str, role: &'static str, roles: &str) -> Self {
        let lead =
            LEAD.replace("ORACLE", oracle).replace("DIALECT", dialect).replace("EXTRA", extra);
        let files = [
            SourceFile::new("resources/lead.yaml", lead),
            SourceFile::new("resources/account.yaml", ACCOUNT),
            SourceFile::new("roles/rep.yaml", roles),
            SourceFile::new("roles/admin.yaml", "role: admin\ndefault: edit"),
        ];
        let read = crate::policy::read("".as_ref(), &files);
        let set = read
            .set
            .unwrap_or_else(|| panic!("{}", crate::diagnostic::render(&read.findings, false, 100)));
        Self { set, role }
    }
}

impl Sight for Roles {
    fn rules(&self, resource: &str) -> Option<&QueryRules> {
        self.set.resources.get(resource).map(|resource| &resource.query)
    }

    fn plan(&self, resource: &str) -> Option<Arc<Plan>> {
        let resource = self.set.resources.get(resource)?;
        let scope = Scope { resource, route: &resource.routes[0] };
        let role = &*self.set.roles[self.role];
        Plan::compile(Some(scope), &[role], &self.set.global, Purpose::ReadPart).ok().map(Arc::new)
    }

    fn sees_all(&self, resource: &str) -> bool {
        self.plan(resource).is_some_and(|plan| plan.sees_all())
    }

    fn knows(&self, resource: &str, name: &str) -> bool {
        self.set.resources.get(resource).is_some_and(|resource| {
            let ruled = self.set.roles.values().filter_map(|role| role.resources.get("lead"));
            let ruled = ruled.flat_map(|here| &here.entries).map(|entry| &entry.path);
            let mut known = resource.fields.iter().map(|field| &field.path).chain(ruled);
            known.any(|path| path.last_name().is_some_and(|known| folded(known) == folded(name)))
        })
    }
}

/// Whether the role may ask; an administrator may ask whatever can be read.
#[track_caller]
pub(super) fn check(dialect: Dialect, query: &str, expect: bool) {
    let (word, _) = Dialect::ALL.iter().find(|(_, known)| *known == dialect).unwrap();
    let rep = Roles::new(word, "refuse", "", "rep", REP);
    let verdict = decide(&rep, "lead", query);
    let is_fine = verdict == Ok(Verdict::Fine);
    assert_eq!(is_fine, expect, "{query}: {verdict:?}");
    if expect {
        let admin = Roles::new(word, "refuse", "", "admin", REP);
        assert_eq!(decide(&admin, "lead", query), Ok(Verdict::Fine), "{query}");
    }
}

#[track_caller]
pub(super) fn check_body(dialect: Dialect, body: &str, expect: bool) {
    let (word, _) = Dialect::ALL.iter().find(|(_, known)| *known == dialect).unwrap();
    let rep = Roles::new(word, "refuse", "", "rep", REP);
    let verdict = decide_body(&rep, "lead", true, body.as_bytes());
    assert_eq!(verdict == Ok(Verdict::Fine), expect, "{body}: {verdict:?}");
}

fn decided(extra: &str, oracle: &str, query: &str) -> Result<Verdict, Malformed> {
    decide(&Roles::new("django", oracle, extra, "rep", REP), "lead", query)
}

#[test]
fn refusals_name_parameters_and_no_values() {
    let parameters = vec!["ssn__gt".to_owned(), "ordering".to_owned()];
    assert_eq!(
        decided("", "refuse", "ssn__gt=9&status=a&ordering=-ssn&ssn__gt=8"),
        Ok(Verdict::Refused { parameters })
    );
    assert_eq!(decided("", "refuse", "a=%zz"), Err(Malformed));
}

#[test]
fn what_asks_too_much_is_dropped() {
    let reduced = |query: Option<&str>, dropped| {
        Ok(Verdict::Reduced { query: query.map(ToOwned::to_owned), dropped })
    };
    assert_eq!(decided("", "drop", "a=%41&ssn=9&&b=x+y"), reduced(Some("a=%41&b=x+y"), 1));
    assert_eq!(decided("", "drop", "ssn=9"), reduced(None, 1));
    assert_eq!(decided("", "drop", "a=1;ssn=9&b=2"), reduced(Some("b=2"), 1));
    assert_eq!(decided("", "drop", "ordering=status,ssn"), reduced(None, 1));
    assert_eq!(decided("", "drop", "a=1"), Ok(Verdict::Fine));
}

#[test]
fn a_search_is_for_those_who_see_what_is_searched() {
    let fields = ", search_fields: [status, company_name]";
    assert_eq!(decided(fields, "refuse", "search=x"), Ok(Verdict::Fine));
    let parameters = || Ok(Verdict::Refused { parameters: vec!["search".to_owned()] });
    assert_eq!(
        decided(", search_fields: [status, owner.email]", "refuse", "search=x"),
        parameters()
    );
    assert_eq!(decided("", "refuse", "search=x"), parameters());
    assert_eq!(decided("", "refuse", "search="), Ok(Verdict::Fine));
    let admin = Roles::new("django", "refuse", "", "admin", REP);
    assert_eq!(decide(&admin, "lead", "search=x&ordering=ssn&ssn__gt=1"), Ok(Verdict::Fine));
    let named = ", search: [find]";
    let found = decided(named, "refuse", "find=x");
    assert_eq!(found, Ok(Verdict::Refused { parameters: vec!["find".to_owned()] }));
}

#[test]
fn declared_parameters() {
    let by = ", ordering: [by]";
    assert!(matches!(decided(by, "refuse", "by=ssn"), Ok(Verdict::Refused { .. })));
    assert_eq!(decided(by, "refuse", "by=status"), Ok(Verdict::Fine));
    // What is ignored is nobody's field, whatever it is called.
    assert_eq!(decided(", ignore: [ssn]", "refuse", "ssn=1"), Ok(Verdict::Fine));
}

#[test]
fn a_field_may_be_called_like_a_parameter() {
    let roles = "role: rep\nlead: { order: hidden, page: mask, status: view }";
    for (word, _) in Dialect::ALL {
        let rep = Roles::new(word, "refuse", "", "rep", roles);
        for query in ["order=1", "page=2", "order[gt]=1", "Page=1"] {
            let verdict = decide(&rep, "lead", query);
            assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "{word} {query}");
        }
        let other = Roles::new(word, "refuse", ", ignore: [page]", "rep", roles);
        assert_eq!(decide(&other, "lead", "page=2"), Ok(Verdict::Fine), "{word}");
    }
}

/// Frames have words such as `value` and `type`, and fields are called so too.
#[test]
fn a_field_may_be_called_like_a_word_of_a_frame() {
    let roles =
        "role: rep\nlead: { value: hidden, type: hidden, group: mask, size: hidden, path: mask }";
    for word in ["plain", "jsonapi"] {
        let rep = Roles::new(word, "refuse", "", "rep", roles);
        for name in ["value", "type", "group", "size", "path"] {
            for query in [
                format!("filter[{name}]=1"),
                format!("filter[{name}][gt]=1"),
                format!("filter[and][0][{name}][gt]=1"),
            ] {
                let verdict = decide(&rep, "lead", &query);
                assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "{word} {query}");
            }
        }
        let fine = "filter[0][field]=status&filter[0][value]=1&filter[0][type]=eq";
        if word == "plain" {
            assert_eq!(decide(&rep, "lead", fine), Ok(Verdict::Fine), "{word}");
        }
    }
}

/// A field that is restricted in one place of the record only, below a frame that no policy knows.
#[test]
fn a_restricted_field_is_found_in_whatever_frame() {
    let roles = "role: rep\nlead: { ssn: hidden, owner.email: hidden, date_of_birth: mask, name: mask, name_suffix: view }";
    for word in ["plain", "django", "jsonapi"] {
        let rep = Roles::new(word, "refuse", "", "rep", roles);
        for query in [
            "q[ssn_start]=9",
            "search[ssn]=9",
            "find[owner][email]=x",
            "find[by][ssn_start]=9",
            "date_of_birth_after=1",
            "dateOfBirthMin=1",
            "date.of.birth=1",
            "date.of.birth[gt]=1",
            "ssnContains=9",
        ] {
            let verdict = decide(&rep, "lead", query);
            assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "{word} {query}: {verdict:?}");
        }
        for fine in
            ["owner.id=1", "status[any]=1", "name_suffix=x", "account.name=x", "find[status]=1"]
        {
            assert_eq!(decide(&rep, "lead", fine), Ok(Verdict::Fine), "{word} {fine}");
        }
        let named = Roles::new(word, "refuse", ", ignore: [username]", "rep", roles);
        assert_eq!(decide(&named, "lead", "username=x"), Ok(Verdict::Fine), "{word}");
        let body = |text: &str| decide_body(&rep, "lead", true, text.as_bytes());
        for text in [
            r#"{"query":{"match":{"ssn":"9"}}}"#,
            r#"{"query":{"match":{"owner":{"email":"9"}}}}"#,
            r#"{"query":{"bool":{"must":[{"match":{"ssn":"9"}}]}}}"#,
        ] {
            assert!(matches!(body(text), Ok(Verdict::Refused { .. })), "{word} {text}");
        }
        assert_eq!(body(r#"{"query":{"match":{"status":"9"}}}"#), Ok(Verdict::Fine), "{word}");
    }
}

/// SOQL knows no case, and an alias of a statement is not one of the statements within.
#[test]
fn objects_before_names_are_read_in_any_case() {
    let roles = "role: rep\nlead: { ssn: hidden }\naccount: { vat_number: hidden }";
    let rep = Roles::new("salesforce", "refuse", "", "rep", roles);
    for query in [
        "q=SELECT Id FROM Lead WHERE lead.Ssn = '9'",
        "q=SELECT Id FROM Lead L WHERE l.Ssn = '9'",
        "q=SELECT Id, (SELECT Vat_Number FROM Account) FROM Lead Account",
    ] {
        let verdict = decide(&rep, "lead", query);
        assert!(matches!(verdict, Ok(Verdict::Refused { .. })), "{query}: {verdict:?}");
    }
    let fine = "q=SELECT lead.Id, (SELECT account.Name FROM Account) FROM Lead";
    assert_eq!(decide(&rep, "lead", fine), Ok(Verdict::Fine));
}

#[test]
fn strict_resources_know_their_parameters() {
    let strict = ", strict: true, filters: [status, owner.name], ignore: [page]";
    for fine in
        ["page=1&status=a&status__in=b", "owner__name=x", "account__name=x", "ordering=status"]
    {
        assert_eq!(decided(strict, "refuse", fine), Ok(Verdict::Fine), "{fine}");
    }
    for stray in ["what=1", "title=x", "ordering=title", "fields=title", "owner__phone=1", "ssn=1"]
    {
        assert!(matches!(decided(strict, "refuse", stray), Ok(Verdict::Refused { .. })), "{stray}");
    }
}

#[test]
fn whole_objects_and_unknown_names_follow_the_rules_of_the_role() {
    let roles = "role: rep\ndefault: hidden\nlead: { status: view, \"address.city\": hidden, address: view }";
    let rep = Roles::new("django", "refuse", "", "rep", roles);
    for (query, expect) in [
        ("status=a", true),
        ("status__in=a,b", true),
        ("title=a", false),
        ("address__zip=1", true),
        ("address__city=x", false),
        ("address__icontains=x", false),
        ("fields=address", true),
        ("page=1", true),
        ("search=x", false),
    ] {
        assert_eq!(decide(&rep, "lead", query) == Ok(Verdict::Fine), expect, "{query}");
    }
}

#[test]
fn unknown_resources_and_endless_relations_are_refused() {
    let rep = Roles::new("django", "refuse", "", "rep", REP);
    assert!(matches!(decide(&rep, "other", "a=1"), Ok(Verdict::Refused { .. })));
    let around = Roles::new("django", "refuse", "", "admin", REP);
    let mut set = around;
    let lead = Arc::get_mut(set.set.resources.get_mut("lead").unwrap()).unwrap();
    lead.query.relations = BTreeMap::from([("self".to_owned(), "lead".to_owned())]);
    let hops = |count: usize| format!("{}name=1", "self__".repeat(count));
    assert_eq!(decide(&set, "lead", &hops(3)), Ok(Verdict::Fine));
    assert!(matches!(decide(&set, "lead", &hops(40)), Ok(Verdict::Refused { .. })));
}

proptest::proptest! {
    /// No query panics, and one with a restricted field as a filter never passes, however it is
    /// encoded and whatever stands around it.
    #[test]
    fn a_restricted_filter_never_passes(
        before in "[a-z=&+;.\\[\\]_0-9]{0,24}",
        after in "[a-z=&+;.\\[\\]_%0-9]{0,24}",
        encoded in proptest::collection::vec(proptest::bool::ANY, 3),
        lookup in proptest::sample::select(vec!["", "__gt", "__startswith", "[gt]", "!"]),
        drop: bool,
    ) {
        let name: String = "ssn".chars().zip(encoded).map(|(letter, encoded)| {
            if encoded { format!("%{:02x}", letter as u32) } else { letter.to_string() }
        }).collect();
        for (word, _) in Dialect::ALL {
            let rep = Roles::new(word, if drop { "drop" } else { "refuse" }, "", "rep", REP);
            let query = format!("{before}&{name}{lookup}=9&{after}");
            match decide(&rep, "lead", &query) {
                Ok(Verdict::Fine) => proptest::prop_assert!(false, "{} {}", word, query),
                Ok(Verdict::Reduced { query: Some(left), .. }) => {
                    let left: Vec<_> = pairs::read(&left, Semicolons::Anywhere).unwrap().into_iter().map(|pair| pair.name).collect();
                    proptest::prop_assert!(left.iter().all(|name| !name.starts_with("ssn")), "{:?}", left);
                }
                Ok(_) | Err(Malformed) => {}
            }
        }
    }
}
