use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::diagnostic::{count, render};

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
/// The key of 24 times `h`.
const WEBHOOK_KEY: &str = "whsec_aGhoaGhoaGhoaGhoaGhoaGhoaGhoaGho\n";
const NATS_CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----\nhunter2\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nhunter2\n------END USER NKEY SEED------\n";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";

/// A world with a few files in the folder `conf`, and a few variables.
struct Pretended;

impl Surroundings for Pretended {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "PORT" => "8090",
            "CRM_PORT" => "8081",
            "WORD" => "hunter2hunter2",
            "NOTHING" => "",
            "LINES" => "hunter2\nhunter2",
            "ADMIN_TOKEN" => "0123456789abcdef",
            "WEBHOOK_KEY" => WEBHOOK_KEY,
            "SHORT_KEY" => "whsec_aHVudGVyMg==",
            "AUDIENCE" => "crm: {not: yaml}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = match path.to_str().unwrap() {
            "conf/tls/server.pem" | "/etc/crm/ca.pem" => CERTIFICATE,
            "conf/tls/server.key" => PRIVATE_KEY,
            "conf/tls/encrypted.key" => "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "conf/keys/idp.pem" => PUBLIC_KEY,
            "conf/keys/secret" => "hunter2hunter2hunter2hunter2hunter2\n",
            "conf/keys/jwks.json" => r#"{"keys":[]}"#,
            "conf/keys/short" => "hunter2\n",
            "conf/keys/whsec" | "conf/keys/whsec.old" | "/run/secrets/whsec" => WEBHOOK_KEY,
            "conf/keys/nats.creds" => NATS_CREDENTIALS,
            "conf/keys.yaml" => "keys: []\n",
            "conf/admin.token" => "fedcba9876543210\n",
            "conf/collector.token" => "Bearer hunter2\n",
            "conf/lines" => "hunter2\nhunter2\n",
            "conf/tls" => return Err(io::ErrorKind::IsADirectory.into()),
            "conf/forbidden.yaml" => return Err(io::ErrorKind::PermissionDenied.into()),
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(content.into())
    }

    fn is_folder(&self, path: &Path) -> bool {
        ["conf/policies", "conf/tls", "conf/data"].contains(&path.to_str().unwrap())
    }
}

fn read_text(text: &str) -> Result<Loaded, Vec<Finding>> {
    read(&SourceFile::new("fieldgate.yaml", text), Path::new("conf"), &Pretended)
}

/// What a file says, when it has no fault.
#[track_caller]
fn settings(text: &str) -> Settings {
    match read_text(text) {
        Ok(loaded) => loaded.settings,
        Err(findings) => panic!("{}", render(&findings, false, 100)),
    }
}

const MINIMAL: &str = "\
upstream: http://127.0.0.1:8081
identity:
  - jwt: { algorithm: RS256, key: keys/idp.pem, audience: crm }
";

#[test]
fn faults() {
    insta::glob!("faults/*.yaml", |path| {
        let findings = match read_text(&std::fs::read_to_string(path).unwrap()) {
            Ok(loaded) => loaded.warnings,
            Err(findings) => findings,
        };
        let rendered = render(&findings, false, 100);
        assert!(!rendered.contains("hunter2"), "a secret shows:\n{rendered}");
        let (errors, warnings) = count(&findings);
        insta::assert_snapshot!(format!("{rendered}{errors} errors, {warnings} warnings\n"));
    });
}

#[test]
fn ten_faults_are_reported_in_one_go() {
    let findings = read_text(include_str!("faults/ten_faults.yaml")).unwrap_err();
    assert_eq!(count(&findings), (10, 0));
    assert!(findings.iter().all(|finding| finding.position().is_some()));
    assert!(findings.iter().all(|finding| finding.remedy().is_some()));
}

#[test]
fn everything_but_upstream_and_identity_has_a_default() {
    insta::assert_debug_snapshot!("minimal", settings(MINIMAL));
}

/// A file that leaves nothing out.
const EVERYTHING: &str = r#"
listen:
  - 127.0.0.1:1080
  - address: "0.0.0.0:1443"
    tls:
      certificate: tls/server.pem
      key: tls/server.key
      client_ca: /etc/crm/ca.pem
      client_certificate: optional
threads: 4
drain: 90s
upstream:
  url: https://crm.internal:8443
  host_header: crm.example:443
  tls: { server_name: crm.example, ca: /etc/crm/ca.pem }
  timeouts: { connect: 1s, first_byte: 2s, idle: 3s, total: 4m }
  pool_idle: 1h
identity:
  - jwt:
      algorithm: HS256
      key: keys/secret
      issuer: https://idp.example
      audience: crm
      leeway: 0s
      subject_claim: email
      roles_claim: realm_access.roles
      tenant_claim: org
  - static_tokens:
      - sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        subject: nightly-export
        roles: [finance, support]
        tenant: acme
  - trusted_headers: { peers: [10.1.0.0/16, "::1"], subject: X-User, roles: X-Roles, tenant: X-Tenant }
  - jwt:
      jwks:
        url: https://idp.example/keys?v=1
        ca: /etc/crm/ca.pem
        refresh: 1m
        max_age: 2h
        timeout: 3s
      algorithm: ES256
      audience: crm
    roles:
      map: { CRM Admins: admin, sales: [sales_rep, marketing], Guests: [] }
      tenants: { acme: { sales: [sales_rep] } }
      unmapped: keep
  - jwt: { jwks: keys/jwks.json, audience: crm }
  - jwt: { jwks: "https://idp.example/keys", audience: crm }
  - introspection:
      url: https://idp.example/introspect
      client_id: fieldgate
      client_secret_file: keys/secret
      issuer: https://idp.example
      audience: crm
      subject_claim: client_id
      roles_claim: groups
      tenant_claim: org
      ttl: 30s
      negative_ttl: 1s
      timeout: 2s
  - who_am_i:
      path: /api/v1/me/?full=1
      credentials: { cookies: [sessionid], headers: [X-Api-Key], authorization: [basic, bearer] }
      subject: $.id
      roles: ["$.groups[*].name", flags]
      tenant: $.company.slug
      ttl: 1m
      negative_ttl: 5s
      timeout: 4s
      forget: [{ methods: [POST], path: /logout/ }, "/users/{id}/password/..."]
  - client_certificate: { subject: uri, roles: ou, tenant: o }
tenant: { header: X-Company, path: ["/t/{tenant}/...", "/orgs/{tenant}"] }
policies: tls
keys: keys.yaml
limits:
  hold: 2MiB
  request_body: 3MB
  response_body: 4GiB
  masked_value: 5KiB
  record: 6 KiB
  header_timeout: 7s
  body_timeout: 8s
  header_bytes: 9000
  connections: 11
  requests: 10
  held_total: 11MiB
telemetry:
  correlation_header: X-Request-ID
  service: crm-gate
  environment: staging
  log: { format: text, level: debug }
  trace_headers: b3
  traces:
    endpoint: https://collector.example:4318/otlp
    protocol: http
    headers: [{ name: Authorization, file: collector.token }]
    share: 0.25
    slow: 500ms
    queue: 100
admin:
  listen: 0.0.0.0:9902
  token_file: admin.token
  hosts: [Ops.Example]
data_dir: data
events:
  source: https://crm.example
  on_store_failure: pass
  store_timeout: 3s
  retention: { age: 7d, size: 2GiB }
  fields_cache: 5000
  retry: [1s, 2m, 3h]
  sinks:
    - webhook:
        name: billing
        role: integration
        url: https://hooks.example/crm?team=billing
        mode: binary
        secrets: [keys/whsec, { env: WEBHOOK_KEY }]
        allow: [10.0.0.0/8, "fd00::1", hooks.internal]
        tls: { ca: /etc/crm/ca.pem }
        timeout: 4s
        headers: { X-Team: billing, Authorization: "Bearer ${WORD}", X-Api-Key: { file: keys/short } }
        parallel: 3
    - nats:
        name: bus
        role: integration
        servers: ["nats://nats-1", "tls://nats-2:4333"]
        stream: CRM
        subject_prefix: eu.crm
        mode: binary
        create: true
        replicas: 3
        max_age: 30d
        duplicate_window: 2h
        timeout: 6s
        credentials: keys/nats.creds
        tls: { ca: /etc/crm/ca.pem, certificate: tls/server.pem, key: tls/server.key }
        monitor: http://nats-1:8222
    - file: { name: trail, role: audit, path: events.jsonl, rotate: { size: 1MiB, keep: 2 } }
    - stdout: { name: console, role: audit }
audit: { mode: required, keep: 30d, queue: 100 }
workflows:
  concurrency: 8
  rate: 100
  max_execution_time: 10m
  max_actions: 20
  lease: 30s
  retention: 7d
  env: [WORD, PORT]
  nats:
    servers: ["nats://nats-1", "tls://nats-2:4333"]
    name: crm_gates
    replicas: 3
    timeout: 3s
    user: gate
    password_file: keys/short
    tls: { ca: /etc/crm/ca.pem }
  crm: { header: X-Api-Key, token_file: keys/short }
  smtp:
    host: mail.internal
    tls: implicit
    port: 4650
    ca: /etc/crm/ca.pem
    user: gate
    password_file: keys/short
    from: "Fieldgate <crm@example.com>"
    timeout: 9s
    connections: 2
  channels:
    - webhook:
        name: pager
        url: https://pager.example/crm
        secrets: [keys/whsec]
        allow: [10.0.0.0/8, pager.internal]
        tls: { ca: /etc/crm/ca.pem }
        timeout: 3s
  feed: { keep: 10 }
  webhooks: { secrets: [keys/whsec], allow: [hooks.internal], timeout: 2s }
  exports: { folder: data, link: "https://files.example/x/", attach: 1MiB, notify: pager, rows: 1000, keep: 1d }
scores:
  service:
    - { company: acme, header: X-Api-Key, value: { file: keys/short } }
    - { value: { env: WORD } }
  rate: 7
  batch: 50
"#;

#[test]
fn every_setting_can_be_written() {
    let settings = settings(EVERYTHING);
    let token = settings.admin.token.as_ref().map(|token| token.expose_secret().to_owned());
    assert_eq!(token.as_deref(), Some("fedcba9876543210"));
    insta::assert_debug_snapshot!("everything", settings);
}

#[test]
fn a_sink_needs_little() {
    let settings = settings(&format!(
        "{MINIMAL}data_dir: data\nevents:\n  sinks:\n\
         \x20   - webhook: {{ name: w, role: r, url: 'https://w.example', secrets: [keys/whsec] }}\n\
         \x20   - nats: {{ name: n, role: r, servers: ['nats://n'], stream: S }}\n\
         \x20   - nats: {{ name: u, role: r, servers: ['nats://n'], stream: S, user: u, password_env: WORD }}\n\
         \x20   - nats: {{ name: t, role: r, servers: ['nats://n'], stream: S, token_file: keys/short }}\n\
         \x20   - file: {{ name: f, role: r, path: /var/log/events.jsonl }}\n",
    ));
    insta::assert_debug_snapshot!("few_words", settings.events);
}

#[test]
fn a_small_total_lowers_the_bounds_that_are_not_written() {
    let settings = settings(
        "upstream: { url: http://127.0.0.1:8081, timeouts: { total: 3s } }\n\
         identity:\n  - jwt: { algorithm: RS256, key: keys/idp.pem, audience: crm }\n\
         limits: { held_total: 512KiB }\n",
    );
    let upstream = settings.upstream;
    let waits = [upstream.connect_timeout, upstream.first_byte_timeout, upstream.idle_timeout];
    assert!(waits.iter().all(|wait| *wait == upstream.total_timeout), "{waits:?}");
    let limits = settings.limits;
    let bounds = [limits.hold, limits.request_body, limits.masked_value, limits.record];
    assert!(bounds.iter().all(|bound| *bound == limits.held_total), "{bounds:?}");
}

#[test]
fn variables_fill_in_text_numbers_and_durations_but_never_structure() {
    let settings = settings(
        r#"
listen: "127.0.0.1:${PORT}"
upstream: http://127.0.0.1:${CRM_PORT}
identity:
  - jwt: { algorithm: RS256, key: keys/idp.pem, audience: "${AUDIENCE}", issuer: "$${PORT}" }
limits: { requests: "${PORT}", hold: "${PORT}", header_timeout: "${PORT}ms" }
admin: { token_env: ADMIN_TOKEN }
"#,
    );
    assert_eq!(settings.listeners[0].address.port(), 8090);
    assert_eq!(settings.upstream.port, 8081);
    assert_eq!((settings.limits.requests, settings.limits.hold), (8090, 8090));
    assert_eq!(settings.limits.header_timeout.as_millis(), 8090);
    let IdentitySource::Jwt(jwt) = &settings.identity[0].source else { panic!("not a jwt") };
    assert_eq!(jwt.audience.as_deref(), Some("crm: {not: yaml}"));
    assert_eq!(jwt.issuer.as_deref(), Some("${PORT}"));
    let token = settings.admin.token.as_ref().map(|token| token.expose_secret().to_owned());
    assert_eq!(token.as_deref(), Some("0123456789abcdef"));
}

#[test]
fn the_ledger_is_kept_where_there_is_a_folder_unless_somebody_says_no() {
    let audit = |more: &str| settings(&format!("{MINIMAL}{more}")).audit.map(|audit| audit.mode);
    assert_eq!(audit(""), None);
    assert_eq!(audit("data_dir: tls\n"), Some(AuditMode::BestEffort));
    assert_eq!(audit("data_dir: tls\naudit: { mode: off }\n"), None);
    assert_eq!(audit("data_dir: tls\naudit: { mode: required }\n"), Some(AuditMode::Required));
}

#[test]
fn workflows_run_where_there_are_events() {
    let has = |more: &str| {
        let settings = settings(&format!("{MINIMAL}{more}"));
        (settings.events.is_some(), settings.workflows.is_some())
    };
    assert_eq!(has(""), (false, false));
    assert_eq!(has("data_dir: tls\n"), (false, false));
    assert_eq!(has("data_dir: tls\nevents: {}\n"), (true, true));
    assert_eq!(has("data_dir: tls\nworkflows: {}\n"), (true, true));
}

#[test]
fn variables_are_never_looked_up_for_keys() {
    let findings = read_text(&format!("{MINIMAL}\"${{WORD}}\": 1\n")).unwrap_err();
    assert_eq!(findings[0].message(), "unknown key `${WORD}`");
}

#[test]
fn no_setting_shows_a_secret() {
    let settings = settings(&format!("{MINIMAL}admin: {{ token_file: admin.token }}\n"));
    assert!(!format!("{settings:?}").contains("fedcba9876543210"));
}

#[test]
fn a_configuration_is_loaded_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fieldgate.yaml");
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    std::fs::create_dir_all(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/idp.pem"), PUBLIC_KEY).unwrap();
    std::fs::write(&path, MINIMAL).unwrap();
    let loaded = load(&path, &|_| None).unwrap();
    assert_eq!(loaded.settings.policies, folder.path().join("policies"));
    assert!(loaded.warnings.is_empty());

    std::fs::remove_file(folder.path().join("keys/idp.pem")).unwrap();
    let findings = load(&path, &|_| None).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].message(), "`jwt.key`: cannot read `keys/idp.pem`: no such file");
    let (name, line, column) = findings[0].position().unwrap();
    assert_eq!((name, line, column), (path.to_str().unwrap(), 3, 35));
}

#[test]
fn a_policy_folder_is_needed_even_where_none_is_named() {
    let findings = read(&SourceFile::new("f.yaml", MINIMAL), Path::new("tls"), &Pretended);
    let messages: Vec<String> = findings.unwrap_err().iter().map(Finding::to_string).collect();
    assert_eq!(
        messages,
        [
            "`jwt.key`: cannot read `keys/idp.pem`: no such file",
            "there is no policy folder `tls/policies`",
        ]
    );
}

#[track_caller]
fn check_load(content: Option<&[u8]>, message: &str, position: Option<(usize, usize)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.yaml");
    if let Some(content) = content {
        std::fs::write(&path, content).unwrap();
    }
    let findings = load(&path, &|_| None).unwrap_err();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].message().replace(path.to_str().unwrap(), "f.yaml"), message);
    assert_eq!(findings[0].position().map(|(_, line, column)| (line, column)), position);
}

#[test]
fn a_file_that_is_no_text_is_one_finding() {
    check_load(None, "cannot read `f.yaml`: no such file", None);
    check_load(Some(b""), "the file says nothing", Some((1, 1)));
    check_load(Some(b"a: 1\nb: \xff\n"), "the file is not UTF-8 from here on", Some((2, 4)));
    let large = vec![b'#'; (1 << 20) + 1];
    check_load(Some(&large), "cannot read `f.yaml`: it is larger than 1 MiB", None);
}

/// The fenced YAML of a Markdown page.
fn fenced(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// A folder that has what the documentation names.
struct Documented(BTreeMap<&'static str, &'static str>);

impl Surroundings for Documented {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "CRM_HOST" => Some("crm.internal".to_owned()),
            "SALES_ADDRESS" => Some("sales@example.com".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.file_name().unwrap().to_str().unwrap();
        let content = self.0.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok((*content).into())
    }

    fn is_folder(&self, path: &Path) -> bool {
        ["policies", "fieldgate", "data"].iter().any(|name| path.ends_with(name))
    }
}

/// Loads a file of the documentation, which must leave no doubt either.
#[track_caller]
fn load_documented(text: &str) -> Settings {
    let files = Documented(BTreeMap::from([
        ("idp.pem", PUBLIC_KEY),
        ("ca.pem", CERTIFICATE),
        ("server.pem", CERTIFICATE),
        ("server.key", PRIVATE_KEY),
        ("keys.yaml", "keys: []"),
        ("admin.token", "fedcba9876543210"),
        ("clients.pem", CERTIFICATE),
        ("introspection.secret", "hunter2hunter2"),
        ("collector.token", "Bearer fedcba9876543210"),
        ("crm.token", "Bearer fedcba9876543210"),
        ("whsec", WEBHOOK_KEY),
        ("nats.creds", NATS_CREDENTIALS),
    ]));
    match read(&SourceFile::new("doc.yaml", text), Path::new("conf"), &files) {
        Ok(loaded) if loaded.warnings.is_empty() => loaded.settings,
        Ok(Loaded { warnings: findings, .. }) | Err(findings) => {
            panic!("{}", render(&findings, false, 100))
        }
    }
}

const PAGE: &str = include_str!("../../docs/configuration.md");

#[test]
fn the_documented_examples_load() {
    let examples = fenced(PAGE);
    assert_eq!(examples.len(), 5, "a short one, a complete one, events, workflows, the defaults");
    for text in &examples {
        // The part about events is shown without the rest.
        let rest = if text.starts_with("data_dir") { examples[0].as_str() } else { "" };
        load_documented(&format!("{rest}{text}"));
    }
    load_documented(include_str!("../../deploy/fieldgate.yaml"));
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let examples = fenced(PAGE);
    let (left_out, written) = (load_documented(&examples[0]), load_documented(&examples[4]));
    assert_eq!(format!("{written:#?}"), format!("{left_out:#?}"));
}

/// Every mapping of the file, each with a key that nothing reads.
const UNKNOWN_EVERYWHERE: &str = "
qqqqqqqqqqqqqqqqqqq: 1
listen:
  { address: '127.0.0.1:80', qqqqqqqqqqqqqqqqqqq: 1, tls: { qqqqqqqqqqqqqqqqqqq: 1 } }
tenant: { qqqqqqqqqqqqqqqqqqq: 1 }
upstream:
  qqqqqqqqqqqqqqqqqqq: 1
  tls: { qqqqqqqqqqqqqqqqqqq: 1 }
  timeouts: { qqqqqqqqqqqqqqqqqqq: 1 }
identity:
  - qqqqqqqqqqqqqqqqqqq: 1
  - jwt: { qqqqqqqqqqqqqqqqqqq: 1 }
    roles: { qqqqqqqqqqqqqqqqqqq: 1 }
  - jwt: { jwks: { qqqqqqqqqqqqqqqqqqq: 1 }, qqqqqqqqqqqqqqqqqqq: 1 }
  - introspection: { qqqqqqqqqqqqqqqqqqq: 1 }
  - who_am_i:
      qqqqqqqqqqqqqqqqqqq: 1
      credentials: { qqqqqqqqqqqqqqqqqqq: 1 }
      forget: [{ qqqqqqqqqqqqqqqqqqq: 1 }]
  - client_certificate: { qqqqqqqqqqqqqqqqqqq: 1 }
  - static_tokens: [{ qqqqqqqqqqqqqqqqqqq: 1 }]
  - trusted_headers: { qqqqqqqqqqqqqqqqqqq: 1 }
limits: { qqqqqqqqqqqqqqqqqqq: 1 }
telemetry:
  qqqqqqqqqqqqqqqqqqq: 1
  log: { qqqqqqqqqqqqqqqqqqq: 1 }
  traces: { qqqqqqqqqqqqqqqqqqq: 1, headers: [{ qqqqqqqqqqqqqqqqqqq: 1 }] }
admin: { qqqqqqqqqqqqqqqqqqq: 1 }
audit: { qqqqqqqqqqqqqqqqqqq: 1 }
workflows:
  qqqqqqqqqqqqqqqqqqq: 1
  nats: { qqqqqqqqqqqqqqqqqqq: 1, tls: { qqqqqqqqqqqqqqqqqqq: 1 } }
  crm: { qqqqqqqqqqqqqqqqqqq: 1 }
  smtp: { qqqqqqqqqqqqqqqqqqq: 1 }
  channels:
    - qqqqqqqqqqqqqqqqqqq: 1
    - slack: { qqqqqqqqqqqqqqqqqqq: 1 }
    - webhook: { qqqqqqqqqqqqqqqqqqq: 1, tls: { qqqqqqqqqqqqqqqqqqq: 1 } }
  feed: { qqqqqqqqqqqqqqqqqqq: 1 }
  webhooks: { qqqqqqqqqqqqqqqqqqq: 1 }
  exports: { qqqqqqqqqqqqqqqqqqq: 1 }
events:
  qqqqqqqqqqqqqqqqqqq: 1
  retention: { qqqqqqqqqqqqqqqqqqq: 1 }
  sinks:
    - qqqqqqqqqqqqqqqqqqq: 1
    - webhook: { qqqqqqqqqqqqqqqqqqq: 1, tls: { qqqqqqqqqqqqqqqqqqq: 1 }, secrets: [{ qqqqqqqqqqqqqqqqqqq: 1 }] }
    - nats: { qqqqqqqqqqqqqqqqqqq: 1, tls: { qqqqqqqqqqqqqqqqqqq: 1 } }
    - file: { qqqqqqqqqqqqqqqqqqq: 1, rotate: { qqqqqqqqqqqqqqqqqqq: 1 } }
    - stdout: { qqqqqqqqqqqqqqqqqqq: 1 }
";

#[test]
fn every_key_is_documented() {
    let findings = read_text(UNKNOWN_EVERYWHERE).unwrap_err();
    let unknown: Vec<&Finding> =
        findings.iter().filter(|finding| finding.code() == "yaml::unknown_key").collect();
    assert_eq!(unknown.len(), UNKNOWN_EVERYWHERE.matches("qqq: 1").count());
    for finding in unknown {
        let known = finding.remedy().unwrap().strip_prefix("known here: ").unwrap();
        for key in known.split(", ") {
            assert!(PAGE.contains(&format!("\n| {key} |")), "{key} has no row on the page");
        }
    }
}

/// Text that looks like a configuration more often than chance would have it.
fn yaml_like() -> impl Strategy<Value = String> {
    let words = "listen upstream identity jwt static_tokens trusted_headers limits telemetry admin \
        introspection who_am_i client_certificate jwks credentials cookies forget map tenants tenant \
        url tls timeouts sha256 peers key algorithm hold log token_file address roles subject \
        hosts token drain data_dir events sinks webhook nats secrets allow headers servers 127.0.0.1:80 http://[::1]:80 10.0.0.0/8 RS256 5s 1MiB -1 1e9 ${PORT} ${ \
        $${X} ' \"${NO}\" é ~ true &a *a << !x @";
    let word = prop::sample::select(words.split(' ').collect::<Vec<_>>());
    let glue = prop::sample::select(vec![
        ": ", ":\n  ", "\n", "\n  ", "\n- ", "\n  - ", ", ", " { ", " }", " [", "]", " ", "\t",
        "\r\n", "",
    ]);
    prop::collection::vec((word, glue), 0..30)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, glue)| [word, glue]).collect())
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in prop_oneof![any::<String>(), yaml_like()]) {
        match read_text(&text) {
            Ok(loaded) => prop_assert_eq!(count(&loaded.warnings).0, 0),
            Err(findings) => {
                prop_assert!(count(&findings).0 > 0);
                prop_assert!(!render(&findings, false, 80).is_empty());
            }
        }
    }
}
