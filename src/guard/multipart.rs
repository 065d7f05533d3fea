//! `multipart/form-data` (RFC 7578): parts cut at the boundary, each a field by its name.
//!
//! Strict: servers disagree about everything that stands between the lines of this format, so what
//! is not exactly as browsers send it is refused.

use super::Unreadable;
use super::form::{Field, check_spellings, path_of};

/// Most parts of one body.
const MOST_PARTS: usize = 1024;

/// The parts of a body. The span of a field is its part with the boundary line before it.
pub(super) fn parts(body: &[u8], boundary: &str) -> Result<Vec<Field>, Unreadable> {
    let delimiter = format!("--{boundary}").into_bytes();
    let inner = [b"\r\n", delimiter.as_slice()].concat();
    let mut fields = Vec::new();
    let mut start = 0;
    if !body.starts_with(&delimiter) {
        return Err(Unreadable::Form);
    }
    loop {
        let behind = start + delimiter.len();
        let rest = body.get(behind..).unwrap_or_default();
        if rest == b"--" || rest == b"--\r\n" {
            break;
        }
        let content = rest.strip_prefix(b"\r\n").ok_or(Unreadable::Form)?;
        let length = memchr::memmem::find(content, &inner).ok_or(Unreadable::Form)?;
        let part = content.get(..length).unwrap_or_default();
        let next = behind + 2 + length + 2;
        if fields.len() == MOST_PARTS {
            return Err(Unreadable::Form);
        }
        fields.push(field(part, (start, next))?);
        start = next;
    }
    check_spellings(&fields)?;
    Ok(fields)
}

fn field(part: &[u8], span: (usize, usize)) -> Result<Field, Unreadable> {
    let end = memchr::memmem::find(part, b"\r\n\r\n").ok_or(Unreadable::Form)?;
    let head = part.get(..end).unwrap_or_default();
    let value = part.get(end + 4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| Unreadable::Form)?;
    let mut named = None;
    for line in head.split("\r\n") {
        let (name, content) = line.split_once(':').ok_or(Unreadable::Form)?;
        // A line that goes on, a bare CR or LF: two readings.
        if name.trim() != name || line.contains(['\r', '\n', '\0']) {
            return Err(Unreadable::Form);
        }
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if named.is_none() => named = Some(disposition(content)?),
            "content-type" => {
                // Servers read parts in a part, and fields in a part that is JSON.
                let label = content.trim().to_ascii_lowercase();
                let essence = label.split(';').next().unwrap_or_default().trim_end();
                if essence.starts_with("multipart/") || essence.ends_with("json") {
                    return Err(Unreadable::Form);
                }
            }
            // An encoded value could not be told from what it stands for.
            "content-transfer-encoding"
                if ["7bit", "8bit", "binary"]
                    .contains(&content.trim().to_ascii_lowercase().as_str()) => {}
            "content-length" => {}
            _ => return Err(Unreadable::Form),
        }
    }
    let (name, is_file) = named.ok_or(Unreadable::Form)?;
    let path = path_of(&name)?;
    let text = match std::str::from_utf8(value) {
        _ if is_file => None,
        Ok(text) => Some(text.to_owned()),
        Err(_) => return Err(Unreadable::Form),
    };
    Ok(Field { name, path, text, span })
}

/// Name, and whether it is a file, of a `Content-Disposition`.
fn disposition(content: &str) -> Result<(String, bool), Unreadable> {
    let rest = content.trim_start().strip_prefix("form-data").ok_or(Unreadable::Form)?;
    let mut rest = rest.trim_start();
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        let parameter = rest.strip_prefix(';').ok_or(Unreadable::Form)?.trim_start();
        let (key, behind) = parameter.split_once('=').ok_or(Unreadable::Form)?;
        let inner = behind.strip_prefix('"').ok_or(Unreadable::Form)?;
        let (value, behind) = inner.split_once('"').ok_or(Unreadable::Form)?;
        // An escaped quote ends the value for some; browsers write `%22`.
        if value.contains('\\') {
            return Err(Unreadable::Form);
        }
        match key {
            "name" if name.is_none() && !value.contains('%') => name = Some(value.to_owned()),
            "filename" if !is_file => is_file = true,
            _ => return Err(Unreadable::Form),
        }
        rest = behind.trim_start();
    }
    Ok((name.ok_or(Unreadable::Form)?, is_file))
}

/// A part for a text value, with the boundary line before it.
pub(super) fn part(boundary: &str, name: &str, value: &str) -> Result<String, Unreadable> {
    if name.contains(['"', '\\', '\r', '\n', '%']) || value.contains(&format!("--{boundary}")) {
        return Err(Unreadable::Form);
    }
    Ok(format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"status\"\r\n\r\nnew\r\n--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\u{1}\r\n\r\n--y\r\n--x--\r\n";

    #[test]
    fn parts_are_fields() {
        let fields = parts(BODY.as_bytes(), "x").unwrap();
        let seen: Vec<_> =
            fields.iter().map(|field| (field.name.as_str(), field.text.as_deref())).collect();
        assert_eq!(seen, [("status", Some("new")), ("photo", None)]);
        let (start, end) = fields[0].span;
        let without = [&BODY.as_bytes()[..start], &BODY.as_bytes()[end..]].concat();
        let fields = parts(&without, "x").unwrap();
        assert_eq!(fields.len(), 1);
        assert_eq!(
            part("x", "a", "b").unwrap().as_str(),
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n"
        );
    }

    #[test]
    fn whatever_servers_could_read_otherwise_is_refused() {
        let one = |head: &str| format!("--x\r\n{head}\r\n\r\nv\r\n--x--\r\n");
        let good = "Content-Disposition: form-data; name=\"a\"";
        assert!(parts(one(good).as_bytes(), "x").is_ok());
        assert!(parts(b"--x--\r\n", "x").unwrap().is_empty());
        for bad in [
            one("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
            one("Content-Disposition: form-data; name=a"),
            one("Content-Disposition: form-data; name*=\"a\""),
            one("Content-Disposition: form-data; name=\"a\\\"b\""),
            one("Content-Disposition: attachment; name=\"a\""),
            one("Content-Disposition: form-data; filename=\"a\""),
            one(&format!("{good}\r\n{good}")),
            one(&format!("{good}\r\nContent-Transfer-Encoding: base64")),
            one(&format!("{good}\r\nContent-Type: multipart/mixed; boundary=y")),
            one(&format!("{good}\r\nContent-Type: application/json")),
            one(&format!("{good}\r\nContent-Type: Application/JSON; charset=utf-8")),
            one(&format!("{good}\r\nContent-Type: application/merge-patch+json")),
            one(&format!("{good}; filename=\"blob\"\r\nContent-Type: application/json")),
            one(&format!("{good}\r\n folded")),
            one(&format!("{good}\nX: y")),
            one("X-Name: a"),
            format!("preamble\r\n{}", one(good)),
            format!("{}epilogue", one(good)),
            one(good).replace("\r\n", "\n"),
            one(good).replace("--x--\r\n", ""),
            one(good).replace("--x--", "--x --"),
        ] {
            assert_eq!(parts(bad.as_bytes(), "x"), Err(Unreadable::Form), "{bad}");
        }
    }
}
