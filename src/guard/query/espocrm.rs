//! `EspoCRM`: `where[0][attribute]=`, nested below `value`, `orderBy=`, `select=`, `q=`,
//! `textFilter=`, and the same as JSON in `searchParams=`.

use super::names::{brackets, compared, parameter, shown};
use super::pairs::Pair;
use super::{Asked, flatten, searched};

/// Types of conditions that are more than a field, an operator and a value.
const EXPRESSING: [&str; 4] = ["expression", "subQueryIn", "subQueryNotIn", "complex"];

/// Parameters that tell of no field. The filters they name are the CRM's own.
const HARMLESS: [&str; 12] = [
    "maxsize",
    "offset",
    "order",
    "asc",
    "primaryfilter",
    "boolfilterlist",
    "totalcount",
    "collectionname",
    "onlymy",
    "useindex",
    "page",
    "skip",
];

pub(super) fn read(pair: &Pair) -> Vec<Asked> {
    let Some(parts) = brackets(&pair.name) else { return vec![Asked::Unread] };
    let Some((head, below)) = parts.split_first() else { return vec![Asked::Unread] };
    match parameter(head).as_str() {
        "orderby" | "sortby" => vec![attribute(&pair.value)],
        "select" | "attributeselect" => shown(&pair.value, &["."]),
        "q" | "textfilter" => vec![searched(&pair.value)],
        "where" | "wheregroup" => condition(below, &pair.value),
        "searchparams" if below.is_empty() => {
            let Ok(inner) = flatten::json(pair.value.as_bytes()) else {
                return vec![Asked::Unread];
            };
            inner.iter().flat_map(read).collect()
        }
        "searchparams" => {
            let name = below
                .iter()
                .skip(1)
                .fold(below.first().cloned().unwrap_or_default(), |name, part| {
                    format!("{name}[{part}]")
                });
            read(&Pair { name, ..pair.clone() })
        }
        word if HARMLESS.contains(&word) => vec![Asked::Harmless],
        _ => super::plain::read(pair),
    }
}

/// The name of an attribute. One with a function in it (`LOWER:(ssn)`) is not read.
fn attribute(text: &str) -> Asked {
    if text.trim().is_empty() { Asked::Harmless } else { compared(text, &["."]) }
}

fn condition(below: &[String], value: &str) -> Vec<Asked> {
    let last = below.last().map(String::as_str).unwrap_or_default();
    match last {
        "attribute" | "field" | "link" => vec![attribute(value)],
        "type" if EXPRESSING.contains(&value) => vec![Asked::Unread],
        "type" if value == "textFilter" => vec![Asked::Searched],
        "type" | "dateTime" | "timeZone" | "value" | "" => vec![Asked::Harmless],
        _ if last.bytes().all(|byte| byte.is_ascii_digit()) => vec![Asked::Harmless],
        // `where[ssn]=9`, the old way.
        _ if below.len() == 1 => vec![attribute(last)],
        _ => vec![attribute(last), Asked::Unread],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_body};
    use crate::policy::query::Dialect::EspoCrm;

    #[test]
    fn conditions() {
        for fine in [
            "maxSize=20&offset=0&orderBy=createdAt&order=desc&select=id,status,email",
            "where[0][type]=equals&where[0][attribute]=status&where[0][value]=ssn",
            "where[0][type]=or&where[0][value][0][type]=equals&where[0][value][0][attribute]=status&where[0][value][0][value]=a",
            "where[0][type]=in&where[0][attribute]=status&where[0][value][]=a&where[0][value][1]=b",
            "primaryFilter=open&boolFilterList[]=onlyMy",
            r#"searchParams={"where":[{"type":"equals","attribute":"status","value":"a"}],"orderBy":"createdAt"}"#,
        ] {
            check(EspoCrm, fine, true);
        }
        for asked in [
            "where[0][type]=startsWith&where[0][attribute]=ssn&where[0][value]=9",
            "where%5B0%5D%5Battribute%5D=ssn",
            "where[0][field]=ssn",
            "whereGroup[0][attribute]=ssn",
            "where[0][attribute]=LOWER:(ssn)",
            "where[0][attribute]=owner.email",
            "where[0][attribute]=account.vat_number",
            "where[0][type]=or&where[0][value][0][attribute]=ssn",
            "where[0][type]=not&where[0][value][0][value][3][attribute]=ssn",
            "where[0][type]=expression&where[0][value]=ssn",
            "where[0][type]=textFilter&where[0][value]=9",
            "where[ssn]=9",
            "where[0][what]=ssn",
            "orderBy=ssn",
            "sortBy=ssn",
            "orderBy=LENGTH:(ssn)",
            "select=ssn",
            "q=9",
            "textFilter=9",
            r#"searchParams={"where":[{"type":"equals","attribute":"ssn","value":"a"}]}"#,
            "searchParams={",
            "ssn=9",
        ] {
            check(EspoCrm, asked, false);
        }
        check_body(EspoCrm, r#"{"where":[{"attribute":"ssn"}]}"#, false);
    }
}
