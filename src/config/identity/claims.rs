//! The claims that say who calls, for every source that reads claims.

use crate::config::section::{Reader, Section};
use crate::config::settings::ClaimNames;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

/// The three settings, with the usual place of roles.
pub(super) fn read(at: &mut Section<'_, '_, '_>, usual_roles: &str) -> ClaimNames {
    ClaimNames {
        subject: at.or("subject_claim", claim, ClaimNames::SUBJECT.to_owned()),
        roles: at.or("roles_claim", claim, usual_roles.to_owned()),
        tenant: at.optional("tenant_claim", claim),
    }
}

/// Tokens of an issuer that serves more than this CRM open it too, unless they must name it.
pub(super) fn warn_of_any_audience(at: &mut Section<'_, '_, '_>) {
    if at.is_written("audience") {
        return;
    }
    let finding = Finding::warning("config::no_audience", "tokens for any audience are accepted")
        .label("this source names no `audience`")
        .help("set `audience` to the name that the issuer gives this CRM, or tokens meant for another service open it too");
    at.report(finding, &[]);
}

/// The name of a claim; dots walk into objects.
fn claim(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<String> {
    let claim = value::text(reader, node, name)?;
    if claim.split('.').any(str::is_empty) {
        let message = format!("`{name}`: {} has an empty name", reader.written(node));
        let finding = Finding::error("config::claim", message)
            .help("dots stand between the names of objects, as in `realm_access.roles`");
        reader.report(finding, node.span);
        return None;
    }
    Some(claim)
}
