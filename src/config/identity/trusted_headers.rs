//! `trusted_headers`: callers that a proxy in front has authenticated.

use crate::config::section::{Reader, Section, each};
use crate::config::settings::TrustedHeaders;
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<TrustedHeaders> {
    let mut at = Section::open(reader, node, name)?;
    let peers = at.required("peers", |reader, node, name| each(reader, node, name, value::block));
    let subject = at.required("subject", value::header);
    let roles = at.required("roles", value::header);
    let tenant = at.optional("tenant", value::header);
    let taken = [("subject", &subject), ("roles", &roles), ("tenant", &tenant)];
    for (index, (key, header)) in taken.iter().enumerate() {
        let earlier = taken.iter().take(index).find(|(_, one)| header.is_some() && one == header);
        if let Some((other, _)) = earlier {
            let message = format!("`{other}` and `{key}` are one and the same header");
            let finding = Finding::error("config::same_header", message)
                .help("subject, roles and tenant each need a header of their own");
            at.report(finding, &[key]);
        }
    }
    at.close();
    Some(TrustedHeaders { peers: peers?, subject: subject?, roles: roles?, tenant })
}
