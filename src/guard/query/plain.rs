//! `field=value`, and what APIs without a dialect of their own add to it: the names that half the
//! world uses for sorting, searching and choosing fields, and operators glued to names.

use super::names::{brackets, parameter, shown, sort_keys};
use super::pairs::Pair;
use super::{Asked, Path, searched};

/// Parameters whose values name fields to sort or group by.
const NAMING: [&str; 24] = [
    "ordering",
    "orderby",
    "order",
    "orderfield",
    "ordercolumn",
    "sort",
    "sortby",
    "sorts",
    "sortfield",
    "sortcolumn",
    "sortorder",
    "sortkey",
    "group",
    "groupby",
    "groups",
    "distinct",
    "aggregate",
    "facet",
    "facets",
    "facetby",
    "searchfield",
    "searchfields",
    "searchin",
    "having",
];

/// Parameters whose values name fields to be in the answer.
const SHOWING: [&str; 14] = [
    "fields",
    "field",
    "select",
    "columns",
    "column",
    "attributes",
    "properties",
    "props",
    "include",
    "includes",
    "expand",
    "embed",
    "with",
    "only",
];

/// Parameters that search in many fields.
const SEARCHING: [&str; 14] = [
    "q",
    "query",
    "s",
    "search",
    "searchtext",
    "searchterm",
    "term",
    "terms",
    "keyword",
    "keywords",
    "text",
    "textfilter",
    "fulltext",
    "quicksearch",
];

/// Parameters whose values are expressions of some language.
const EXPRESSING: [&str; 12] = [
    "filter",
    "filters",
    "where",
    "rsql",
    "fiql",
    "rql",
    "sql",
    "soql",
    "criteria",
    "conditions",
    "expression",
    "jql",
];

/// Parameters that ask for no field.
const HARMLESS: [&str; 16] = [
    "page",
    "pagesize",
    "perpage",
    "pagenumber",
    "limit",
    "offset",
    "skip",
    "top",
    "start",
    "count",
    "size",
    "cursor",
    "after",
    "before",
    "format",
    "maxresults",
];

/// Members of a search body whose text is the name of a field.
const NAMES_A_FIELD: [&str; 14] = [
    "field",
    "fieldname",
    "attribute",
    "attributename",
    "property",
    "propertyname",
    "column",
    "columnname",
    "key",
    "path",
    "member",
    "dimension",
    "measure",
    "target",
];

/// Members of a search body that hold others and are no field.
const FRAME: [&str; 22] = [
    "filter",
    "filters",
    "filtergroups",
    "where",
    "and",
    "or",
    "not",
    "conditions",
    "condition",
    "criteria",
    "rules",
    "must",
    "should",
    "mustnot",
    "bool",
    "sort",
    "sorts",
    "orderby",
    "order",
    "query",
    "values",
    "groups",
];

/// Members of a search body that say how, not what.
const MANNER: [&str; 16] = [
    "operator",
    "op",
    "comparator",
    "type",
    "value",
    "direction",
    "dir",
    "limit",
    "offset",
    "page",
    "highvalue",
    "logic",
    "conjunction",
    "combinator",
    "size",
    "asc",
];

pub(super) fn read(pair: &Pair) -> Vec<Asked> {
    let Some(parts) = brackets(&pair.name) else { return vec![Asked::Unread] };
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let Some((head, below)) = parts.split_first() else { return vec![Asked::Unread] };
    let head_name = parameter(head);
    let head_word = head_name.as_str();
    match below.split_last() {
        None => alone(head, head_word, pair),
        Some((last, between)) if is_search(head_word, last, between) => {
            let mut asked = named(below);
            asked.push(searched(&pair.value));
            asked
        }
        // How grids say that their search is no pattern.
        Some((&"regex", _)) if ["true", "false"].contains(&pair.value.as_str()) => {
            vec![Asked::Harmless]
        }
        Some((last, _)) if NAMES_A_FIELD.contains(&parameter(last).as_str()) => {
            sort_keys(&pair.value)
        }
        Some((last, between))
            if FRAME.contains(&head_word) && MANNER.contains(&parameter(last).as_str()) =>
        {
            // `filter[ssn][value]`: what stands between may be the field.
            named(&between.iter().filter(|part| !is_frame(part)).copied().collect::<Vec<_>>())
        }
        Some(_) if SHOWING.contains(&head_word) => {
            let mut asked = shown(&pair.value, &["."]);
            asked.extend(named(below));
            asked
        }
        Some(_) if FRAME.contains(&head_word) || EXPRESSING.contains(&head_word) => {
            let names: Vec<&str> = below.iter().filter(|part| !is_frame(part)).copied().collect();
            if NAMING.contains(&head_word) && names.is_empty() {
                sort_keys(&pair.value)
            } else {
                named(&names)
            }
        }
        Some(_) if NAMING.contains(&head_word) => {
            let mut asked = sort_keys(&pair.value);
            asked.retain(|asked| *asked != Asked::Unread);
            asked.extend(named(below));
            asked
        }
        Some(_) if head_word == "page" => vec![Asked::Harmless],
        Some(_) => named(&parts),
    }
}

/// Whether a name with brackets searches in many fields: `search[value]`,
/// `columns[3][search][value]`. Below `q`, `query` and `s` other languages name fields
/// (`q[status_eq]`), so there the last part must say that it is a text.
fn is_search(head: &str, last: &str, between: &[&str]) -> bool {
    let last = parameter(last);
    if last == "regex" {
        return false;
    }
    let is_text = SEARCHING.contains(&last.as_str()) || MANNER.contains(&last.as_str());
    match head {
        "q" | "query" | "s" => is_text,
        "columns" | "column" => {
            last == "search" || between.iter().any(|part| parameter(part) == "search")
        }
        _ => SEARCHING.contains(&head),
    }
}

/// The name that a frame holds, where it may be that of a field although frames have words of this
/// name: `filter[value]=1`. Beside the name of a field in the same condition it is its operand.
pub(super) fn framed(pair: &Pair, pairs: &[Pair]) -> Option<String> {
    let parts = brackets(&pair.name)?;
    let (head, below) = parts.split_first()?;
    let head = parameter(head);
    if !FRAME.contains(&head.as_str()) && !EXPRESSING.contains(&head.as_str()) {
        return None;
    }
    let is_step = |part: &String| {
        part.bytes().all(|byte| byte.is_ascii_digit())
            || ["and", "or", "not"].contains(&parameter(part).as_str())
    };
    let at = below.iter().position(|part| !is_step(part))?;
    let around = below.get(..at)?;
    let has_name = pairs.iter().filter_map(|other| brackets(&other.name)).any(|other| {
        let Some((head_of, below)) = other.split_first() else { return false };
        let Some((last, before)) = below.split_last() else { return false };
        parameter(head_of) == head
            && before == around
            && NAMES_A_FIELD.contains(&parameter(last).as_str())
    });
    if has_name { None } else { below.get(at).cloned() }
}

fn is_frame(part: &str) -> bool {
    FRAME.contains(&parameter(part).as_str())
}

/// Whether half the world uses this parameter for something else than a field.
pub(super) fn is_conventional(word: &str) -> bool {
    [&NAMING[..], &SHOWING, &SEARCHING, &EXPRESSING].iter().any(|list| list.contains(&word))
}

/// Whether half the world asks for no field by this parameter.
pub(super) fn is_harmless(word: &str) -> bool {
    HARMLESS.contains(&word)
}

/// A parameter without brackets.
fn alone(name: &str, word: &str, pair: &Pair) -> Vec<Asked> {
    if HARMLESS.contains(&word) {
        vec![Asked::Harmless]
    } else if SEARCHING.contains(&word) {
        vec![searched(&pair.value)]
    } else if NAMING.contains(&word) {
        let is_direction = ["asc", "desc", "1", "-1", ""].contains(&pair.value.trim());
        if is_direction { vec![Asked::Harmless] } else { sort_keys(&pair.value) }
    } else if SHOWING.contains(&word) {
        shown(&pair.value, &[".", "/"])
    } else if EXPRESSING.contains(&word) {
        vec![if pair.value.trim().is_empty() { Asked::Harmless } else { Asked::Unread }]
    } else {
        named(&[name])
    }
}

/// Every field that a name with glued operators may mean: `email_like`, `min_budget`, `email__x`.
fn named(parts: &[&str]) -> Vec<Asked> {
    let mut path = Path::new();
    for part in parts {
        let part = part.trim_end_matches(['!', '~', '<', '>', '*', '^', '$', '?']);
        match super::names::path(part, &["__", ".", ":", "/"]) {
            Some(names) => path.extend(names),
            None => return vec![Asked::Unread],
        }
    }
    let mut asked = without_operators(&path);
    if path.is_empty() {
        asked.push(Asked::Harmless);
    } else {
        asked.insert(0, Asked::Unknown(path));
    }
    asked
}

/// A path whose first or last name may be one with an operator at its end or start.
pub(super) fn without_operators(path: &[String]) -> Vec<Asked> {
    let ends = [0, path.len().saturating_sub(1)];
    let ends = if path.len() > 1 { &ends[..] } else { &ends[..1] };
    let mut asked = Vec::new();
    for end in ends {
        for variant in path.get(*end).into_iter().flat_map(|name| glued(name)) {
            let mut whole = path.to_vec();
            if let Some(name) = whole.get_mut(*end) {
                *name = variant;
            }
            asked.push(Asked::Glued(whole));
        }
    }
    asked
}

/// The words of a name: between `_` and `-`, and from one hump to the next.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in name.split(['_', '-']) {
        let mut rest = part;
        let mut is_lower = false;
        let mut from = 0;
        for (at, found) in part.char_indices() {
            if is_lower
                && found.is_uppercase()
                && let Some((word, behind)) = rest.split_at_checked(at - from)
            {
                words.push(word);
                (rest, from) = (behind, at);
            }
            is_lower = !found.is_uppercase();
        }
        words.push(rest);
    }
    words
}

/// A name without a word at its end or start that may be an operator.
fn glued(name: &str) -> Vec<String> {
    const OPERATORS: [&str; 40] = [
        "exact",
        "prefix",
        "suffix",
        "equals",
        "start",
        "end",
        "eq",
        "ne",
        "neq",
        "not",
        "gt",
        "gte",
        "ge",
        "lt",
        "lte",
        "le",
        "like",
        "ilike",
        "in",
        "nin",
        "contains",
        "icontains",
        "starts",
        "startswith",
        "ends",
        "endswith",
        "with",
        "from",
        "to",
        "min",
        "max",
        "after",
        "before",
        "between",
        "null",
        "isnull",
        "exists",
        "regex",
        "match",
        "is",
    ];
    let is_operator = |word: &str| OPERATORS.contains(&word.to_ascii_lowercase().as_str());
    let mut words = words(name);
    let before = words.len();
    while words.len() > 1 && words.last().is_some_and(|word| is_operator(word)) {
        words.pop();
    }
    let from_end = words.join("_");
    let mut start = words.as_slice();
    while let [first, rest @ ..] = start
        && !rest.is_empty()
        && is_operator(first)
    {
        start = rest;
    }
    let mut variants = Vec::new();
    if words.len() < before {
        variants.push(from_end);
    }
    if start.len() < words.len() {
        variants.push(start.join("_"));
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_body};
    use crate::policy::query::Dialect::Plain;

    #[test]
    fn parameters() {
        check(Plain, "page=2&per_page=10&sort=-created_at&order=desc", true);
        check(Plain, "status=new&status_like=a&min_created_at=1&fields=id,email", true);
        check(Plain, "filter[status]=a&filter[status][eq]=b&page[size]=3", true);
        check(Plain, "q[status_eq]=a&search[value]=&search[regex]=false", true);
        check(Plain, "columns[0][data]=status&columns[0][search][value]=", true);
        check(Plain, "minBudget=1&statusContains=x&created.at=1", true);
        for asked in [
            "ssn=9",
            "ssn_like=9",
            "ssn_starts_with=9",
            "min_ssn=9",
            "ssn:gt=9",
            "ssn.gt=9",
            "filter[ssn]=9",
            "filter[ssn][eq]=9",
            "filter[and][0][ssn][eq]=9",
            "filter=ssn eq 9",
            "filters[0][field]=ssn",
            "where[ssn][value]=9",
            "sort=ssn",
            "sort=status,ssn:desc",
            "sort[0][field]=ssn",
            "sort[ssn]=asc",
            "order_by=ssn",
            "sortBy=ssn",
            "group_by=ssn",
            "q=9",
            "query=9",
            "fields=ssn",
            "rsql=ssn==9",
            "owner.email=x",
            "search[value]=9",
            "search[any][thing]=9",
            "q[value]=9",
            "query[query_string][query]=9",
            "columns[3][search][value]=9",
            "q[ssn_start]=9",
            "search[ssn]=9",
            "ssnContains=9",
            "minSsn=9",
            "ssn_exact=9",
            "ssn_prefix=9",
            "ssn_equals=9",
            "ssn_of_any_kind=9",
            "hashedSsn=9",
            "s.s.n=9",
            "s.s.n[gt]=9",
            "\u{17f}\u{17f}n=9",
            "%C5%BFsn=9",
        ] {
            check(Plain, asked, false);
        }
    }

    #[test]
    fn bodies() {
        check_body(
            Plain,
            r#"{"filters":[{"field":"status","operator":"eq","value":"email"}],"limit":5}"#,
            true,
        );
        check_body(Plain, r#"{"status":"new"}"#, true);
        for body in [
            r#"{"ssn":"9"}"#,
            r#"{"filters":[{"field":"ssn","operator":"eq","value":"9"}]}"#,
            r#"{"filterGroups":[{"filters":[{"propertyName":"ssn","operator":"EQ","value":"9"}]}]}"#,
            r#"{"where":{"and":[{"ssn":{"gt":"9"}}]}}"#,
            r#"{"sort":["ssn"]}"#,
            r#"{"sorts":[{"propertyName":"ssn","direction":"ASCENDING"}]}"#,
            r#"{"query":"9"}"#,
            r#"{"order_by":"ssn"}"#,
            r#"{"\u0073sn":1}"#,
            "[{\"ssn\":1}]",
        ] {
            check_body(Plain, body, false);
        }
    }
}
