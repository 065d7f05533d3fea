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
