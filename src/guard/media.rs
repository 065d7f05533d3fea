//! What a request body is, by its label: the one closed list of forms that can be checked.

/// The form of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// JSON whose members are the record's members.
    Json,
    /// RFC 7396: JSON in which members that are missing stay as they are, at any depth.
    MergePatch,
    /// JSON:API: the fields are `data.attributes` and `data.relationships`.
    JsonApi,
    /// RFC 6902: a list of operations.
    JsonPatch,
    /// `application/x-www-form-urlencoded`.
    Pairs,
    /// `multipart/form-data` with this boundary.
    Multipart(String),
}

/// A form that nobody here can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is in a form that cannot be checked")]
pub struct Unsupported;

/// Longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

impl Form {
    /// The form that a `Content-Type` declares.
    ///
    /// # Errors
    /// No form that can be checked, or a label with two readings.
    pub fn of(label: &str) -> Result<Self, Unsupported> {
        let mut parts = label.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let parameters: Vec<(String, &str)> = parts
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=').ok_or(Unsupported)?;
                Ok((name.trim().to_ascii_lowercase(), value.trim()))
            })
            .collect::<Result<_, Unsupported>>()?;
        // The bytes are read as UTF-8; a server that is told otherwise would read other ones.
        let is_utf8 = parameters.iter().filter(|(name, _)| name == "charset").all(|(_, value)| {
            let value = value.trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii")
        });
        if !is_utf8 {
            return Err(Unsupported);
        }
        match essence.as_str() {
            "application/json-patch+json" => Ok(Self::JsonPatch),
            "application/merge-patch+json" => Ok(Self::MergePatch),
            "application/vnd.api+json" => Ok(Self::JsonApi),
            "application/x-www-form-urlencoded" => Ok(Self::Pairs),
            "multipart/form-data" => {
                let mut boundaries = parameters.iter().filter(|(name, _)| name == "boundary");
                let (Some((_, boundary)), None) = (boundaries.next(), boundaries.next()) else {
                    return Err(Unsupported);
                };
                boundary_of(boundary).map(Self::Multipart)
            }
            _ if is_json(&essence) => Ok(Self::Json),
            _ => Err(Unsupported),
        }
    }
}

fn is_json(essence: &str) -> bool {
    essence.strip_prefix("application/").is_some_and(|subtype| {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
        // A sequence of JSON texts, or a patch of another kind, has no members to look at.
        let is_patch = subtype.ends_with("-patch+json");
        subtype == "json"
            || (subtype.ends_with("+json") && !is_patch && subtype.bytes().all(is_token))
    })
}

fn boundary_of(text: &str) -> Result<String, Unsupported> {
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let boundary = quoted.unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let is_boundary = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(is_plain)
        && !boundary.ends_with(' ');
    if is_boundary { Ok(boundary.to_owned()) } else { Err(Unsupported) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, expect: impl Into<Option<Form>>) {
        assert_eq!(Form::of(label).ok(), expect.into(), "{label}");
    }

    #[test]
    fn labels() {
        check("application/json", Some(Form::Json));
        check("Application/JSON; charset=UTF-8", Some(Form::Json));
        check("application/vnd.acme.v2+json;v=1", Some(Form::Json));
        check("application/vnd.api+json", Some(Form::JsonApi));
        check("application/merge-patch+json", Some(Form::MergePatch));
        check("application/json-patch+json", Some(Form::JsonPatch));
        check("application/x-www-form-urlencoded", Some(Form::Pairs));
        check("multipart/form-data; boundary=\"a b\"", Some(Form::Multipart("a b".to_owned())));
        check("multipart/form-data; boundary=x", Some(Form::Multipart("x".to_owned())));
    }

    #[test]
    fn what_has_no_reading_or_two() {
        for label in [
            "",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-7",
            "application/x-www-form-urlencoded; charset=utf-7",
            "application/json-seq",
            "application/vnd.acme.json-patch+json",
            "application/x ,application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=\"a\\\"b\"",
            "multipart/mixed; boundary=a",
            "application/json; what",
        ] {
            check(label, None);
        }
    }
}
