//! `who_am_i`: callers whom the CRM itself knows, by cookie, key, Basic or a token of its own.

use http::{HeaderName, Method};

use super::{endpoint, keep};
use crate::config::section::{Reader, Section, each, one_or_each};
use crate::config::settings::{
    AnswerPath, AuthorizationScheme, Credentials, ForgetRoute, PathPattern, WhoAmI, WhoAmIPlace,
};
use crate::config::units::Remedy;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::json::path::FieldPath;
use crate::yaml::{Node, Value};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<WhoAmI> {
    let mut at = Section::open(reader, node, name)?;
    let path = at.optional("path", |reader, node, name| {
        value::parsed(reader, node, name, "a path of the CRM", endpoint::target_of)
    });
    let url = endpoint::optional(&mut at);
    if at.is_written("path") == at.is_written("url") {
        let finding = Finding::error(
            "config::who_am_i",
            "it is asked either at a `path` of the upstream or at a `url`",
        )
        .help("write the `path` at which the CRM tells a caller who it is, as in `/api/me`");
        at.report(finding, &["url"]);
    }
    let credentials = at.required("credentials", credentials);
    let subject = at.required("subject", answer_path);
    let roles =
        at.required("roles", |reader, node, name| one_or_each(reader, node, name, answer_path));
    let tenant = at.optional("tenant", answer_path);
    let keep = keep::read(&mut at, WhoAmI::TTL);
    let forget =
        at.or("forget", |reader, node, name| each(reader, node, name, forget_route), Vec::new());
    at.close();
    Some(WhoAmI {
        place: path.map(WhoAmIPlace::Upstream).or(url.map(WhoAmIPlace::Elsewhere))?,
        credentials: credentials?,
        subject: subject?,
        roles: roles?,
        tenant,
        keep,
        forget,
    })
}

fn credentials(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Credentials> {
    let mut at = Section::open(reader, node, name)?;
    let cookies = at.optional("cookies", |reader, node, name| each(reader, node, name, cookie));
    let headers = at.optional("headers", |reader, node, name| each(reader, node, name, header));
    let authorization = at.optional("authorization", |reader, node, name| {
        each(reader, node, name, value::word(&AuthorizationScheme::ALL))
    });
    let written = ["cookies", "headers", "authorization"];
    if !written.iter().any(|key| at.is_written(key)) && !at.has_more() {
        let finding = Finding::error("config::who_am_i", format!("`{name}` names no credential"))
            .help(
                "write what the CRM recognises callers by: `cookies`, `headers`, `authorization`",
            );
        at.report(finding, &[]);
    }
    at.close();
    Some(Credentials {
        cookies: cookies.unwrap_or_default(),
        headers: headers.unwrap_or_default(),
        authorization: authorization.unwrap_or_default(),
    })
}

/// The name of a cookie (RFC 6265).
fn cookie(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "the name of a cookie", |text| {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.bytes().all(is_token) {
            return Ok(text.to_owned());
        }
        Err(Remedy::Borrowed("write the name alone, as in `sessionid`"))
    })
}

fn header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HeaderName> {
    value::header(reader, node, name)
}

fn answer_path(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<AnswerPath> {
    value::parsed(reader, node, name, "a path into the answer", |text| {
        FieldPath::parse(text).map(AnswerPath).map_err(|error| {
            Remedy::Owned(format!("{error}; write it as in `$.user.id` or `$.groups[*].name`"))
        })
    })
}

/// A path, or a mapping of `methods` and `path`.
fn forget_route(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<ForgetRoute> {
    if let Value::Text(_) = node.value {
        return Some(ForgetRoute { methods: Vec::new(), path: value::path(reader, node, name)? });
    }
    let mut at = Section::open(reader, node, name)?;
    let methods =
        at.or("methods", |reader, node, name| each(reader, node, name, method), Vec::new());
    let path: Option<PathPattern> = at.required("path", value::path);
    at.close();
    Some(ForgetRoute { methods, path: path? })
}

fn method(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Method> {
    const METHODS: [(&str, &str); 5] = [
        ("GET", "GET"),
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("PATCH", "PATCH"),
        ("DELETE", "DELETE"),
    ];
    value::word(&METHODS)(reader, node, name).and_then(|method| method.parse().ok())
}
