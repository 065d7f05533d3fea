//! Patterns for request paths in the configuration, such as `/t/{tenant}/...`.
//!
//! Pure. Literal text is compared decoded and without regard to case, and a slash at the end makes
//! no difference: a pattern here only takes away, so it matches whatever a CRM might take for it.

use percent_encoding::percent_decode_str;

use super::units::Remedy;

/// A checked pattern.
///
/// Invariant: `...` only at the end; literals decoded and in lowercase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    takes_rest: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

impl PathPattern {
    /// Reads a pattern: `{name}` is one segment, `...` at the end is everything below.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, Remedy> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(Remedy::Borrowed("a path starts with `/`"));
        };
        if path.contains(['?', '#', '\\']) {
            return Err(Remedy::Borrowed("leave out query and fragment; paths match alone"));
        }
        let (path, takes_rest) = match path.strip_suffix("...") {
            Some(path) if path.is_empty() || path.ends_with('/') => (path, true),
            Some(_) => return Err(Remedy::Borrowed("`...` stands alone behind the last `/`")),
            None => (path, false),
        };
        let mut segments = Vec::new();
        for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
            if segment.is_empty() && path.is_empty() {
                break;
            }
            segments.push(Segment::parse(segment)?);
        }
        Ok(Self { segments, takes_rest })
    }

    /// Whether `{name}` stands in it exactly once.
    #[must_use]
    pub fn names_once(&self, name: &str) -> bool {
        let named = |segment: &&Segment| matches!(segment, Segment::Parameter(one) if one == name);
        self.segments.iter().filter(named).count() == 1
    }

    /// Whether a canonical request path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_, _| {})
    }

    /// The decoded segment at `{name}`, if the path matches.
    #[must_use]
    pub fn find(&self, name: &str, path: &str) -> Option<String> {
        let mut found = None;
        let matches = self.walk(path, |parameter, value| {
            if parameter == name {
                found = Some(decoded(value));
            }
        });
        found.filter(|_| matches)
    }

    fn walk<'p>(&self, path: &'p str, mut take: impl FnMut(&str, &'p str)) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut theirs = path.split('/').filter(|_| !path.is_empty());
        for ours in &self.segments {
            let Some(their) = theirs.next() else { return false };
            match ours {
                Segment::Literal(text) if *text == decoded(their).to_lowercase() => {}
                Segment::Literal(_) => return false,
                Segment::Parameter(name) => take(name, their),
            }
        }
        self.takes_rest || theirs.next().is_none()
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, Remedy> {
        if text.is_empty() {
            return Err(Remedy::Borrowed("two slashes stand side by side"));
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            return if is_name {
                Ok(Self::Parameter(name.to_owned()))
            } else {
                Err(Remedy::Borrowed("a parameter is a name in braces, as in `{tenant}`"))
            };
        }
        if text.contains(['{', '}', '*']) || text == "." || text == ".." || text.contains("...") {
            return Err(Remedy::Borrowed(
                "a segment is fixed text, or one parameter such as `{tenant}`; `...` ends a path",
            ));
        }
        Ok(Self::Literal(decoded(text).to_lowercase()))
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, tenant: Option<&str>) {
        let pattern = PathPattern::parse(pattern).unwrap();
        assert_eq!(pattern.find("tenant", path).as_deref(), tenant, "{path}");
    }

    #[test]
    fn where_a_path_names_a_tenant() {
        check("/t/{tenant}/...", "/t/acme/leads/1/", Some("acme"));
        check("/t/{tenant}/...", "/t/acme", Some("acme"));
        check("/t/{tenant}/...", "/T/acme/", Some("acme"));
        check("/t/{tenant}/...", "/%74/ac%20me/x", Some("ac me"));
        check("/t/{tenant}/...", "/t/", None);
        check("/t/{tenant}/...", "/u/acme/leads", None);
        check("/t/{tenant}", "/t/acme/leads", None);
        check("/{tenant}/api/...", "/acme/api/leads", Some("acme"));
        check("/t/{other}/{tenant}/", "/t/a/b", Some("b"));
    }

    #[test]
    fn whole_paths() {
        let matches = |pattern: &str, path| PathPattern::parse(pattern).unwrap().matches(path);
        assert!(matches("/logout/", "/logout"));
        assert!(matches("/logout", "/LOGOUT/"));
        assert!(!matches("/logout", "/logout/now"));
        assert!(matches("/...", "/anything/at/all"));
        assert!(matches("/", "/"));
        assert!(!matches("/", "/a"));
        assert!(matches("/users/{id}/password/", "/users/7/password/"));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in [
            "",
            "t/{tenant}",
            "/t//x",
            "/t/{}",
            "/t/{a b}",
            "/t/x{tenant}",
            "/t/...x",
            "/t...",
            "/t/.../x",
            "/a?b",
            "/a#b",
            "/../x",
            "/t/{*rest}",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }
}
