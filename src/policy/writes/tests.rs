use super::*;
use crate::diagnostic::{SourceFile, render};
use crate::policy::{Match, PolicySet, read};

const LEAD: &str = r#"
resource: lead
routes:
  - { methods: [GET, POST], path: /api/leads/, records: "$.results[*]" }
  - { methods: [GET, PUT, PATCH, DELETE, POST, OPTIONS], path: "/api/leads/{id}/", records: "$" }
  - { methods: [POST, PUT, GET], path: "/api/leads/{id}/convert/", records: "$" }
  - { methods: [POST], path: /api/leads/search/, records: "$[*]", write: none }
  - { methods: [POST, GET], path: "/api/leads/{id}/merge/", records: "$", write: deleted }
  - { methods: [GET, POST, PUT], path: "/api/leads/{id}/children/", records: "$[*]" }
  - { methods: [GET, POST], path: "/odata/Leads({key})/", records: "$" }
fields: { x: { mask: redact } }
"#;
const CONTACT: &str = r#"
resource: contact
routes:
  - { methods: [GET, POST], path: "/api/accounts/{account}/contacts/", records: "$[*]" }
  - { methods: [GET, PATCH], path: "/api/accounts/{account}/contacts/{id}", records: "$" }
  - { methods: [PUT], path: "/api/accounts/{account}/primary_contact/", records: "$" }
fields: { x: { mask: redact } }
"#;
const QUIET: &str = r#"
resource: quiet
routes: [{ methods: [POST], path: /api/quiet/, records: "$", write: created }]
fields: { x: { mask: redact } }
events: { off: true }
"#;

fn set() -> PolicySet {
    let files = [
        SourceFile::new("resources/lead.yaml", LEAD),
        SourceFile::new("resources/contact.yaml", CONTACT),
        SourceFile::new("resources/quiet.yaml", QUIET),
        SourceFile::new("roles/admin.yaml", "role: admin\ndefault: edit\n"),
    ];
    let read = read("".as_ref(), &files);
    assert_eq!(render(&read.findings, false, 100), "");
    read.set.unwrap()
}

fn found(table: &RouteTable, method: &str, path: &CanonicalPath) -> GovernedRoute {
    match table.find(&method.parse().unwrap(), path) {
        Match::Governed(route) => route,
        other => panic!("{method} {}: {other:?}", path.as_str()),
    }
}

/// What a request writes, and the id that its path tells.
#[track_caller]
fn check(request: &str, expect: Write, id: Option<&str>) {
    let table = RouteTable::new(&set()).unwrap();
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    let route = found(&table, method, &path);
    let write = route.resource.write_of(route.route, &method.parse().unwrap());
    assert_eq!((write, route.record_id(&path).as_deref()), (expect, id), "{request}");
}

#[test]
fn writes_and_their_records() {
    use Write::{Created, Deleted, Nothing, Updated};
    check("POST /api/leads/", Created, None);
    check("GET /api/leads/", Nothing, None);
    check("GET /api/leads/7/", Nothing, Some("7"));
    check("PUT /api/leads/7/", Updated, Some("7"));
    check("PATCH /api/leads/7", Updated, Some("7"));
    check("POST /api/leads/7/", Updated, Some("7"));
    check("DELETE /api/leads/a%20b/", Deleted, Some("a b"));
    check("OPTIONS /api/leads/7/", Nothing, Some("7"));
    check("POST /api/leads/7/convert/", Updated, Some("7"));
    check("PUT /api/leads/7/convert/", Updated, Some("7"));
    check("POST /api/leads/search/", Nothing, None);
    check("POST /api/leads/7/merge/", Deleted, Some("7"));
    check("GET /api/leads/7/merge/", Nothing, Some("7"));
    check("POST /odata/Leads(42)/", Updated, Some("42"));
    // A list below a record: its parameter is the id of the record above.
    check("POST /api/leads/7/children/", Created, None);
    check("PUT /api/leads/7/children/", Updated, None);
    check("POST /api/accounts/3/contacts/", Created, None);
    check("PATCH /api/accounts/3/contacts/9", Updated, Some("9"));
    // No route of contacts ends at `/api/accounts/{account}`, so `3` is no contact.
    check("PUT /api/accounts/3/primary_contact/", Updated, None);
    check("POST /api/quiet/", Nothing, None);
}

#[test]
fn parameters_of_a_request() {
    let table = RouteTable::new(&set()).unwrap();
    let path = CanonicalPath::parse("/api/accounts/a%20b/contacts/9/").unwrap();
    let route = found(&table, "PATCH", &path);
    let expect = [("account", "a b"), ("id", "9")];
    let expect = expect.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(route.params(&path), expect);
    let elsewhere = CanonicalPath::parse("/api/leads/7/").unwrap();
    assert!(route.params(&elsewhere).is_empty() && route.record_id(&elsewhere).is_none());
}

/// Where the record can be read that a request is about.
#[track_caller]
fn check_record_of(request: &str, expect: Option<&str>) {
    let table = RouteTable::new(&set()).unwrap();
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    let record = table.record_of(&found(&table, method, &path), &path);
    assert_eq!(record.as_ref().map(|(path, _)| path.as_str()), expect, "{request}");
    if let Some((path, read)) = record {
        assert_eq!(read.template, found(&table, "GET", &path).template);
    }
}

#[test]
fn where_a_record_is_read() {
    check_record_of("PATCH /api/leads/7/", Some("/api/leads/7/"));
    check_record_of("DELETE /api/leads/7", Some("/api/leads/7"));
    // Also where `GET` is declared for what stands below the record.
    check_record_of("POST /api/leads/7/convert/", Some("/api/leads/7/"));
    check_record_of("PATCH /api/accounts/3/contacts/9", Some("/api/accounts/3/contacts/9"));
    check_record_of("PUT /api/accounts/3/primary_contact/", None);
    check_record_of("POST /api/accounts/3/contacts/", None);
    check_record_of("POST /api/leads/", None);
}

#[track_caller]
fn check_location(resource: &str, location: &str, expect: Option<&str>) {
    let table = RouteTable::new(&set()).unwrap();
    assert_eq!(table.id_in_location(resource, location).as_deref(), expect, "{location}");
}

#[test]
fn ids_in_locations() {
    check_location("lead", "/api/leads/7/", Some("7"));
    check_location("lead", "/api/leads/7", Some("7"));
    check_location("lead", "http://crm.internal:8000/api/leads/7/?x=/9/#top", Some("7"));
    check_location("lead", "//crm/api/leads/7", Some("7"));
    check_location("lead", "/odata/Leads(42)", Some("42"));
    check_location("lead", "/api/leads/a%20b/", Some("a b"));
    check_location("contact", "/api/accounts/3/contacts/9", Some("9"));
    check_location("contact", "/api/leads/7/", None);
    check_location("lead", "/api/leads/", None);
    check_location("lead", "/api/leads/7/convert/", None);
    check_location("lead", "/api/leads/search/", None);
    check_location("lead", "/API/leads/7/", None);
    check_location("lead", "/elsewhere/7/", None);
    check_location("lead", "7/", None);
    check_location("lead", "api/leads/7/", None);
    check_location("lead", "http://crm", None);
    check_location("lead", "/api//leads/7/", None);
    check_location("lead", "/x/../api/leads/7/", None);
    check_location("lead", "", None);
}
