use super::*;
use crate::diagnostic::SourceFile;

const LEAD: &str = r#"
resource: lead
routes:
  - { methods: [GET],        path: "/api/v1/leads/",              records: "$.results[*]" }
  - { methods: [POST],       path: "/api/v1/leads/",              records: "$" }
  - { methods: [GET, PATCH], path: "/api/v1/leads/{id}/",         records: "$" }
  - { methods: [GET],        path: "/api/v1/leads/recent/",       records: "$[*]" }
  - { methods: [GET],        path: "/api/v1/leads/{id}/history",  records: "$[*]" }
  - { methods: [GET],        path: "/odata/Leads({id})",          records: "$" }
fields: { "$..ssn": { pii: true, mask: redact } }
"#;
const DEAL: &str = r#"
resource: deal
routes:
  - { methods: [GET], path: "/api/v1/deals", records: "$[*]" }
  - { methods: [GET], path: "/api/v1/leads/{lead_id}/deals/", records: "$[*]" }
fields: { margin: { mask: redact } }
"#;
const GLOBAL: &str = r#"
unmatched: global_only
fields: { "$..password": hidden }
passthrough:
  - { methods: [GET], path: "/static/{*rest}" }
  - { methods: [GET], path: "/login" }
  - { methods: [GET], path: "/api/v1/leads/template.csv" }
  - { methods: [OPTIONS], path: "/api/{*rest}" }
  - { methods: [GET], path: "/API/docs/{*rest}" }
  - { methods: [GET], path: "/api/v1/{name}.json" }
"#;

fn table() -> RouteTable {
    let files = [
        SourceFile::new("global.yaml", GLOBAL),
        SourceFile::new("resources/deal.yaml", DEAL),
        SourceFile::new("resources/lead.yaml", LEAD),
        SourceFile::new("roles/admin.yaml", "role: admin\ndefault: edit\n"),
    ];
    let read = crate::policy::read("".as_ref(), &files);
    let text = crate::diagnostic::render(&read.findings, false, 100);
    RouteTable::new(&read.set.expect(&text)).unwrap()
}

fn describe(found: &Match) -> String {
    match found {
        Match::Governed(route) => {
            format!("{} {} {}", route.resource.name, route.route, route.template)
        }
        Match::Passthrough { template } => format!("open {template}"),
        Match::MethodNotDeclared { template } => format!("method {template}"),
        Match::Suspicious { template } => format!("suspicious {template}"),
        Match::Unmatched => "unmatched".to_owned(),
    }
}

#[track_caller]
fn check(method: &str, path: &str, expect: &str) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let found = table().find(&method, &CanonicalPath::parse(path).unwrap());
    assert_eq!(describe(&found), expect, "{method} {path}");
}

#[test]
fn declared_routes() {
    check("GET", "/api/v1/leads/", "lead 0 /api/v1/leads/");
    check("HEAD", "/api/v1/leads/", "lead 0 /api/v1/leads/");
    check("POST", "/api/v1/leads/", "lead 1 /api/v1/leads/");
    check("GET", "/api/v1/leads/7/", "lead 2 /api/v1/leads/{id}/");
    check("PATCH", "/api/v1/leads/7/", "lead 2 /api/v1/leads/{id}/");
    check("GET", "/api/v1/leads/7.json", "lead 2 /api/v1/leads/{id}/");
    check("GET", "/api/v1/leads/Jos%C3%A9/", "lead 2 /api/v1/leads/{id}/");
    check("GET", "/odata/Leads(7)", "lead 5 /odata/Leads({id})");
}

#[test]
fn fixed_text_wins_over_a_parameter() {
    check("GET", "/api/v1/leads/recent/", "lead 3 /api/v1/leads/recent/");
    check("PATCH", "/api/v1/leads/recent/", "method /api/v1/leads/recent/");
}

#[test]
fn resources_share_a_prefix_whatever_they_call_the_parameter() {
    check("GET", "/api/v1/leads/7/history", "lead 4 /api/v1/leads/{id}/history");
    check("GET", "/api/v1/leads/7/deals/", "deal 1 /api/v1/leads/{lead_id}/deals/");
}

#[test]
fn the_slash_at_the_end_does_not_matter() {
    check("GET", "/api/v1/leads", "lead 0 /api/v1/leads/");
    check("GET", "/api/v1/leads/7", "lead 2 /api/v1/leads/{id}/");
    check("GET", "/api/v1/deals/", "deal 0 /api/v1/deals");
    check("GET", "/api/v1/leads/recent", "lead 3 /api/v1/leads/recent/");
    check("GET", "/login/", "open /login");
}

#[test]
fn methods_that_nobody_declared() {
    check("DELETE", "/api/v1/leads/7/", "method /api/v1/leads/{id}/");
    check("DELETE", "/api/v1/leads/7", "method /api/v1/leads/{id}/");
    check("PUT", "/api/v1/leads/", "method /api/v1/leads/");
    check("OPTIONS", "/odata/Leads(7)", "method /odata/Leads({id})");
    check("POST", "/login", "unmatched");
}

#[test]
fn other_spellings_of_a_governed_path() {
    check("GET", "/API/v1/Leads/", "suspicious /api/v1/leads/");
    check("GET", "/api/v1/LEADS/7", "suspicious /api/v1/leads/{id}/");
    check("GET", "/api/v1/leads.xml", "suspicious /api/v1/leads/");
    check("GET", "/api/v1/deals.CSV", "suspicious /api/v1/deals");
    check("GET", "/api/v1/leads./7", "suspicious /api/v1/leads/{id}/");
    check("GET", "/api/v1/leads%20/7", "suspicious /api/v1/leads/{id}/");
    check("GET", "/odata/leads(7)", "suspicious /odata/Leads({id})");
    check("GET", "/odata/Leads%287%29", "suspicious /odata/Leads({id})");
    check("PROPFIND", "/Api/v1/leads/", "suspicious /api/v1/leads/");
}

#[test]
fn what_is_no_api() {
    check("GET", "/static/app.css", "open /static/{*rest}");
    check("GET", "/static/img/Logo.png", "open /static/{*rest}");
    check("HEAD", "/static/app.css", "open /static/{*rest}");
    check("POST", "/static/app.css", "unmatched");
    check("GET", "/static/", "unmatched");
    check("GET", "/API/docs/1", "open /API/docs/{*rest}");
    check("GET", "/api/v1/schema.json", "open /api/v1/{name}.json");
}

#[test]
fn passthrough_inside_a_governed_path() {
    check("GET", "/api/v1/leads/template.csv", "open /api/v1/leads/template.csv");
    check("PATCH", "/api/v1/leads/template.csv", "lead 2 /api/v1/leads/{id}/");
    check("OPTIONS", "/api/v1/leads/7/", "open /api/{*rest}");
}

#[test]
fn another_spelling_of_a_governed_path_is_no_passthrough() {
    check("GET", "/api/v1/leads.json", "suspicious /api/v1/leads/");
}

#[test]
fn unknown_paths() {
    check("GET", "/api/v1/users/", "unmatched");
    check("GET", "/", "unmatched");
    check("GET", "/api/v1/leads/7/history/9", "unmatched");
}
