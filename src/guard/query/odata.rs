//! `OData`: `$filter`, `$orderby`, `$select`, `$expand`, `$apply`, `$compute`, `$search`.
//!
//! Expressions are not understood, only searched for names: every name that is no operator,
//! function or type is a field. What holds anything else is not read.

use super::expression::{Quotes, Token, split, tokens};
use super::names::is_name;
use super::pairs::Pair;
use super::{Asked, Path, searched};

/// Functions of `$filter` and `$orderby` that only look at their arguments.
const FUNCTIONS: [&str; 36] = [
    "contains",
    "startswith",
    "endswith",
    "substringof",
    "indexof",
    "length",
    "substring",
    "tolower",
    "toupper",
    "trim",
    "concat",
    "matchespattern",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "fractionalseconds",
    "date",
    "time",
    "totaloffsetminutes",
    "totalseconds",
    "now",
    "mindatetime",
    "maxdatetime",
    "round",
    "floor",
    "ceiling",
    "cast",
    "isof",
    "hassubset",
    "hassubsequence",
    "geo.distance",
    "geo.length",
    "geo.intersects",
];

/// Words between operands.
const OPERATORS: [&str; 26] = [
    "eq", "ne", "gt", "ge", "lt", "le", "and", "or", "not", "add", "sub", "mul", "div", "divby",
    "mod", "in", "has", "asc", "desc", "null", "true", "false", "inf", "nan", "any", "all",
];

/// Transformations and methods of `$apply`.
const TRANSFORMATIONS: [&str; 27] = [
    "filter",
    "groupby",
    "aggregate",
    "compute",
    "expand",
    "concat",
    "identity",
    "search",
    "topcount",
    "topsum",
    "toppercent",
    "bottomcount",
    "bottomsum",
    "bottompercent",
    "orderby",
    "top",
    "skip",
    "rollup",
    "with",
    "from",
    "sum",
    "min",
    "max",
    "average",
    "countdistinct",
    "$count",
    "nest",
];

/// Types before a string, as in `duration'P1D'`.
const LITERAL_TYPES: [&str; 9] = [
    "duration",
    "binary",
    "geography",
    "geometry",
    "datetime",
    "datetimeoffset",
    "guid",
    "time",
    "x",
];

pub(super) fn read(pair: &Pair) -> Vec<Asked> {
    let value = pair.value.as_str();
    // A parameter alias holds an operand of an expression elsewhere.
    if pair.name.starts_with('@') {
        return expression(value, &Path::new(), false);
    }
    option(&pair.name, value, &Path::new(), 0).unwrap_or_else(|| {
        match pair.name.strip_prefix('$') {
            Some(_) => vec![Asked::Unread],
            None => super::plain::read(pair),
        }
    })
}

/// Deepest `$expand` inside of `$expand`.
const MOST_LEVELS: usize = 8;

/// A system query option, with its `$` or without; `None` for any other name.
fn option(name: &str, value: &str, prefix: &Path, level: usize) -> Option<Vec<Asked>> {
    if level > MOST_LEVELS {
        return Some(vec![Asked::Unread]);
    }
    let name = name.trim().trim_start_matches('$').to_ascii_lowercase();
    let is_empty = value.trim().is_empty();
    Some(match name.as_str() {
        "filter" | "orderby" | "compute" | "apply" | "select" | "expand" | "search" if is_empty => {
            vec![Asked::Harmless]
        }
        "filter" | "orderby" => expression(value, prefix, false),
        "compute" | "apply" => expression(value, prefix, true),
        "search" => vec![searched(value)],
        "select" | "expand" => items(value, prefix, level),
        "skiptoken" | "deltatoken" => words(value),
        "top" | "skip" | "count" | "inlinecount" | "format" | "levels" | "schemaversion"
        | "index" | "id" => vec![Asked::Harmless],
        _ => return None,
    })
}

/// The words of a token by which a server goes on. It is its own, and some write fields into it.
fn words(value: &str) -> Vec<Asked> {
    let words = value.split(|found: char| !found.is_alphanumeric() && found != '_');
    let mut asked: Vec<Asked> =
        words.filter(|word| is_name(word)).map(|word| Asked::Mentioned(word.to_owned())).collect();
    asked.push(Asked::Harmless);
    asked
}

/// The items of `$select` and `$expand`, with the options in their brackets.
fn items(value: &str, prefix: &Path, level: usize) -> Vec<Asked> {
    let unread = || vec![Asked::Unread];
    let Some(parts) = split(value, ',') else { return unread() };
    let mut asked = Vec::new();
    for part in parts {
        let part = part.trim();
        let (path, options) = match part.split_once('(') {
            None => (part, None),
            Some((path, rest)) => match rest.strip_suffix(')') {
                Some(options) => (path, Some(options)),
                None => return unread(),
            },
        };
        let path = path.trim().trim_end_matches("/$ref").trim_end_matches("/$count");
        if path == "*" {
            asked.push(Asked::Harmless);
            continue;
        }
        let names: Vec<&str> = path.split('/').collect();
        if !names.iter().all(|name| is_name(name)) {
            return unread();
        }
        let mut whole = prefix.clone();
        whole.extend(names.into_iter().map(ToOwned::to_owned));
        asked.push(Asked::Shown(whole.clone()));
        let Some(options) = options.map(|options| split(options, ';')) else { continue };
        let Some(options) = options else { return unread() };
        for one in options {
            let Some((name, value)) = one.split_once('=') else { return unread() };
            asked.extend(option(name, value, &whole, level + 1).unwrap_or_else(unread));
        }
    }
    asked
}

/// Every field of an expression. `names_more` where `as` gives names and transformations stand.
fn expression(text: &str, prefix: &Path, names_more: bool) -> Vec<Asked> {
    match tokens(text, Quotes::Doubled) {
        Some(tokens) => fields(&tokens, prefix, names_more).unwrap_or_else(|| vec![Asked::Unread]),
        None => vec![Asked::Unread],
    }
}

fn fields(tokens: &[Token], prefix: &Path, names_more: bool) -> Option<Vec<Asked>> {
    let mut asked = Vec::new();
    // A variable stands for what it was bound to up to the bracket that closes its lambda.
    let mut variables: Vec<(String, Path, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let first = match token {
            Token::Symbol('(') => {
                depth += 1;
                continue;
            }
            Token::Symbol(')') => {
                depth = depth.checked_sub(1)?;
                variables.retain(|(_, _, within)| *within <= depth);
                continue;
            }
            Token::Literal | Token::Symbol(',' | '-') => continue,
            // Between two transformations of `$apply`.
            Token::Symbol('/') if names_more => continue,
            Token::Symbol(_) => return None,
            Token::Name(name) => name,
        };
        let mut path = vec![first.as_str()];
        while let (Some(Token::Symbol('/')), Some(Token::Name(next))) =
            (tokens.get(at), tokens.get(at + 1))
        {
            path.push(next);
            at += 2;
        }
        let calls = tokens.get(at) == Some(&Token::Symbol('('));
        let word = first.to_ascii_lowercase();
        if let [_] = path.as_slice() {
            if calls && FUNCTIONS.contains(&word.as_str()) || first.starts_with("Edm.") {
                continue;
            }
            if names_more && word == "as" {
                // What it names may stand anywhere; it is one more field that nobody knows.
                let Some(Token::Name(alias)) = tokens.get(at) else { return None };
                asked.push(Asked::Compared(vec![alias.clone()]));
                at += 1;
                continue;
            }
            let is_typed = tokens.get(at) == Some(&Token::Literal);
            if is_typed && LITERAL_TYPES.contains(&word.as_str()) || first.starts_with('@') {
                continue;
            }
            if OPERATORS.contains(&word.as_str())
                || (names_more && TRANSFORMATIONS.contains(&word.as_str()))
            {
                continue;
            }
            if is_typed {
                return None;
            }
        }
        // `emails/any(e:e/value eq 'x')`: the variable stands for an element.
        let is_lambda = calls && path.len() > 1 && matches!(path.last(), Some(&"any" | &"all"));
        if is_lambda || path.last() == Some(&"$count") {
            path.pop();
        }
        if calls && !is_lambda {
            return None;
        }
        let mut whole = match variables.iter().find(|(name, _, _)| name == first) {
            Some((_, bound, _)) => bound.clone(),
            None if ["$it", "$this"].contains(&first.as_str()) => prefix.clone(),
            None => {
                is_name(first).then_some(())?;
                prefix.iter().cloned().chain([first.clone()]).collect()
            }
        };
        for name in path.into_iter().skip(1) {
            is_name(name).then_some(())?;
            whole.push(name.to_owned());
        }
        if is_lambda
            && let (Some(Token::Name(name)), Some(Token::Symbol(':'))) =
                (tokens.get(at + 1), tokens.get(at + 2))
        {
            // A name that stands for two things in one expression is not followed.
            if variables.iter().any(|(known, bound, _)| known == name && *bound != whole) {
                return None;
            }
            depth += 1;
            variables.push((name.clone(), whole.clone(), depth));
            at += 3;
        }
        asked.push(Asked::Compared(whole));
    }
    if asked.is_empty() {
        asked.push(Asked::Harmless);
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::policy::query::Dialect::OData;

    #[test]
    fn expressions_and_lists() {
        for fine in [
            "$top=5&$skip=1&$count=true",
            "$filter=status eq 'ssn' and created_at gt 2026-01-01T00:00:00Z",
            "$filter=contains(tolower(status),'x') or not (id in (1,2))",
            "$orderby=created_at desc,status",
            "$select=id,status,email&$expand=owner($select=name;$orderby=name)",
            "$filter=tags/any(t:t eq 'a')",
            "$filter=tags/any(t:t eq 'a') or names/any(t:(t eq 'a'))",
            "$skiptoken=bGVhZA7-status&$deltatoken=7",
            "$filter=status eq @p&@p='x'",
            "$apply=groupby((status),aggregate(id with max as last))",
            "$compute=length(status) as size",
            "$expand=*",
            "filter=status eq null",
            "status=new",
        ] {
            check(OData, fine, true);
        }
        for asked in [
            "$filter=ssn eq '9'",
            "%24filter=ssn eq '9'",
            "$FILTER=SSN eq '9'",
            "filter=ssn eq '9'",
            "$filter=status eq 'a' or startswith(ssn,'9')",
            "$filter=length(ssn) gt 3",
            "$filter=status eq ssn",
            "$filter=owner/email eq 'x'",
            "$filter=account/vat_number eq 'x'",
            "$filter=people/any(p:p/ssn eq '9')",
            "$filter=people/any(p:startswith(p/ssn,'9'))",
            "$filter=$it/ssn eq '9'",
            "$filter=status eq @p&@p=ssn",
            "$filter=$root/leads(1)/ssn eq '9'",
            "$filter=Some.Func(ssn)",
            "$filter=status eq 'open",
            "$filter=\"ssn\" eq 1",
            "$orderby=ssn",
            "$orderby=status,ssn desc",
            "$orderby=length(ssn)",
            "$select=ssn",
            "$select=id,people/ssn",
            "$expand=owner($filter=email eq 'x')",
            "$expand=owner($expand=people($orderby=ssn))",
            "$expand=owner($search=x)",
            "$search=9",
            "$apply=groupby((ssn))",
            "$apply=aggregate(ssn with max as m)",
            "$apply=filter(ssn eq '9')/aggregate($count as n)",
            "$compute=ssn as s",
            "$unheard=of",
            "$filter=tags/any(ssn:ssn eq 'a') and ssn eq '9'",
            "$filter=tags/any(ssn:contains(ssn,'a')) and ssn eq '9'",
            "$filter=status eq 'a') and (ssn eq '9'",
            "$skiptoken=Ssn-'900-11'",
            "$deltatoken=id:7,ssn:9",
            "ssn=9",
        ] {
            check(OData, asked, false);
        }
    }
}
