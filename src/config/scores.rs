//! `scores`: how Fieldgate reads leads from the CRM for itself.

use http::HeaderName;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

use super::secret;
use super::section::{Reader, Section, items};
use super::settings::{Scores, ServiceCredential};
use super::units::Remedy;
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

/// Headers that every request has for another reason.
const TAKEN: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];

/// Longest name of a company.
const LONGEST_COMPANY: usize = 64;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Scores> {
    let usual = Scores::default();
    let mut at = Section::open(reader, node, name)?;
    let service = at.or("service", service, Vec::new());
    let rate = at.or("rate", value::count(1..=10_000), usual.rate);
    let batch = at.or("batch", value::count(1..=1000), usual.batch);
    at.close();
    Some(Scores { service, rate, batch })
}

fn service(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Vec<ServiceCredential>> {
    let mut taken: Vec<Option<String>> = Vec::new();
    let mut credentials = Vec::new();
    let mut is_whole = true;
    for item in items(reader, node, name)? {
        let Some(credential) = credential(reader, item, name) else {
            is_whole = false;
            continue;
        };
        if taken.contains(&credential.company) {
            let whose = credential.company.as_deref();
            let whose = whose.map_or("no company".to_owned(), |company| format!("`{company}`"));
            let finding = Finding::error(
                "config::two_credentials",
                format!("`{name}` has two credentials for {whose}"),
            )
            .label("the second one")
            .help("keep one, or name another `company`");
            reader.report(finding, item.span);
            is_whole = false;
        }
        taken.push(credential.company.clone());
        credentials.push(credential);
    }
    is_whole.then_some(credentials)
}

fn credential(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<ServiceCredential> {
    let mut at = Section::open(reader, node, name)?;
    at.refuse_secret("token", "put the whole header value into a file and name it in `value`");
    let company = at.optional("company", company);
    let header = at.or("header", header, AUTHORIZATION);
    let value: Option<SecretString> = at.required("value", credential_value);
    at.close();
    Some(ServiceCredential { company, header, value: value? })
}

/// The value of the header, from somewhere else.
fn credential_value(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<SecretString> {
    if let Value::Text(_) | Value::Integer(_) = node.value {
        reader.conceal(node.span);
        let message = format!("`{name}` would keep a secret in this file");
        let finding = Finding::error("config::inline_secret", message)
            .label("secrets stand elsewhere")
            .help("write `{ file: PATH }` or `{ env: NAME }`");
        reader.report(finding, node.span);
        return None;
    }
    secret::from_either(secret::one_line)(reader, node, name)
}

fn company(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    value::parsed(reader, node, name, "a company", |text| {
        if text.is_empty() || text.len() > LONGEST_COMPANY {
            return Err(Remedy::Borrowed("write it as callers' credentials name it, as in `acme`"));
        }
        Ok(text.to_owned())
    })
}

fn header(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<HeaderName> {
    value::parsed(reader, node, name, "the name of a header", |text| {
        let remedy = Remedy::Borrowed("name what the CRM asks for, as in `X-Api-Key`");
        let header = text.parse::<HeaderName>().map_err(|_| remedy.clone())?;
        if TAKEN.contains(&header.as_str()) { Err(remedy) } else { Ok(header) }
    })
}
