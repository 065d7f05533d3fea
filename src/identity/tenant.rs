//! A company that the request itself names must be the caller's.
//!
//! Pure. The caller's company comes from its verified identity alone; what a path or header says is
//! compared with it and never taken for it.

use http::HeaderMap;

use crate::config::TenantNames;
use crate::config::tenant::PARAMETER;

/// Where requests name a company.
#[derive(Debug)]
pub(super) struct TenantCheck {
    places: TenantNames,
}

impl TenantCheck {
    pub(super) fn new(places: &TenantNames) -> Self {
        Self { places: places.clone() }
    }

    /// Whether a request names a company that is not `own`, on its canonical `path` or in a header.
    /// A caller without a company has none that could be named.
    pub(super) fn names_another(&self, headers: &HeaderMap, path: &str, own: Option<&str>) -> bool {
        let by_header = self.places.header.iter().any(|header| {
            let named = headers.get_all(header).iter();
            named
                .map(|value| value.as_bytes().trim_ascii())
                .any(|named| Some(named) != own.map(str::as_bytes))
        });
        by_header
            || self.places.paths.iter().any(|pattern| {
                pattern.find(PARAMETER, path).is_some_and(|named| Some(named.as_str()) != own)
            })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::PathPattern;

    #[track_caller]
    fn check(headers: &[&'static str], path: &str, own: Option<&str>, expected: bool) {
        let check = TenantCheck::new(&TenantNames {
            header: Some(HeaderName::from_static("x-tenant")),
            paths: vec![
                PathPattern::parse("/t/{tenant}/...").unwrap(),
                PathPattern::parse("/api/orgs/{tenant}/...").unwrap(),
            ],
        });
        let mut map = HeaderMap::new();
        for value in headers {
            map.append("x-tenant", HeaderValue::from_static(value));
        }
        assert_eq!(check.names_another(&map, path, own), expected, "{headers:?} {path} {own:?}");
    }

    #[test]
    fn only_ones_own_company_may_be_named() {
        check(&[], "/leads/", Some("acme"), false);
        check(&[], "/leads/", None, false);
        check(&["acme"], "/t/acme/leads/", Some("acme"), false);
        check(&["acme "], "/api/orgs/acme", Some("acme"), false);
        check(&["other"], "/leads/", Some("acme"), true);
        check(&["acme", "other"], "/leads/", Some("acme"), true);
        check(&["Acme"], "/leads/", Some("acme"), true);
        check(&[""], "/leads/", Some("acme"), true);
        check(&[], "/t/other/leads/", Some("acme"), true);
        check(&[], "/T/%6Fther/leads/", Some("acme"), true);
        check(&[], "/api/orgs/other/x", Some("acme"), true);
        check(&["acme"], "/leads/", None, true);
        check(&[], "/t/acme/leads/", None, true);
    }
}
