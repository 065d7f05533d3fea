//! `listen`: an address, a mapping with one, or a list of either.

use super::files;
use super::places::Places;
use super::section::{Reader, Section, each};
use super::settings::{CertificateDemand, ClientCa, Listener, ListenerTls, Settings};
use super::value;
use crate::diagnostic::Finding;
use crate::yaml::{Node, Value};

/// The listener of a file that names none.
pub(super) fn usual(places: &mut Places) -> Vec<Listener> {
    places.listen(Settings::LISTEN, None);
    vec![Listener { address: Settings::LISTEN, tls: None }]
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    places: &mut Places,
) -> Option<Vec<Listener>> {
    match node.value {
        Value::List(_) => {
            each(reader, node, name, |reader, item, name| one(reader, item, name, places))
        }
        _ => one(reader, node, name, places).map(|listener| vec![listener]),
    }
}

fn one(reader: &mut Reader<'_>, node: &Node, name: &str, places: &mut Places) -> Option<Listener> {
    let (address, span, tls) = if let Value::Map(_) = node.value {
        let mut at = Section::open(reader, node, name)?;
        let address = at.required("address", value::address);
        let tls = at.optional("tls", tls);
        // A faulty `tls` is a finding already, and must not read as none.
        let is_plain = !at.is_written("tls");
        let span = at.place(&["address"]);
        at.close();
        (address?, span, if is_plain { None } else { Some(tls?) })
    } else {
        (value::address(reader, node, name)?, node.span, None)
    };
    places.listen(address, Some(span));
    if tls.is_none() && !address.ip().is_loopback() {
        let message = format!("`{address}` takes requests from the network without TLS");
        let finding = Finding::warning("config::plain_listener", message)
            .label("tokens and personal data pass here in the clear")
            .help(
                "add `tls: { certificate, key }`, or listen on 127.0.0.1 where TLS ends in front",
            );
        reader.report(finding, span);
    }
    Some(Listener { address, tls })
}

fn tls(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<ListenerTls> {
    let mut at = Section::open(reader, node, name)?;
    let certificate = at.required("certificate", value::file(files::certificates));
    let key = at.required("key", value::file(files::private_key));
    let file = at.optional("client_ca", value::file(files::certificates));
    let demand = at.optional("client_certificate", value::word(&CertificateDemand::ALL));
    if demand.is_some() && !at.is_written("client_ca") {
        let finding = Finding::error(
            "config::no_client_ca",
            "`client_certificate` has no effect without `client_ca`",
        )
        .help("name the roots that certificates of clients must lead to in `client_ca`");
        at.report(finding, &["client_certificate"]);
    }
    // A faulty file is a finding already, and must not read as none.
    let is_faulty = at.is_written("client_ca") && file.is_none();
    at.close();
    let demand = demand.unwrap_or(CertificateDemand::Required);
    let client_ca = file.map(|file| ClientCa { file, demand });
    let tls = ListenerTls { certificate: certificate?, key: key?, client_ca };
    (!is_faulty).then_some(tls)
}
