//! `file`: events as lines of a file.

use std::path::Path;

use super::{Taken, who};
use crate::config::section::{Reader, Section};
use crate::config::settings::{EventSink, EventSinkKind, LineFile};
use crate::config::value;
use crate::diagnostic::Finding;
use crate::yaml::Node;

pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    data_dir: Option<&Path>,
    taken: &mut Taken,
) -> Option<EventSink> {
    let mut at = Section::open(reader, node, name)?;
    let (name, role) = who(&mut at, taken);
    // Without a `data_dir` there is a finding already, and nothing is ever written.
    let path = at.required("path", |reader, node, name| {
        let written = value::text(reader, node, name)?;
        Some(data_dir.unwrap_or(Path::new("")).join(written))
    });
    let usual = (LineFile::ROTATE_SIZE, LineFile::ROTATE_KEEP);
    let (rotate_size, rotate_keep) = at.or("rotate", rotate, usual);
    if let Some(path) = &path {
        let span = at.place(&["path"]);
        if let Some((_, first)) = taken.files.iter().find(|(taken, _)| taken == path) {
            let line = at.reader().checker.source().line_of(first.start);
            let finding = Finding::error("config::same_file", "two sinks write one file")
                .label("written already")
                .help(format!("it stands on line {line} already; name another"));
            at.report(finding, &["path"]);
        }
        taken.files.push((path.clone(), span));
    }
    at.close();
    let kind = EventSinkKind::File(LineFile { path: path?, rotate_size, rotate_keep });
    Some(EventSink { name: name?, role: role?, kind })
}

fn rotate(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<(u64, usize)> {
    let mut at = Section::open(reader, node, name)?;
    let size = at.or("size", value::size, LineFile::ROTATE_SIZE);
    let keep = at.or("keep", value::count(1..=1000), LineFile::ROTATE_KEEP);
    at.close();
    Some((size, keep))
}
