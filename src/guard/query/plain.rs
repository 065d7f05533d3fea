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

fn is_frame(part: &str) -> bool {
    FRAME.contains(&parameter(part).as_str())
}

/// Whether half the world uses this parameter for something else than a field.
pub(super) fn is_conventional(word: &str) -> bool {
    [&NAMING[..], &SHOWING, &SEARCHING, &EXPRESSING].iter().any(|list| list.contains(&word))
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
    let mut asked = Vec::new();
    if let Some((first, rest)) = path.split_first() {
        for variant in glued(first) {
            let whole: Path = std::iter::once(variant).chain(rest.iter().cloned()).collect();
            asked.push(Asked::Unknown(whole));
        }
    }
    if path.is_empty() {
        asked.push(Asked::Harmless);
    } else {
        asked.insert(0, Asked::Unknown(path));
    }
    asked
}

/// A name without a word at its end or start that may be an operator.
fn glued(name: &str) -> Vec<String> {
    const OPERATORS: [&str; 34] = [
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
    let mut words: Vec<&str> = name.split(['_', '-']).collect();
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
