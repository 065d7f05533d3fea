//! `client_certificate`: callers known by the certificate that their connection has shown.

use crate::config::section::{Reader, Section};
use crate::config::settings::{CertificateName, ClientCertificate};
use crate::config::value;
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<ClientCertificate> {
    let mut at = Section::open(reader, node, name)?;
    let subject = at.required("subject", value::word(&CertificateName::ALL));
    let roles = at.required("roles", value::word(&CertificateName::ALL));
    let tenant = at.optional("tenant", value::word(&CertificateName::ALL));
    at.close();
    Some(ClientCertificate { subject: subject?, roles: roles?, tenant })
}
