use super::super::tests::rendered;
use super::*;
use crate::diagnostic::{SourceFile, Span};
use crate::json::path::FieldPath;
use crate::policy::set::Origin;
use crate::workflow::action::ActionKind;

fn list(paging: Paging) -> ListCall {
    ListCall {
        target: "/api/v1/leads/?page_size=2".to_owned(),
        records: FieldPath::parse("$.results[*]").unwrap(),
        paging,
        origin: Origin { source: SourceFile::new("lead.yaml", ""), span: Span::default() },
    }
}

fn by_next() -> ListCall {
    list(Paging::Next(FieldPath::parse("$.next").unwrap()))
}

fn by_page() -> ListCall {
    list(Paging::Page("page".to_owned()))
}

fn first(list: &ListCall, filters: &str) -> Result<String, String> {
    let payload = format!(r#"{{"export_type":"csv","entity_type":"lead","filters":{filters}}}"#);
    first_page(list, &rendered(ActionKind::EnqueueExport, &payload)).map_err(
        |failure| match failure {
            Performed::Failed { reason: ActionFailure::Template, retryable: false, error } => error,
            other => panic!("{other:?}"),
        },
    )
}

#[test]
fn first_pages() {
    let base = "/api/v1/leads/?page_size=2";
    assert_eq!(first(&by_next(), "{}").unwrap(), base);
    assert_eq!(first(&by_page(), "{}").unwrap(), format!("{base}&page=1"));
    assert_eq!(
        first(&by_next(), r#"{"a":"x y&z=1","n":1.10,"ok":true}"#).unwrap(),
        format!("{base}&a=x%20y%26z%3D1&n=1.10&ok=true")
    );
}

/// What the role does not see would otherwise be everybody's.
#[test]
fn a_filter_that_comes_out_empty_exports_nothing() {
    for value in ["null", "\"\"", "\" \"", "[]", "{}"] {
        assert_eq!(
            first(&by_next(), &format!(r#"{{"owner":{value}}}"#)).unwrap_err(),
            "the filter `owner` comes out as nothing to filter by"
        );
    }
}

#[track_caller]
fn check_next(next: &str, expect: Result<Option<&str>, &str>) {
    let body = format!(r#"{{"next":{next},"results":[{{}}]}}"#);
    let seen = next_page(&by_next(), "/api/v1/leads/?page_size=2", body.as_bytes(), 1);
    assert_eq!(seen.as_ref().map(Option::as_deref).map_err(|error| *error), expect, "{next}");
}

#[test]
fn next_pages_by_name() {
    let second = Ok(Some("/api/v1/leads/?page=2&page_size=2"));
    check_next(r#""http://crm.internal:81/api/v1/leads/?page=2&page_size=2""#, second);
    check_next(r#""/api/v1/leads/?page=2&page_size=2""#, second);
    check_next("null", Ok(None));
    check_next("\"\"", Ok(None));
    check_next("7", Err("where the next page is named stands no text"));
    check_next(r#""https://evil.example""#, Err("the next page has no path"));
    check_next(r#""/api/v1/deals/?page=2""#, Err("the next page is said to be somewhere else"));
    check_next(r#""/api/v1/leads/?page_size=2""#, Err("the next page is said to be the same one"));
}

#[test]
fn next_pages_by_number() {
    let next = |target: &str, records| next_page(&by_page(), target, b"{}", records);
    assert_eq!(
        next("/a/?page_size=2&page=1&x=y", 2),
        Ok(Some("/a/?page_size=2&x=y&page=2".to_owned()))
    );
    assert_eq!(next("/a/", 1), Ok(Some("/a/?page=2".to_owned())));
    assert_eq!(next("/a/?page=9", 0), Ok(None));
    assert_eq!(next("/a/?page=x", 1), Err("the page has no number"));
}
