//! A score as JSON: the member that is spliced into a record, and the answer of the API.

use std::fmt::Write as _;

use super::rendering::Rendering;
use crate::json::text::quote;

impl Rendering<'_> {
    /// Appends what is spliced into a record: `{"total":72,"quality":"WARM"}`.
    pub fn write_member(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(total) = self.total() {
            write(out, format_args!("\"total\":{total},"));
        }
        write(out, format_args!("\"quality\":\"{}\"}}", self.quality()));
    }

    /// Appends the members of the API's answer, without braces around them, so that a caller can
    /// put its own before: `"total_score":72,"quality":"WARM",...`.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        if let Some(total) = self.total() {
            write(out, format_args!("\"total_score\":{total},"));
        }
        write(out, format_args!("\"quality\":\"{}\",", self.quality()));
        write(out, format_args!("\"recommendation\":\"{}\",", self.recommendation()));
        if self.total().is_some() {
            self.write_components(out);
        }
        write(out, format_args!("\"calculated_at\":\"{}\",", self.moment()));
        write(out, format_args!("\"score_version\":\"{}\"", self.version()));
    }

    fn write_components(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"components\":[");
        for (at, line) in self.lines().enumerate() {
            let between = if at == 0 { "" } else { "," };
            write(
                out,
                format_args!(
                    "{between}{{\"name\":\"{}\",\"weight\":{},\"contribution\":{},\"explanation\":",
                    line.name.word(),
                    line.weight,
                    line.contribution,
                ),
            );
            quote(&line.to_string(), out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"top_factors\":[");
        for (at, name) in self.top_factors().into_iter().enumerate() {
            let between = if at == 0 { "" } else { "," };
            write(out, format_args!("{between}\"{}\"", name.word()));
        }
        out.extend_from_slice(b"],");
    }
}

/// Appends formatted text that holds nothing to escape.
fn write(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(arguments);
    out.extend_from_slice(text.as_bytes());
}
