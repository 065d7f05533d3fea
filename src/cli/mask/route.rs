//! `GET /api/v1/leads/`: what was asked of the CRM, and which route of the policies that is.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;

use super::super::exit::Failed;
use crate::diagnostic::suggest;
use crate::policy::set::Unmatched;
use crate::policy::{CanonicalPath, GovernedRoute, Match, PolicySet};
use crate::proxy::Governance;

/// A method and a canonical path, and how they were written.
#[derive(Debug, Clone)]
pub(super) struct RequestLine {
    method: Method,
    path: CanonicalPath,
    written: Arc<str>,
}

impl RequestLine {
    /// Reads `METHOD PATH`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let example = "write it as 'GET /api/v1/leads/'";
        let Some((method, path)) = text.split_once(' ') else {
            return Err(format!("a method and a path are needed; {example}"));
        };
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("`{method}` is not a method in capitals; {example}"));
        }
        let method =
            method.parse().map_err(|_| format!("`{method}` is not a method; {example}"))?;
        if path.contains('?') {
            return Err("leave out the query; it plays no part in what is masked".to_owned());
        }
        if path.contains('{') {
            let help = "write the path of a request, such as /api/v1/leads/1/";
            return Err(format!("a path with braces is a template; {help}"));
        }
        let path = CanonicalPath::parse(path).map_err(|refusal| refusal.to_string())?;
        Ok(Self { method, path, written: text.into() })
    }

    /// The governed route; `None` where only global entries filter the answer.
    pub(super) fn find(&self, governance: &Governance) -> Result<Option<GovernedRoute>, Failed> {
        let written = &self.written;
        let refused = |why: String| Failed::usage(format!("the gate refuses `{written}`: {why}"));
        let set = governance.set();
        match governance.routes().find(&self.method, &self.path) {
            Match::Governed(route) => Ok(Some(route)),
            Match::Passthrough { .. } => Ok(None),
            Match::Unmatched => match set.global.unmatched {
                Unmatched::GlobalOnly => Ok(None),
                Unmatched::Deny => {
                    let declared = declared(set);
                    let help = suggest(written, declared.iter().map(String::as_str));
                    Err(refused("no policy declares it".to_owned()).help(help))
                }
            },
            Match::MethodNotDeclared { template } => {
                let method = &self.method;
                Err(refused(format!("no policy declares {method} on `{template}`")))
            }
            Match::Suspicious { template } => {
                Err(refused(format!("it is another spelling of `{template}`")))
            }
        }
    }
}

/// Every declared route as it would be asked for.
fn declared(set: &PolicySet) -> BTreeSet<String> {
    let routes = set.resources.values().flat_map(|resource| &resource.routes);
    routes
        .flat_map(|route| {
            route.methods.iter().map(move |method| format!("{method} {}", route.path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<(&str, &str), &str>) {
        match (RequestLine::parse(text), expect) {
            (Ok(line), Ok(expect)) => {
                assert_eq!((line.method.as_str(), line.path.as_str()), expect);
            }
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn request_lines() {
        check("GET /api/v1/leads/", Ok(("GET", "/api/v1/leads/")));
        check("PATCH /a/%7eb", Ok(("PATCH", "/a/~b")));
        check("/api/v1/leads/", Err("a method and a path"));
        check("get /api/v1/leads/", Err("capitals"));
        check(" /api", Err("capitals"));
        check("GET api/v1/leads/", Err("does not start with `/`"));
        check("GET /leads/?page=2", Err("leave out the query"));
        check("GET /leads/{id}/", Err("template"));
        check("GET /leads/../admin", Err("dots"));
    }
}
