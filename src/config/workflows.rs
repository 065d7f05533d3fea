//! `workflows`: how runs are carried out, how long they are kept, and who shares them.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::actions;
use super::events::nats;
use super::section::{Reader, Section, each};
use super::settings::{Fleet, NatsStream, NatsTls, Workflows};
use super::units::Remedy;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Workflows> {
    let usual = Workflows::default();
    let mut at = Section::open(reader, node, name)?;
    let concurrency = at.or("concurrency", value::count(1..=10_000), usual.concurrency);
    let rate = at.optional("rate", value::count(1..=1_000_000));
    let execution = value::duration(SECOND..=7 * DAY);
    let max_execution_time = at.or("max_execution_time", execution, usual.max_execution_time);
    let max_actions = at.or("max_actions", value::count(1..=1000), usual.max_actions as usize);
    let lease = value::duration(3 * SECOND..=DAY);
    let lease = at.or("lease", lease, usual.lease);
    let retention = at.or("retention", value::duration(SECOND..=YEARS), usual.retention);
    let env = at.or("env", env, BTreeMap::new());
    let nats = at.optional("nats", fleet);
    let actions = actions::read(&mut at);
    at.close();
    Some(Workflows {
        concurrency,
        // Both are within their ranges.
        rate: rate.and_then(|rate| u32::try_from(rate).ok()),
        max_execution_time,
        max_actions: u32::try_from(max_actions).unwrap_or(usual.max_actions),
        lease,
        retention,
        env,
        nats,
        actions,
    })
}

/// The variables that templates may name. What they hold is read once, at the start.
fn env(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<BTreeMap<String, SecretString>> {
    let variables = each(reader, node, name, |reader, node, name| {
        let written = value::text(reader, node, name)?;
        let Some(value) = reader.around.variable(&written) else {
            let message = format!("the environment variable `{written}` is not set");
            let finding = Finding::error("config::variable", message)
                .label("templates are to name it")
                .help("set it before Fieldgate starts, or leave it out");
            reader.report(finding, node.span);
            return None;
        };
        Some((written, SecretString::from(value)))
    });
    Some(variables?.into_iter().collect())
}

fn fleet(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Fleet> {
    let mut at = Section::open(reader, node, name)?;
    let servers =
        at.required("servers", |reader, node, name| each(reader, node, name, nats::server));
    let name = at.or("name", fleet_name, Fleet::NAME.to_owned());
    let replicas = at.or("replicas", value::count(1..=5), 1);
    let timeout = at.or("timeout", value::timeout, NatsStream::TIMEOUT);
    let login = nats::login(&mut at);
    let tls = at.or("tls", nats::tls, NatsTls::default());
    at.close();
    Some(Fleet { servers: servers?, name, replicas, timeout, login: login?, tls })
}

/// What can stand in the name of a stream and of a bucket.
fn fleet_name(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the name of a group of sidecars", |text| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("use letters, digits, `-` and `_`, as in `fieldgate`"))
    })
}
