//! Reads who somebody is from what the CRM says of them.

use jsonpath_rust::query::{QueryRef, js_path_process};
use serde_json::Value;

use crate::config::{self, AnswerPath};
use crate::identity::Principal;
use crate::identity::claims::{name_of, truthy_names};
use crate::identity::document::Document;
use crate::identity::refusal::Refusal;
use crate::identity::role_names::RoleNames;
use crate::json::path::{FieldPath, Selector};

/// Where an answer has what.
pub(super) struct Reading {
    subject: AnswerPath,
    roles: Vec<AnswerPath>,
    tenant: Option<AnswerPath>,
    names: RoleNames,
}

impl Reading {
    pub(super) fn new(settings: &config::WhoAmI, names: RoleNames) -> Self {
        Self {
            subject: settings.subject.clone(),
            roles: settings.roles.clone(),
            tenant: settings.tenant.clone(),
            names,
        }
    }

    /// Whom an answer names; `None` where it is no clear JSON.
    pub(super) fn principal(&self, answer: &[u8]) -> Option<Result<Principal, Refusal>> {
        let Document(answer) = Document::parse(answer)?;
        Some(self.read(&answer))
    }

    fn read(&self, answer: &Value) -> Result<Principal, Refusal> {
        let subject = match find(self.subject.path(), answer).as_slice() {
            // How a CRM speaks of somebody who has not logged in.
            [] | [Value::Null] => return Err(Refusal::NotRecognised),
            [one] => name_of(one).ok_or(Refusal::BadSubject)?,
            _ => return Err(Refusal::BadSubject),
        };
        let tenant = match &self.tenant {
            None => None,
            Some(path) => match find(path.path(), answer).as_slice() {
                [one] => Some(name_of(one).ok_or(Refusal::BadTenant)?),
                _ => return Err(Refusal::BadTenant),
            },
        };
        let mut numbers = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for path in &self.roles {
            for value in find(path.path(), answer) {
                add_names(value, &mut names, &mut numbers)?;
            }
        }
        let names = names.into_iter().chain(numbers.iter().map(String::as_str));
        let roles = self.names.of(names, tenant.as_deref())?;
        Ok(Principal { subject, roles, tenant })
    }
}

/// A name as it stands, a list of names, or an object whose truthy members are names. Whole
/// numbers are names too: many a CRM has its groups by id.
fn add_names<'a>(
    value: &'a Value,
    names: &mut Vec<&'a str>,
    numbers: &mut Vec<String>,
) -> Result<(), Refusal> {
    match value {
        Value::Null => Ok(()),
        Value::String(name) => {
            names.push(name);
            Ok(())
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            numbers.push(number.to_string());
            Ok(())
        }
        Value::Array(list) => list.iter().try_for_each(|item| match item {
            Value::String(_) | Value::Number(_) => add_names(item, names, numbers),
            _ => Err(Refusal::BadRoles),
        }),
        Value::Object(members) => {
            names.extend(truthy_names(members));
            Ok(())
        }
        Value::Bool(_) | Value::Number(_) => Err(Refusal::BadRoles),
    }
}

/// The values at a path.
fn find<'a>(path: &FieldPath, answer: &'a Value) -> Vec<&'a Value> {
    match path.query() {
        Some(query) => js_path_process(query, answer)
            .map(|found| found.into_iter().map(QueryRef::val).collect())
            .unwrap_or_default(),
        None => walk(path, answer),
    }
}

/// A dotted path: names, and arrays walked through on the way.
fn walk<'a>(path: &FieldPath, answer: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![answer];
    for segment in path.segments() {
        found = found
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(list) => list.iter().collect(),
                other => vec![other],
            })
            .flat_map(|value| {
                segment.selectors.iter().filter_map(move |selector| match selector {
                    Selector::Name(name) => value.get(name),
                    _ => None,
                })
            })
            .collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{RoleMap, Unmapped};

    fn path(text: &str) -> AnswerPath {
        AnswerPath(FieldPath::parse(text).unwrap())
    }

    fn reading(subject: &str, roles: &[&str], tenant: Option<&str>) -> Reading {
        Reading {
            subject: path(subject),
            roles: roles.iter().map(|text| path(text)).collect(),
            tenant: tenant.map(path),
            names: RoleNames::new(None),
        }
    }

    #[track_caller]
    fn check(
        reading: &Reading,
        answer: &str,
        expected: Result<(&str, &[&str], Option<&str>), Refusal>,
    ) {
        let found = reading.principal(answer.as_bytes()).unwrap();
        let found = found.as_ref().map(|principal| {
            let roles: Vec<&str> = principal.roles.iter().map(String::as_str).collect();
            (principal.subject.as_str(), roles, principal.tenant.as_deref())
        });
        let expected = expected.as_ref();
        let expected = expected.map(|(subject, roles, tenant)| (*subject, roles.to_vec(), *tenant));
        assert_eq!(found, expected, "{answer}");
    }

    #[test]
    fn answers_of_crms() {
        let django = reading("$.id", &["$.groups[*].name"], Some("$.company.slug"));
        check(
            &django,
            r#"{"id":7,"groups":[{"name":"sales_rep"},{"name":"Domain Users"}],"company":{"slug":"acme"}}"#,
            Ok(("7", &["sales_rep"], Some("acme"))),
        );
        let flags = reading("$.user.name", &["$.user.flags", "role"], None);
        check(
            &flags,
            r#"{"user":{"name":"ann","flags":{"is_admin":true,"is_guest":false}},"role":"support"}"#,
            Ok(("ann", &["is_admin", "support"], None)),
        );
        let dotted = reading("data.user", &["data.teams.name", "data.ids"], None);
        check(
            &dotted,
            r#"{"data":{"user":"ann","teams":[{"name":"a"},{"name":"b"}],"ids":[3,4]}}"#,
            Ok(("ann", &["3", "4", "a", "b"], None)),
        );
        check(&dotted, r#"{"data":{"user":"ann"}}"#, Ok(("ann", &[], None)));
    }

    #[test]
    fn a_name_with_commas_and_spaces_is_one_name() {
        let one = reading("$.id", &["$.group"], None);
        check(&one, r#"{"id":"a","group":"sales admin, finance"}"#, Ok(("a", &[], None)));
        let map = BTreeMap::from([("sales admin, finance".to_owned(), vec!["support".to_owned()])]);
        let map = RoleMap { map, tenants: BTreeMap::new(), unmapped: Unmapped::Drop };
        let one = Reading { names: RoleNames::new(Some(&map)), ..one };
        check(&one, r#"{"id":"a","group":"sales admin, finance"}"#, Ok(("a", &["support"], None)));
    }

    #[test]
    fn who_has_not_logged_in_is_nobody() {
        let reading = reading("$.user", &["$.roles"], None);
        for answer in ["{}", r#"{"user":null}"#, "[]", "null", r#""ann""#] {
            check(&reading, answer, Err(Refusal::NotRecognised));
        }
    }

    #[test]
    fn what_has_no_clear_meaning_is_refused() {
        let reading = reading("$..id", &["$.roles"], Some("$.tenant"));
        check(&reading, r#"{"id":1,"x":{"id":2},"tenant":"t"}"#, Err(Refusal::BadSubject));
        check(&reading, r#"{"id":"","tenant":"t"}"#, Err(Refusal::BadSubject));
        check(&reading, r#"{"id":1.5,"tenant":"t"}"#, Err(Refusal::BadSubject));
        check(&reading, r#"{"id":1}"#, Err(Refusal::BadTenant));
        check(&reading, r#"{"id":1,"tenant":null}"#, Err(Refusal::BadTenant));
        for roles in ["true", "1.5", "[null]", "[[\"a\"]]", "[{}]"] {
            let answer = format!(r#"{{"id":1,"tenant":"t","roles":{roles}}}"#);
            check(&reading, &answer, Err(Refusal::BadRoles));
        }
        for text in ["", "<html>", r#"{"id":1,"id":2}"#, r#"{"id":1} {"id":2}"#] {
            assert!(reading.principal(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        /// The two spellings of a path through objects mean the same.
        #[test]
        fn dotted_and_json_paths_agree(
            names in prop::collection::vec("[a-c]{1,2}", 1..4),
            value in "[a-z]{1,6}",
        ) {
            let mut answer = Value::String(value.clone());
            for name in names.iter().rev() {
                answer = serde_json::json!({ name: answer });
            }
            let dotted = FieldPath::parse(&names.join(".")).unwrap();
            let json = FieldPath::parse(&format!("$.{}", names.join("."))).unwrap();
            prop_assert_eq!(find(&dotted, &answer), find(&json, &answer));
            let value = Value::String(value);
            prop_assert_eq!(find(&json, &answer), vec![&value]);
        }
    }
}
