//! Who calls, through real sockets: the CRM's own sessions, issuers, certificates, and no mix-up.

#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_for_each,
    clippy::wrong_self_convention,
    clippy::inconsistent_struct_constructor,
    clippy::useless_format,
    clippy::too_many_lines,
    clippy::items_after_statements,
    clippy::needless_raw_string_hashes,
    reason = "short tests matter more here than speed, and a panic is a failure"
)]

mod certificates;
mod keep_alive;
mod reveal;
mod roles_and_tenants;
mod sessions;
mod single_flight;
mod tokens;

#[allow(dead_code, reason = "the street's tests use the rest of it")]
#[path = "../street/harness.rs"]
mod harness;

#[path = "../street/canary.rs"]
mod canary;
#[path = "../street/oracle.rs"]
mod oracle;

use self::harness::*;

/// The CRM's own word, as the demo's configuration asks for it; entries of `identity` go on here.
const WHO_AM_I: &str = "
  - who_am_i:
      path: /api/v1/me/
      credentials: { cookies: [sessionid], headers: [X-Api-Key], authorization: [basic] }
      subject: $.username
      roles: $.groups[*].name
      tenant: $.company.slug
      forget: [{ methods: [POST], path: /logout/ }, /password/]
    roles:
      map:
        CRM Admins: admin
        Sales: [sales_rep]
        Marketing: marketing
        Finance: finance
        Support: support
";

/// The shipped global policy, and the pages to log in and out at.
fn with_login() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/global.yaml");
    let mut text = std::fs::read_to_string(path).unwrap();
    for page in ["/login/", "/logout/", "/password/"] {
        text += &format!("  - {{ methods: [POST], path: {page} }}\n");
    }
    text
}

/// A gate before the demo CRM that asks it who somebody is.
async fn asking_gate(upstream: &Upstream, more: &str) -> Gate {
    gate(upstream)
        .config(WHO_AM_I.trim_start_matches('\n'))
        .config(more)
        .file("policies/global.yaml", &with_login())
        .start()
        .await
}

/// How often the CRM was asked who somebody is.
fn questions(upstream: &Upstream) -> usize {
    let requests = upstream.crm.as_ref().unwrap().requests();
    requests.iter().filter(|head| head.target == "/api/v1/me/").count()
}

/// How often the CRM was asked for anything else.
fn forwarded(upstream: &Upstream) -> usize {
    upstream.crm.as_ref().unwrap().requests().len() - questions(upstream)
}

/// The value of a metric's line, 0 where there is none.
async fn metric(gate: &Gate, series: &str) -> u64 {
    let metrics = gate.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
