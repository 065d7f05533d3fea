//! How questions spell fields and parameters.

use super::{Asked, Path, Reading};

/// The name of a parameter as the most careless server compares it.
pub(super) fn parameter(name: &str) -> String {
    name.trim_matches(|found: char| "$ []".contains(found))
        .chars()
        .filter(|found| found.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a text can be the name of a member.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|found| found.is_alphanumeric() || "_-".contains(found))
        && !text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

/// A path in names with something between them; `None` where it is something else.
pub(super) fn path(text: &str, separators: &[&str]) -> Option<Path> {
    let mut parts = vec![text.trim()];
    for separator in separators {
        parts = parts.into_iter().flat_map(|part| part.split(separator)).collect();
    }
    let is_path = parts.iter().all(|part| is_name(part));
    is_path.then(|| parts.into_iter().map(ToOwned::to_owned).collect())
}

/// A field in whatever spelling a dialect has for it.
pub(super) fn compared(text: &str, separators: &[&str]) -> Asked {
    path(text, separators).map_or(Asked::Unread, Asked::Compared)
}

/// The fields of a list `a,-b,c desc` by which something is sorted or grouped.
pub(super) fn sort_keys(value: &str) -> Vec<Asked> {
    let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty());
    keys.map(|key| {
        // A `+` before a key has been read as a space.
        let key = key.trim_start_matches(['-', '+', '!']).trim();
        let (name, direction) = key.split_once([' ', ':', '|']).unwrap_or((key, ""));
        let is_direction = |word: &str| {
            ["", "asc", "desc", "ascending", "descending", "nulls", "first", "last"]
                .contains(&word.to_ascii_lowercase().as_str())
        };
        if direction.split([' ', ':', '|']).all(is_direction) {
            compared(name, &["__", ".", "/"])
        } else {
            Asked::Unread
        }
    })
    .collect()
}

/// [`sort_keys`] of the pair at a place.
pub(super) fn ordering(at: usize, value: &str, found: &mut Reading) {
    found.extend(sort_keys(value).into_iter().map(|asked| (at, asked)));
    if value.trim().is_empty() {
        found.push((at, Asked::Harmless));
    }
}

/// The fields of a list that are to be in the answer. `*` stands for all of them.
pub(super) fn shown(value: &str, separators: &[&str]) -> Vec<Asked> {
    let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty());
    keys.map(|key| {
        let key = key.trim_start_matches('-');
        let without_stars: Vec<&str> = key.split('.').filter(|part| *part != "*").collect();
        if without_stars.is_empty() {
            return Asked::Harmless;
        }
        path(&without_stars.join("."), separators).map_or(Asked::Unread, Asked::Shown)
    })
    .collect()
}

/// The parts of `a[b][c]`; `None` where brackets do not match.
pub(super) fn brackets(name: &str) -> Option<Vec<String>> {
    let (head, mut rest) = match name.find('[') {
        Some(at) => name.split_at_checked(at)?,
        None => (name, ""),
    };
    let mut parts = vec![head.to_owned()];
    while !rest.is_empty() {
        let (key, behind) = rest.strip_prefix('[')?.split_once(']')?;
        if key.contains('[') {
            return None;
        }
        parts.push(key.to_owned());
        rest = behind;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_to_sort_by() {
        let keys = |text: &str| {
            let keys = sort_keys(text).into_iter().map(|asked| match asked {
                Asked::Compared(path) => path.join("/"),
                other => format!("{other:?}"),
            });
            keys.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys("a,-b, +c,d desc,e:asc"), "a b c d e");
        assert_eq!(keys("owner__email,owner.name"), "owner/email owner/name");
        assert_eq!(keys("lower(a)"), "Unread");
        assert_eq!(keys("a; drop"), "Unread");
        assert_eq!(keys("%61"), "Unread");
        assert_eq!(keys("a nulls last"), "a");
        assert_eq!(keys(""), "");
    }

    #[test]
    fn bracketed_names() {
        assert_eq!(brackets("a"), Some(vec!["a".into()]));
        assert_eq!(brackets("a[b][]"), Some(vec!["a".into(), "b".into(), String::new()]));
        for broken in ["a[b", "a[b]c", "a[[b]]"] {
            assert_eq!(brackets(broken), None);
        }
    }

    #[test]
    fn parameters_are_compared_carelessly() {
        for name in ["order_by", "OrderBy", "$orderby", "order-by[]", " orderby"] {
            assert_eq!(parameter(name), "orderby", "{name}");
        }
    }
}
