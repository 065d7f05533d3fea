//! One page of a list in the envelope of Django REST: `count`, `next`, `previous`, `results`.
//!
//! Pure. Refuses pages that do not exist.

use super::query::Query;
use super::value::Value;

const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 10_000;

/// A page that does not exist, or a word that is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidPage;

/// The body of a list answer. `url` is the absolute address of the list without its query.
pub(super) fn page_of(chosen: &[&Value], query: &Query, url: &str) -> Result<String, InvalidPage> {
    let size = query.last("page_size").and_then(|text| text.trim().parse().ok());
    let size = size.filter(|size| *size > 0).unwrap_or(DEFAULT_SIZE).min(MAX_SIZE);
    let last = chosen.len().div_ceil(size).max(1);
    let number = match query.last("page") {
        None => 1,
        Some("last") => last,
        Some(text) => text.trim().parse().map_err(|_| InvalidPage)?,
    };
    if !(1..=last).contains(&number) {
        return Err(InvalidPage);
    }
    let link = |page: usize| {
        let query = query.with_page((page > 1).then_some(page));
        Value::text(if query.is_empty() { url.to_owned() } else { format!("{url}?{query}") })
    };
    let next = if number < last { link(number + 1) } else { Value::Null };
    let previous = if number > 1 { link(number - 1) } else { Value::Null };
    let mut body = format!(r#"{{"count":{},"next":{next},"previous":{previous},"#, chosen.len());
    body.push_str(r#""results":["#);
    for (index, record) in chosen.iter().skip((number - 1) * size).take(size).enumerate() {
        if index > 0 {
            body.push(',');
        }
        record.write_json(&mut body);
    }
    body.push_str("]}");
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Option<&str>) {
        let records: Vec<Value> = (1..=5).map(Value::number).collect();
        let chosen: Vec<&Value> = records.iter().collect();
        let page = page_of(&chosen, &Query::parse(query), "http://crm/x/");
        assert_eq!(page.as_deref(), expected.ok_or(&InvalidPage));
    }

    #[test]
    fn pages_link_to_their_neighbours() {
        check("", Some(r#"{"count":5,"next":null,"previous":null,"results":[1,2,3,4,5]}"#));
        check(
            "page_size=2&search=a%20b",
            Some(
                r#"{"count":5,"next":"http://crm/x/?page=2&page_size=2&search=a+b","previous":null,"results":[1,2]}"#,
            ),
        );
        check(
            "page=2&page_size=2",
            Some(
                r#"{"count":5,"next":"http://crm/x/?page=3&page_size=2","previous":"http://crm/x/?page_size=2","results":[3,4]}"#,
            ),
        );
        check(
            "page=last&page_size=2",
            Some(
                r#"{"count":5,"next":null,"previous":"http://crm/x/?page=2&page_size=2","results":[5]}"#,
            ),
        );
    }

    #[test]
    fn a_strange_size_is_the_default_one() {
        for size in ["0", "-1", "abc", "20000", ""] {
            let all = r#"{"count":5,"next":null,"previous":null,"results":[1,2,3,4,5]}"#;
            check(&format!("page_size={size}"), Some(all));
        }
    }

    #[test]
    fn pages_that_do_not_exist_are_refused() {
        for page in ["0", "2", "-1", "abc", "", "99999999999999999999"] {
            check(&format!("page={page}"), None);
        }
    }

    #[test]
    fn an_empty_list_has_one_page() {
        let empty = page_of(&[], &Query::parse("page=1"), "http://crm/x/").unwrap();
        assert_eq!(empty, r#"{"count":0,"next":null,"previous":null,"results":[]}"#);
    }
}
