//! `token_map`: how long the values behind tokens are kept, and how many; and `reveal`: how often
//! they may be asked for.

use std::time::Duration;

use super::section::{Reader, Section};
use super::settings::{Reveal, TokenMap};
use super::value;
use crate::yaml::Node;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<TokenMap> {
    let usual = TokenMap::default();
    let mut at = Section::open(reader, node, name)?;
    let keep =
        at.or("keep", value::duration(DAY..=Duration::from_secs(3650 * 24 * 3600)), usual.keep);
    let most = at.or("entries", value::count(1000..=100_000_000), 1_000_000);
    at.close();
    Some(TokenMap { keep, entries: u64::try_from(most).unwrap_or(usual.entries) })
}

pub(super) fn read_reveal(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Reveal> {
    let mut at = Section::open(reader, node, name)?;
    let per_minute = at.or("per_minute", value::count(1..=100_000), 60);
    at.close();
    let usual = Reveal::default();
    Some(Reveal { per_minute: u32::try_from(per_minute).unwrap_or(usual.per_minute) })
}
