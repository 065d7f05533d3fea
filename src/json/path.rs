//! Field paths: dotted names or RFC 9535 JSONPath, relative to a record.

use std::fmt;

use jsonpath_rust::parser::model::{JpQuery, Segment as JpSegment, Selector as JpSelector};

/// A path from a record to the values it means. Parsed once, when policies load.
///
/// Two spellings are accepted. A dotted path (`owner.email`) names members and walks through
/// arrays on its way, as people expect of "the e-mail of the owners". A JSONPath (`$..email`,
/// `$.tags[0]`) means exactly what RFC 9535 says.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPath {
    text: String,
    segments: Vec<Segment>,
    through_arrays: bool,
    query: Option<JpQuery>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// `..`: the step may start at any depth below the current value.
    pub descendant: bool,
    /// The children that the step goes to; a value matched by any of them is matched.
    pub selectors: Vec<Selector>,
}

/// The children that one step selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The member of this name.
    Name(String),
    /// Every member or element.
    Wildcard,
    /// The element at this index from the start.
    Index(u64),
    /// Elements `start`, `start + step`, ... before `end`.
    Slice {
        /// First index.
        start: u64,
        /// Index to stop before; `None` is the end of the array.
        end: Option<u64>,
        /// Distance, at least one.
        step: u64,
    },
    /// What cannot be decided while the value streams by: filters, and indices from the end.
    /// The whole record is held for it.
    Held,
}

/// Why a text is not a field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there, or an empty name between two dots.
    #[error("a path name is empty")]
    EmptyName,
    /// Characters that only a JSONPath may use, in a path that does not start with `$`.
    #[error("`{0}` cannot stand in a dotted path")]
    NotDotted(char),
    /// Not RFC 9535.
    #[error("this is not a JSONPath as RFC 9535 defines it")]
    NotJsonPath,
    /// `[::0]`.
    #[error("a slice with a step of zero selects nothing")]
    ZeroStep,
}

impl FieldPath {
    /// Reads a dotted path or a JSONPath (which starts with `$`).
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.starts_with('$') { Self::parse_jsonpath(text) } else { Self::parse_dotted(text) }
    }

    /// Reads a dotted path that walks objects only: a list on its way ends it. This is how
    /// conditions and events name one value of a record.
    ///
    /// # Errors
    /// Says what is wrong with the text; a JSONPath is no dotted path.
    pub fn parse_members(text: &str) -> Result<Self, PathError> {
        Ok(Self { through_arrays: false, ..Self::parse_dotted(text)? })
    }

    fn parse_dotted(text: &str) -> Result<Self, PathError> {
        let mut segments = Vec::new();
        for name in text.split('.') {
            if name.is_empty() {
                return Err(PathError::EmptyName);
            }
            if let Some(found) = name.chars().find(|found| "[]*?$@'\"()".contains(*found)) {
                return Err(PathError::NotDotted(found));
            }
            segments
                .push(Segment { descendant: false, selectors: vec![Selector::Name(name.into())] });
        }
        Ok(Self { text: text.to_owned(), segments, through_arrays: true, query: None })
    }

    fn parse_jsonpath(text: &str) -> Result<Self, PathError> {
        let query =
            jsonpath_rust::parser::parse_json_path(text).map_err(|_| PathError::NotJsonPath)?;
        let segments = query.segments.iter().map(segment).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: text.to_owned(), segments, through_arrays: false, query: Some(query) })
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether arrays between the steps are walked through (dotted paths).
    #[must_use]
    pub fn through_arrays(&self) -> bool {
        self.through_arrays
    }

    /// Whether the path finds its field at any depth (`$..name`).
    #[must_use]
    pub fn is_recursive(&self) -> bool {
        self.segments.first().is_some_and(|segment| segment.descendant)
    }

    /// Whether the path means one value at most: names and indices alone, and no list walked
    /// through.
    #[must_use]
    pub fn means_one_value(&self) -> bool {
        !self.through_arrays
            && self.segments.iter().all(|segment| {
                let one = matches!(
                    segment.selectors.as_slice(),
                    [Selector::Name(_) | Selector::Index(_)]
                );
                one && !segment.descendant
            })
    }

    /// Whether a record must be held whole before this path can be decided.
    #[must_use]
    pub fn needs_whole_record(&self) -> bool {
        self.segments.iter().any(|segment| segment.selectors.contains(&Selector::Held))
    }

    /// The name that the last step looks for, if it looks for one name only.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        match self.segments.last()?.selectors.as_slice() {
            [Selector::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The JSONPath as parsed, to evaluate over a held record.
    pub(crate) fn query(&self) -> Option<&JpQuery> {
        self.query.as_ref()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn segment(parsed: &JpSegment) -> Result<Segment, PathError> {
    Ok(match parsed {
        JpSegment::Descendant(inner) => Segment { descendant: true, ..segment(inner)? },
        JpSegment::Selector(one) => Segment { descendant: false, selectors: vec![selector(one)?] },
        JpSegment::Selectors(many) => Segment {
            descendant: false,
            selectors: many.iter().map(selector).collect::<Result<_, _>>()?,
        },
    })
}

fn selector(parsed: &JpSelector) -> Result<Selector, PathError> {
    Ok(match parsed {
        JpSelector::Name(name) => Selector::Name(name.clone()),
        JpSelector::Wildcard => Selector::Wildcard,
        JpSelector::Index(index) => u64::try_from(*index).map_or(Selector::Held, Selector::Index),
        JpSelector::Slice(_, _, Some(0)) => return Err(PathError::ZeroStep),
        JpSelector::Slice(start, end, step) => {
            let start = u64::try_from(start.unwrap_or(0));
            let end = end.map(u64::try_from).transpose();
            let step = u64::try_from(step.unwrap_or(1));
            match (start, end, step) {
                (Ok(start), Ok(end), Ok(step)) => Selector::Slice { start, end, step },
                _ => Selector::Held,
            }
        }
        JpSelector::Filter(_) => Selector::Held,
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, PathError>) {
        let shape = FieldPath::parse(text).map(|path| {
            let mut shape = String::new();
            for segment in path.segments() {
                shape.push_str(if segment.descendant { ".." } else { "/" });
                for selector in &segment.selectors {
                    match selector {
                        Selector::Name(name) => shape.push_str(name),
                        Selector::Wildcard => shape.push('*'),
                        Selector::Index(index) => shape.push_str(&index.to_string()),
                        Selector::Slice { start, end, step } => {
                            write!(shape, "{start}:{end:?}:{step}").unwrap();
                        }
                        Selector::Held => shape.push('?'),
                    }
                    shape.push(' ');
                }
            }
            shape
        });
        assert_eq!(shape, expect.map(str::to_owned));
    }

    #[test]
    fn dotted_paths() {
        check("email", Ok("/email "));
        check("owner.email", Ok("/owner /email "));
        check("", Err(PathError::EmptyName));
        check("owner..email", Err(PathError::EmptyName));
        check("owner[0]", Err(PathError::NotDotted('[')));
    }

    #[test]
    fn paths_that_mean_one_value() {
        let one = |text| FieldPath::parse(text).unwrap().means_one_value();
        assert!(["$", "$.a.b", "$['a'][0]"].map(one) == [true; 3]);
        assert!(["a", "$..a", "$[*]", "$.a[0:2]", "$['a','b']", "$[-1]"].map(one) == [false; 6]);
    }

    #[test]
    fn paths_of_members_end_at_lists() {
        let path = FieldPath::parse_members("owner.email").unwrap();
        assert_eq!((path.as_str(), path.through_arrays()), ("owner.email", false));
        let refused = FieldPath::parse_members("$.owner");
        assert_eq!(refused, Err(PathError::NotDotted('$')));
    }

    #[test]
    fn json_paths() {
        check("$", Ok(""));
        check("$..email", Ok("..email "));
        check("$.results[*]", Ok("/results /* "));
        check("$['a','b'][1:5:2]", Ok("/a b /1:Some(5):2 "));
        check("$[-1]", Ok("/? "));
        check("$[?@.owner==$.me].phone", Ok("/? /phone "));
        check("$[::0]", Err(PathError::ZeroStep));
        check("$.", Err(PathError::NotJsonPath));
    }
}
