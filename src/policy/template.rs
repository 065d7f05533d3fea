//! Path templates of policies, `/api/v1/leads/{id}/`, and what one template says of another.
//!
//! Pure. Literal text is in the canonical form of request paths, so the two can be compared. Refuses what no canonical
//! path could match.

use super::canonical::CanonicalPath;

/// A checked path template.
///
/// Invariant: at least one segment or the root; `{*rest}` only at the end; literals canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// One parameter, perhaps between fixed text: `leads({id})`.
    Parameter {
        name: String,
        prefix: String,
        suffix: String,
    },
    /// `{*rest}`: everything below, at least one segment.
    Rest,
}

/// Why a text is no path template, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateFault {
    pub(super) message: String,
    pub(super) help: String,
}

fn fault(message: impl Into<String>, help: impl Into<String>) -> TemplateFault {
    TemplateFault { message: message.into(), help: help.into() }
}

impl PathTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateFault> {
        if !text.starts_with('/') {
            let behind_host = text.split_once("://").map(|(_, rest)| rest.split_once('/'));
            let path = behind_host.map_or(text, |behind| behind.map_or("", |(_, path)| path));
            let help = format!("write `/{path}`; scheme and host do not belong here");
            return Err(fault("a path starts with `/`", help));
        }
        if text.contains(['?', '#']) {
            return Err(fault(
                "a path has no query and no fragment",
                "leave out everything from `?` or `#` on; routes match the path alone",
            ));
        }
        let mut segments = Vec::new();
        let mut canonical = String::new();
        for segment in text.split('/').skip(1) {
            let (segment, shown) = parse_segment(segment)?;
            canonical.push('/');
            canonical.push_str(&shown);
            segments.push(segment);
        }
        // The rules for whole paths (`//`, dots, length), with a letter in place of each parameter.
        let sample: Vec<String> = segments.iter().map(Segment::sample).collect();
        refuse_as_path(&format!("/{}", sample.join("/")))?;
        if segments.iter().rev().skip(1).any(|segment| *segment == Segment::Rest) {
            return Err(fault(
                "`{*rest}` takes everything below and stands at the end",
                "use `{name}` for one segment in the middle of a path",
            ));
        }
        // The slash at the end is the same route with or without it.
        segments.pop_if(|last| *last == Segment::Literal(String::new()));
        Ok(Self { text: canonical, segments })
    }

    /// The template as declared, literals in canonical form.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn takes_everything_below(&self) -> bool {
        self.segments.last() == Some(&Segment::Rest)
    }

    pub(super) fn has_parameters(&self) -> bool {
        self.segments.iter().any(|segment| !matches!(segment, Segment::Literal(_)))
    }

    /// Whether the last segment is a parameter, or holds one.
    pub(super) fn ends_in_parameter(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Parameter { .. }))
    }

    /// The template without what stands behind its last parameter.
    pub(super) fn up_to_last_parameter(&self) -> Option<Self> {
        let is_parameter = |segment: &Segment| matches!(segment, Segment::Parameter { .. });
        let last = self.segments.iter().rposition(is_parameter)?;
        let segments = self.segments.iter().take(last + 1).cloned().collect();
        let written: Vec<&str> = self.text.split('/').take(last + 2).collect();
        Some(Self { text: written.join("/"), segments })
    }

    /// The parameters and what stands in their places in `path`, as it is written there. `None`
    /// where the template does not match the path.
    pub(super) fn parameters<'a>(
        &'a self,
        path: &'a CanonicalPath,
    ) -> Option<Vec<(&'a str, &'a str)>> {
        let path = path.as_str().strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut found = Vec::new();
        let mut written = path.split('/');
        for segment in &self.segments {
            let written = written.next()?;
            match segment {
                Segment::Literal(text) if text == written => {}
                Segment::Literal(_) | Segment::Rest => return None,
                Segment::Parameter { name, prefix, suffix } => {
                    let value = written.strip_prefix(prefix.as_str())?;
                    found.push((name.as_str(), value.strip_suffix(suffix.as_str())?));
                }
            }
        }
        written.next().is_none().then_some(found)
    }

    /// The path with `value` in place of the one parameter, which stands at the end. `None` for any
    /// other template.
    pub(super) fn with_value(&self, value: &str) -> Option<String> {
        let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
        let (last, before) = self.segments.split_last()?;
        if !before.iter().all(is_literal) {
            return None;
        }
        let Segment::Parameter { prefix, suffix, .. } = last else { return None };
        let mut path = String::new();
        for segment in before {
            if let Segment::Literal(text) = segment {
                path.push('/');
                path.push_str(text);
            }
        }
        let slash = if self.text.ends_with('/') { "/" } else { "" };
        Some(format!("{path}/{prefix}{value}{suffix}{slash}"))
    }

    /// The last segment, where it is fixed text.
    pub(super) fn file_name(&self) -> Option<&str> {
        match self.segments.last()? {
            Segment::Literal(name) => Some(name),
            Segment::Parameter { .. } | Segment::Rest => None,
        }
    }

    /// What decides which requests match: the template without parameter names and without the
    /// slash at its end, in the syntax of `matchit`.
    pub(super) fn shape(&self) -> String {
        if self.segments.is_empty() {
            return "/".to_owned();
        }
        let mut shape = String::new();
        for segment in &self.segments {
            shape.push('/');
            match segment {
                Segment::Literal(text) => shape.push_str(text),
                Segment::Parameter { prefix, suffix, .. } => {
                    shape.push_str(prefix);
                    shape.push_str("{p}");
                    shape.push_str(suffix);
                }
                Segment::Rest => shape.push_str("{*p}"),
            }
        }
        shape
    }

    /// The template as a server may read it that cares less about spelling; see [`fold`].
    pub(super) fn folded(&self) -> Self {
        let segments = self.segments.iter().map(Segment::folded).collect();
        Self { text: self.text.clone(), segments }
    }

    /// Whether every path that `other` matches is matched by this template as well.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for ours in &self.segments {
            let covered = match (ours, theirs.next()) {
                (Segment::Rest, Some(_)) => return true,
                (Segment::Literal(ours), Some(Segment::Literal(theirs))) => ours == theirs,
                (Segment::Parameter { prefix, suffix, .. }, Some(Segment::Literal(theirs))) => {
                    theirs.len() > prefix.len() + suffix.len()
                        && theirs.starts_with(prefix.as_str())
                        && theirs.ends_with(suffix.as_str())
                }
                (
                    Segment::Parameter { prefix, suffix, .. },
                    Some(Segment::Parameter { prefix: their_prefix, suffix: their_suffix, .. }),
                ) => {
                    their_prefix.starts_with(prefix.as_str())
                        && their_suffix.ends_with(suffix.as_str())
                }
                (Segment::Literal(_), Some(Segment::Parameter { .. } | Segment::Rest))
                | (Segment::Parameter { .. }, Some(Segment::Rest))
                | (_, None) => false,
            };
            if !covered {
                return false;
            }
        }
        theirs.next().is_none()
    }
}

impl Segment {
    fn sample(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Parameter { prefix, suffix, .. } => format!("{prefix}p{suffix}"),
            Self::Rest => "p".to_owned(),
        }
    }

    fn folded(&self) -> Self {
        match self {
            Self::Literal(text) => Self::Literal(fold_segment(text)),
            Self::Parameter { name, prefix, suffix } => Self::Parameter {
                name: name.clone(),
                prefix: decode_lower(prefix),
                suffix: fold_segment(suffix),
            },
            Self::Rest => Self::Rest,
        }
    }
}

/// A path as a server may read it that ignores case, decodes more than it should, and drops dots
/// and spaces at the end of a segment. Without the slash at the end.
pub(super) fn fold(path: &CanonicalPath) -> String {
    let path = path.as_str().trim_end_matches('/');
    path.split('/').map(fold_segment).collect::<Vec<_>>().join("/")
}

/// The folded path without the extension of its last segment: frameworks serve `/leads.json` as
/// `/leads`.
pub(super) fn without_extension(folded: &str) -> Option<&str> {
    let (stem, extension) = folded.rsplit_once('.')?;
    (!stem.ends_with('/') && !extension.contains('/')).then_some(stem)
}

fn fold_segment(segment: &str) -> String {
    decode_lower(segment).trim_end_matches(['.', ' ']).to_owned()
}

fn decode_lower(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    // Braces would be parameters to the router; a letter that no path holds raw keeps them apart.
    decoded.to_lowercase().replace(['{', '}'], "\u{0}")
}

/// One segment, and how the canonical template shows it.
fn parse_segment(segment: &str) -> Result<(Segment, String), TemplateFault> {
    let Some((prefix, behind)) = segment.split_once('{') else {
        if segment.contains('}') {
            return Err(unbalanced());
        }
        let text = canonical_literal(segment)?;
        return Ok((Segment::Literal(text.clone()), text));
    };
    let (name, suffix) = behind.split_once('}').ok_or_else(unbalanced)?;
    if suffix.contains('{') {
        return Err(fault(
            "a segment holds one parameter at most",
            "take the whole segment as one parameter: `/{name}/`",
        ));
    }
    if prefix.contains('}') || suffix.contains('}') || name.contains('{') {
        return Err(unbalanced());
    }
    let (is_rest, name) = match name.strip_prefix('*') {
        Some(name) => (true, name),
        None => (false, name),
    };
    if !is_parameter_name(name) {
        return Err(fault(
            format!("`{{{name}}}` is no parameter"),
            "a parameter is a name of letters, digits and `_` in braces: `{id}`, or `{*rest}` for everything below",
        ));
    }
    let (prefix, suffix) = (canonical_literal(prefix)?, canonical_literal(suffix)?);
    if !is_rest {
        let shown = format!("{prefix}{{{name}}}{suffix}");
        return Ok((Segment::Parameter { name: name.to_owned(), prefix, suffix }, shown));
    }
    if prefix.is_empty() && suffix.is_empty() {
        return Ok((Segment::Rest, format!("{{*{name}}}")));
    }
    Err(fault("`{*rest}` is a segment of its own", "write `/{*rest}` behind a slash"))
}

fn unbalanced() -> TemplateFault {
    fault("the braces of a parameter do not match", "a parameter looks like `{id}`")
}

fn is_parameter_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Fixed text between slashes and parameters, in the form of request paths. Dots are judged with
/// the whole path: the text before a parameter may be `.`.
fn canonical_literal(text: &str) -> Result<String, TemplateFault> {
    // The letter keeps a text of dots from being taken for a dot segment.
    let path = refuse_as_path(&format!("/p{text}"))?;
    Ok(path.as_str().trim_start_matches('/').chars().skip(1).collect())
}

fn refuse_as_path(path: &str) -> Result<CanonicalPath, TemplateFault> {
    CanonicalPath::parse(path).map_err(|refusal| {
        fault(
            refusal.to_string(),
            "such requests are refused, so no route can stand for them; write the plain path, other characters percent-encoded as UTF-8",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<(&str, &str), &str>) {
        let template = PathTemplate::parse(text);
        let seen = template
            .as_ref()
            .map(|template| (template.as_str().to_owned(), template.shape()))
            .map_err(|fault| fault.message.clone());
        let expect = expect
            .map(|(text, shape)| (text.to_owned(), shape.to_owned()))
            .map_err(ToOwned::to_owned);
        assert_eq!(seen, expect, "{text}");
    }

    #[test]
    fn templates() {
        check("/", Ok(("/", "/")));
        check("/api/v1/leads/", Ok(("/api/v1/leads/", "/api/v1/leads")));
        check("/api/v1/leads/{id}/", Ok(("/api/v1/leads/{id}/", "/api/v1/leads/{p}")));
        check("/leads({id})", Ok(("/leads({id})", "/leads({p})")));
        check("/static/{*rest}", Ok(("/static/{*rest}", "/static/{*p}")));
        check("/%7eme/%c3%a9", Ok(("/~me/%C3%A9", "/~me/%C3%A9")));
        check("/.{ext}", Ok(("/.{ext}", "/.{p}")));
    }

    #[test]
    fn faults() {
        check("", Err("a path starts with `/`"));
        check("api/v1", Err("a path starts with `/`"));
        check("https://crm/api", Err("a path starts with `/`"));
        check("/a?b=1", Err("a path has no query and no fragment"));
        check("/a//b", Err("the path holds an empty segment (`//`)"));
        check("/a/../b", Err("the path holds a segment of dots"));
        check("/a/%2e/b", Err("the path holds a segment of dots"));
        check("/a/{id", Err("the braces of a parameter do not match"));
        check("/a/id}", Err("the braces of a parameter do not match"));
        check("/a/{}", Err("`{}` is no parameter"));
        check("/a/{1}", Err("`{1}` is no parameter"));
        check("/a/{x}{y}", Err("a segment holds one parameter at most"));
        check("/a/{*rest}/b", Err("`{*rest}` takes everything below and stands at the end"));
        check("/a/{*rest}/", Err("`{*rest}` takes everything below and stands at the end"));
        check("/a/x{*rest}", Err("`{*rest}` is a segment of its own"));
        check("/a b", Err("the path holds a character that must be percent-encoded"));
        check("/a%2fb", Err("the path holds an encoded slash"));
        check("/caf\u{e9}", Err("the path holds bytes outside ASCII that are not percent-encoded"));
    }

    #[track_caller]
    fn check_parameters(template: &str, path: &str, expect: Option<&[(&str, &str)]>) {
        let template = PathTemplate::parse(template).unwrap();
        let path = CanonicalPath::parse(path).unwrap();
        assert_eq!(template.parameters(&path).as_deref(), expect);
    }

    #[test]
    fn parameters() {
        check_parameters("/leads/{id}/", "/leads/7", Some(&[("id", "7")]));
        check_parameters("/leads/{id}", "/leads/7/", Some(&[("id", "7")]));
        check_parameters("/leads/{id}/", "/deals/7/", None);
        check_parameters("/leads/{id}/", "/leads/7/notes/", None);
        check_parameters("/leads/{id}/notes/", "/leads/7/", None);
        check_parameters("/leads({id})/x", "/leads(a%20b)/x", Some(&[("id", "a%20b")]));
        check_parameters("/a/{x}/b/{y}.json", "/a/1/b/2.json", Some(&[("x", "1"), ("y", "2")]));
        check_parameters("/leads/", "/leads/", Some(&[]));
        check_parameters("/", "/leads/", None);
        let up_to = PathTemplate::parse("/a/{x}/b/{y}/c/d/").unwrap().up_to_last_parameter();
        let up_to = up_to.unwrap();
        assert_eq!((up_to.as_str(), &*up_to.shape()), ("/a/{x}/b/{y}", "/a/{p}/b/{p}"));
        assert_eq!(PathTemplate::parse("/a/b/").unwrap().up_to_last_parameter(), None);
    }

    #[track_caller]
    fn check_covers(wide: &str, narrow: &str, expect: bool) {
        let (wide, narrow) =
            (PathTemplate::parse(wide).unwrap(), PathTemplate::parse(narrow).unwrap());
        assert_eq!(wide.covers(&narrow), expect);
    }

    #[test]
    fn covering() {
        check_covers("/{*rest}", "/api/leads/{id}/", true);
        check_covers("/{*rest}", "/", false);
        check_covers("/api/{*rest}", "/api/", false);
        check_covers("/api/{x}/", "/api/leads", true);
        check_covers("/api/{x}", "/api/{y}/", true);
        check_covers("/api/leads/", "/api/{x}/", false);
        check_covers("/api/{x}", "/api/{*rest}", false);
        check_covers("/a{x}", "/ab{y}c", true);
        check_covers("/a{x}c", "/ab{y}", false);
        check_covers("/a{x}c", "/ac", false);
        check_covers("/a/b", "/a/b/c", false);
    }

    #[track_caller]
    fn check_fold(path: &str, expect: &str, stem: Option<&str>) {
        let folded = fold(&CanonicalPath::parse(path).unwrap());
        assert_eq!(folded, expect);
        assert_eq!(without_extension(&folded), stem);
    }

    #[test]
    fn folding() {
        check_fold("/API/v1/Leads/", "/api/v1/leads", None);
        check_fold("/api/leads./", "/api/leads", None);
        check_fold("/api/leads%20/1", "/api/leads/1", None);
        check_fold("/leads%281%29", "/leads(1)", None);
        check_fold("/api/leads.json", "/api/leads.json", Some("/api/leads"));
        check_fold("/v1.0/leads", "/v1.0/leads", None);
        check_fold("/", "", None);
    }
}
