//! `nats`: events into a `JetStream` stream.

use std::time::Duration;

use secrecy::SecretString;

use super::{Taken, has_user, who};
use crate::config::section::{Reader, Section, each};
use crate::config::settings::{
    ContentMode, EventSink, EventSinkKind, NatsLogin, NatsStream, NatsTls,
};
use crate::config::units::{Remedy, show_duration};
use crate::config::{files, secret, url, value};
use crate::diagnostic::Finding;
use crate::yaml::Node;

const YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    taken: &mut Taken,
) -> Option<EventSink> {
    let mut at = Section::open(reader, node, name)?;
    let (name, role) = who(&mut at, taken);
    let servers = at.required("servers", |reader, node, name| each(reader, node, name, server));
    let stream = at.required("stream", stream);
    let subject_prefix =
        at.or("subject_prefix", subject_prefix, NatsStream::SUBJECT_PREFIX.to_owned());
    let mode = at.or("mode", value::word(&ContentMode::ALL), ContentMode::Structured);
    let create = at.or(
        "create",
        |reader, node, name| reader.checker.boolean(node, &format!("`{name}`")),
        false,
    );
    let replicas = at.or("replicas", value::count(1..=5), 1);
    let second = Duration::from_secs(1);
    let max_age = at.optional("max_age", value::duration(second..=YEARS));
    let usual_window = max_age.unwrap_or(YEARS).min(NatsStream::DUPLICATE_WINDOW);
    let duplicate_window = at.or("duplicate_window", value::duration(second..=YEARS), usual_window);
    let timeout = at.or("timeout", value::timeout, NatsStream::TIMEOUT);
    let login = login(&mut at);
    let tls = at.or("tls", tls, NatsTls::default());
    let monitor = at.optional("monitor", |reader, node, name| {
        if has_user(reader, node, name, "leave them out; the endpoint must need none") {
            return None;
        }
        value::parsed(reader, node, name, "the URL of a monitoring endpoint", url::webhook)
    });
    if let Some(max_age) = max_age.filter(|age| *age < duplicate_window) {
        let (age, window) = (show_duration(max_age), show_duration(duplicate_window));
        let message = format!("`duplicate_window` is {window}, and `max_age` only {age}");
        let finding = Finding::error("config::duplicate_window", message)
            .help("the server refuses such a stream: raise `max_age`, or lower the window");
        at.report(finding, &["duplicate_window"]);
    }
    if !at.is_written("create") || !create {
        for key in ["replicas", "max_age", "duplicate_window"] {
            if at.is_written(key) {
                let message = format!("`{key}` has no effect on a stream that exists");
                let finding = Finding::warning("config::no_effect", message)
                    .help("add `create: true`, or remove it");
                at.report(finding, &[key]);
            }
        }
    }
    at.close();
    let nats = NatsStream {
        servers: servers?,
        stream: stream?,
        subject_prefix,
        mode,
        create,
        replicas,
        max_age,
        duplicate_window,
        timeout,
        login: login?,
        tls,
        monitor,
    };
    Some(EventSink { name: name?, role: role?, kind: EventSinkKind::Nats(nats) })
}

pub(in crate::config) fn server(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
) -> Option<String> {
    if has_user(reader, node, name, "leave them out; write `user` and `password_file`") {
        return None;
    }
    value::parsed(reader, node, name, "the URL of a NATS server", |text| {
        url::nats(text, NatsStream::PORT)
    })
}

/// The name of a stream, as the server wants it.
fn stream(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the name of a stream", |text| {
        if (1..=255).contains(&text.len()) && text.bytes().all(is_token) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("use letters, digits, `-` and `_`, as in `CRM`"))
    })
}

fn subject_prefix(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the beginning of a subject", |text| {
        let is_good = |token: &str| !token.is_empty() && token.bytes().all(is_token);
        if text.len() <= 128 && text.split('.').all(is_good) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("use letters, digits, `-`, `_`, with dots between, as in `crm`"))
    })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

pub(in crate::config) fn login(at: &mut Section<'_, '_, '_>) -> Option<NatsLogin> {
    let credentials = at.optional("credentials", credentials);
    let user = at.optional("user", value::text);
    let password_file = at.optional("password_file", secret::from_file(secret::one_line));
    let password_env = at.optional("password_env", secret::from_env(secret::one_line));
    let token_file = at.optional("token_file", secret::from_file(secret::one_line));
    let token_env = at.optional("token_env", secret::from_env(secret::one_line));
    at.refuse_secret("password", "put it into a file and name it in `password_file`, or name an environment variable in `password_env`");
    at.refuse_secret("token", "put it into a file and name it in `token_file`, or name an environment variable in `token_env`");
    let passwords = ["password_file", "password_env"];
    let tokens = ["token_file", "token_env"];
    let is_any = |keys: &[&str]| keys.iter().any(|key| at.is_written(key));
    let is_user = at.is_written("user") || is_any(&passwords);
    let ways = [at.is_written("credentials"), is_user, is_any(&tokens)];
    let ways = ways.into_iter().filter(|is_written| *is_written).count();
    let is_twice = [passwords, tokens].iter().any(|keys| keys.iter().all(|key| at.is_written(key)));
    if ways > 1 || is_twice {
        let finding = Finding::error("config::logins", "there is more than one way to log in")
            .help("keep one of `credentials`, `user` with its password, and the token");
        at.report(finding, &["token_env", "token_file", "password_env", "user", "password_file"]);
        return None;
    }
    if is_user && (!at.is_written("user") || !is_any(&passwords)) {
        let finding = Finding::error("config::logins", "`user` and its password belong together")
            .help("write `user`, and `password_file` or `password_env`");
        at.report(finding, &["user", "password_file", "password_env"]);
        return None;
    }
    let password = password_file.or(password_env);
    match ways {
        0 => Some(NatsLogin::Anonymous),
        _ if at.is_written("credentials") => credentials.map(NatsLogin::Credentials),
        _ if is_user => Some(NatsLogin::User(user?, password?)),
        _ => token_file.or(token_env).map(NatsLogin::Token),
    }
}

/// A credentials file, as `nsc` makes it.
fn credentials(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    secret::from_file(|bytes| {
        let has = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
        if has("BEGIN NATS USER JWT") && has("BEGIN USER NKEY SEED") {
            return Ok(());
        }
        Err(("is no credentials file", "name the `.creds` file that `nsc` or the operator made"))
    })(reader, node, name)
}

pub(in crate::config) fn tls(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<NatsTls> {
    let mut at = Section::open(reader, node, name)?;
    let ca = at.optional("ca", value::file(files::certificates));
    let certificate = at.optional("certificate", value::file(files::certificates));
    let key = at.optional("key", value::file(files::private_key));
    if at.is_written("certificate") != at.is_written("key") {
        let finding =
            Finding::error("config::client_tls", "a certificate and its key belong together")
                .help("write both `certificate` and `key`, or neither");
        at.report(finding, &["certificate", "key"]);
    }
    at.close();
    Some(NatsTls { is_required: true, ca, client: certificate.zip(key) })
}
