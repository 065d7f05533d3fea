//! Directus: `filter={json}` and `filter[a][_eq]=`, `sort=`, `fields=`, `search=`, `aggregate[..]=`,
//! `groupBy=`, `alias[..]=`, `deep=`.

use super::names::{brackets, is_name, shown, sort_keys};
use super::pairs::Pair;
use super::{Asked, Path, flatten, searched};

/// Words of `aggregate` and of functions in names, such as `year(date)`.
const FUNCTIONS: [&str; 8] = ["year", "month", "week", "day", "weekday", "hour", "minute", "count"];

pub(super) fn read(pair: &Pair) -> Vec<Asked> {
    let Some(parts) = brackets(&pair.name) else { return vec![Asked::Unread] };
    let Some((head, below)) = parts.split_first() else { return vec![Asked::Unread] };
    let head = head.to_ascii_lowercase();
    let value = pair.value.trim();
    let takes_json = ["filter", "deep", "aggregate", "alias"].contains(&head.as_str());
    if takes_json && below.is_empty() {
        if value.is_empty() {
            return vec![Asked::Harmless];
        }
        // The same in JSON.
        let Ok(pairs) = flatten::json(value.as_bytes()) else { return vec![Asked::Unread] };
        return pairs
            .iter()
            .flat_map(|inner| match inner_name(&inner.name) {
                Some(below) => option(&head, &below, &inner.value),
                None => vec![Asked::Unread],
            })
            .collect();
    }
    match head.as_str() {
        "limit" | "offset" | "page" | "meta" | "export" | "version" | "backlink" => {
            vec![Asked::Harmless]
        }
        "query" if !below.is_empty() => option_of_query(below, value),
        _ if OPTIONS.contains(&head.as_str()) => option(&head, below, value),
        _ => super::plain::read(pair),
    }
}

const OPTIONS: [&str; 9] =
    ["filter", "sort", "fields", "search", "aggregate", "groupby", "alias", "deep", "group"];

/// The parts of a name of a flattened document, whose first part has no brackets.
fn inner_name(name: &str) -> Option<Vec<String>> {
    brackets(name).filter(|parts| parts.iter().all(|part| !part.is_empty()))
}

/// A search body holds its parameters below `query`.
fn option_of_query(below: &[String], value: &str) -> Vec<Asked> {
    match below.split_first() {
        Some((head, rest)) => {
            let head = head.to_ascii_lowercase();
            let is_harmless =
                ["limit", "offset", "page", "meta", "version"].contains(&head.as_str());
            if is_harmless { vec![Asked::Harmless] } else { option(&head, rest, value) }
        }
        None => vec![Asked::Unread],
    }
}

fn option(head: &str, below: &[String], value: &str) -> Vec<Asked> {
    match head {
        "filter" => filter(below, value, &Path::new()),
        "sort" | "groupby" | "group" => value.split(',').flat_map(sort_key).collect(),
        "fields" => value.split(',').flat_map(field).collect(),
        "search" => vec![searched(value)],
        // `aggregate[max]=ssn`, `alias[x]=ssn`: the value is the field.
        "aggregate" | "alias" => {
            if below.is_empty() {
                return vec![Asked::Unread];
            }
            value.split(',').filter(|name| *name != "*").flat_map(sort_key).collect()
        }
        "deep" => deep(below, value),
        _ => vec![Asked::Unread],
    }
}

/// A name, or a function of one.
fn name_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let Some((function, rest)) = text.split_once('(') else { return Some(text) };
    let inner = rest.strip_suffix(')')?;
    FUNCTIONS.contains(&function).then_some(inner)
}

fn path_of(text: &str) -> Option<Path> {
    let mut path = Path::new();
    for part in text.split('.') {
        let name = name_of(part)?;
        // `item:collection.field` of many-to-any relations.
        for piece in name.split(':') {
            is_name(piece).then(|| path.push(piece.to_owned()))?;
        }
    }
    Some(path)
}

fn sort_key(key: &str) -> Vec<Asked> {
    let key = key.trim().trim_start_matches(['-', '+']);
    if key.is_empty() {
        return vec![Asked::Harmless];
    }
    match path_of(key) {
        Some(path) => vec![Asked::Compared(path)],
        None if key.contains('(') => vec![Asked::Unread],
        None => sort_keys(key),
    }
}

/// A field to show; a function of one shows what it comes to.
fn field(text: &str) -> Vec<Asked> {
    if text.contains('(') {
        return sort_key(text);
    }
    shown(text, &[".", ":"])
}

/// `[owner][email][_eq]`, with `_and`, `_or`, `_some`, `_none` and indices between.
fn filter(below: &[String], value: &str, prefix: &Path) -> Vec<Asked> {
    let mut path = prefix.clone();
    for part in below {
        if part.starts_with('_') || part.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        match path_of(part) {
            Some(names) => path.extend(names),
            None => return vec![Asked::Unread],
        }
    }
    // `$FOLLOW` walks relations backwards; the other variables are values.
    if value.contains("$FOLLOW") || below.iter().any(|part| part.contains("$FOLLOW")) {
        return vec![Asked::Unread];
    }
    vec![if path.is_empty() { Asked::Harmless } else { Asked::Compared(path) }]
}

/// `deep[owner][_filter][email][_eq]=x`: options of a related list.
fn deep(below: &[String], value: &str) -> Vec<Asked> {
    let is_option = |part: &String| part.starts_with('_');
    let Some(at) = below.iter().position(is_option) else { return vec![Asked::Unread] };
    let (way, rest) = below.split_at_checked(at).unwrap_or_default();
    let Some((option_name, rest)) = rest.split_first() else { return vec![Asked::Unread] };
    let prefix: Path = way.to_vec();
    let prefixed = |asked: Vec<Asked>| {
        let add = |path: Path| prefix.iter().cloned().chain(path).collect();
        asked
            .into_iter()
            .map(|asked| match asked {
                Asked::Compared(path) => Asked::Compared(add(path)),
                Asked::Shown(path) => Asked::Shown(add(path)),
                other => other,
            })
            .collect()
    };
    match option_name.as_str() {
        "_filter" => filter(rest, value, &prefix),
        "_limit" | "_offset" | "_page" => vec![Asked::Harmless],
        "_sort" => prefixed(option("sort", rest, value)),
        "_group" | "_groupBy" => prefixed(option("groupby", rest, value)),
        "_aggregate" => prefixed(option("aggregate", rest, value)),
        "_fields" => prefixed(option("fields", rest, value)),
        // What is searched there is not declared here.
        _ => vec![Asked::Unread],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_body};
    use crate::policy::query::Dialect::Directus;

    #[test]
    fn options() {
        for fine in [
            "limit=5&page=2&meta=*",
            r#"filter={"status":{"_eq":"ssn"}}"#,
            r#"filter={"_and":[{"status":{"_in":["a"]}},{"owner":{"name":{"_eq":"x"}}}]}"#,
            "filter[status][_eq]=a&filter[_or][0][owner][name][_contains]=b",
            "sort=-created_at,owner.name&fields=*,owner.*,email",
            "aggregate[count]=*&groupBy[]=status&groupBy=year(created_at)",
            r#"deep={"owner":{"_limit":3,"_sort":"name"}}"#,
        ] {
            check(Directus, fine, true);
        }
        for asked in [
            r#"filter={"ssn":{"_eq":"9"}}"#,
            r#"filter={"\u0073sn":{"_eq":"9"}}"#,
            r#"filter={"_or":[{"status":{"_eq":"a"}},{"ssn":{"_starts_with":"9"}}]}"#,
            r#"filter={"owner":{"email":{"_eq":"x"}}}"#,
            r#"filter={"account":{"_some":{"vat_number":{"_eq":"x"}}}}"#,
            r#"filter={"count(ssn)":{"_eq":"x"}}"#,
            r#"filter={"status":{"_eq":"$FOLLOW(ssn)"}}"#,
            "filter={broken",
            "filter=[1]",
            "filter[ssn][_eq]=9",
            "filter[_or][1][ssn][_eq]=9",
            "filter[ssn]=9",
            "sort=ssn",
            "sort[]=-ssn",
            "sort=length(ssn)",
            "search=9",
            "fields=ssn",
            "fields[]=id&fields[]=ssn",
            "fields=count(ssn)",
            "aggregate[max]=ssn",
            r#"aggregate={"max":["ssn"]}"#,
            "groupBy=ssn",
            "groupBy[]=year(ssn)",
            "alias[x]=ssn",
            "deep[people][_filter][ssn][_eq]=9",
            r#"deep={"people":{"_filter":{"ssn":{"_eq":"9"}}}}"#,
            "deep[people][_sort]=ssn",
            "deep[people][_search]=9",
            "deep[people]=9",
        ] {
            check(Directus, asked, false);
        }
        check_body(Directus, r#"{"query":{"filter":{"status":{"_eq":"a"}},"limit":1}}"#, true);
        check_body(Directus, r#"{"query":{"filter":{"ssn":{"_eq":"a"}}}}"#, false);
        check_body(Directus, r#"{"query":{"sort":["ssn"]}}"#, false);
        check_body(Directus, r#"{"query":{"search":"9"}}"#, false);
    }
}
