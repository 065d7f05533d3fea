//! The JSON objects of a token: members that stand once, read by strict rules.
//!
//! Refuses rather than converts: a string `exp` is no expiry, a number is no role.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::decode_part;
use crate::identity::bounds::{self, is_name};
use crate::identity::refusal::Refusal;

/// A JSON object in which no name stands twice.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Decodes one part of a token.
    pub(super) fn decode(part: &str) -> Option<Self> {
        serde_json::from_slice(&decode_part(part)?).ok()
    }

    /// Whether the member stands here, `null` included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn check_issuer(&self, issuer: Option<&str>) -> Result<(), Refusal> {
        if issuer.is_none() || self.text("iss") == issuer {
            return Ok(());
        }
        Err(Refusal::WrongIssuer)
    }

    /// `aud` is a string, or a list of strings of which one must be ours.
    pub(super) fn check_audience(&self, audience: Option<&str>) -> Result<(), Refusal> {
        let Some(audience) = audience else {
            return Ok(());
        };
        let is_ours = match self.0.get("aud") {
            Some(Value::String(only)) => only == audience,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string) && list.iter().any(|one| one == audience)
            }
            _ => false,
        };
        if is_ours { Ok(()) } else { Err(Refusal::WrongAudience) }
    }

    /// A subject or tenant: a string, or a whole number such as the `user_id` of many frameworks.
    pub(super) fn name(&self, path: &str) -> Option<String> {
        let name = match find(&self.0, path)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => return None,
        };
        is_name(&name).then_some(name)
    }

    /// Roles: a list of strings, or one string split at spaces and commas. None is no role.
    pub(super) fn roles(&self, path: &str) -> Result<Vec<String>, Refusal> {
        match find(&self.0, path) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => bounds::roles(text.split([' ', ','])),
            Some(Value::Array(list)) => {
                let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                bounds::roles(names.ok_or(Refusal::BadRoles)?)
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(Refusal::BadRoles),
        }
    }
}

/// The claim at a dotted path. Names may hold dots themselves (`https://example.com/roles`), so
/// the path as a whole is tried first, then every way to split it, the shortest first name first.
fn find<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    members.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let (name, rest) = path.split_at_checked(dot)?;
            find(members.get(name)?.as_object()?, rest.strip_prefix('.')?)
        })
    })
}

/// When the token holds, in seconds since 1970. Fractions are allowed (RFC 7519, `NumericDate`).
pub(super) struct Times {
    expiry: f64,
    not_before: Option<f64>,
}

impl Times {
    pub(super) fn of(claims: &Members) -> Result<Self, Refusal> {
        let seconds = |name| match claims.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Refusal::MalformedTimes),
        };
        let expiry = seconds("exp")?.ok_or(Refusal::MissingExpiry)?;
        Ok(Self { expiry, not_before: seconds("nbf")? })
    }

    pub(super) fn check(&self, now: SystemTime, leeway: Duration) -> Result<(), Refusal> {
        // A clock before 1970 is wrong; under it every token has expired.
        let now =
            now.duration_since(UNIX_EPOCH).map_or(f64::INFINITY, |elapsed| elapsed.as_secs_f64());
        let leeway = leeway.as_secs_f64();
        if now >= self.expiry + leeway {
            return Err(Refusal::Expired);
        }
        if self.not_before.is_some_and(|not_before| now + leeway < not_before) {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(json: &str) -> Members {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check_roles(json: &str, path: &str, expected: Result<&[&str], Refusal>) {
        let expected =
            expected.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        assert_eq!(members(json).roles(path), expected, "{path} in {json}");
    }

    #[test]
    fn where_roles_stand_and_how() {
        check_roles(r#"{"roles":["b","a","b"]}"#, "roles", Ok(&["a", "b"]));
        check_roles(r#"{"roles":"b a,c , b"}"#, "roles", Ok(&["a", "b", "c"]));
        check_roles(r#"{"roles":["sales admin","support"]}"#, "roles", Ok(&["support"]));
        check_roles(r#"{"realm_access":{"roles":["a"]}}"#, "realm_access.roles", Ok(&["a"]));
        check_roles(
            r#"{"https://example.com/roles":["a"],"https://example":{"com/roles":["b"]}}"#,
            "https://example.com/roles",
            Ok(&["a"]),
        );
        check_roles(
            r#"{"resource_access":{"crm.example.com":{"roles":["a"]}}}"#,
            "resource_access.crm.example.com.roles",
            Ok(&["a"]),
        );
        check_roles("{}", "roles", Ok(&[]));
        check_roles(r#"{"roles":null}"#, "roles", Ok(&[]));
        check_roles(r#"{"roles":[]}"#, "roles", Ok(&[]));
        check_roles(r#"{"a":"b"}"#, "a.b", Ok(&[]));
        check_roles(r#"{"roles":"a"}"#, "roles.", Ok(&[]));
    }

    #[test]
    fn roles_of_another_kind_are_refused() {
        for roles in ["1", "true", "{}", r#"["a",1]"#, r#"["a",null]"#, r#"[["a"]]"#] {
            check_roles(&format!(r#"{{"roles":{roles}}}"#), "roles", Err(Refusal::BadRoles));
        }
    }

    #[track_caller]
    fn check_name(value: &str, expected: Option<&str>) {
        let found = members(&format!(r#"{{"sub":{value}}}"#)).name("sub");
        assert_eq!(found.as_deref(), expected, "{value}");
    }

    #[test]
    fn subjects() {
        check_name(r#""ann""#, Some("ann"));
        check_name("42", Some("42"));
        check_name("18446744073709551615", Some("18446744073709551615"));
        check_name("4.2", None);
        check_name("true", None);
        check_name("null", None);
        check_name("[]", None);
        check_name(r#""""#, None);
        check_name(r#""a\nb""#, None);
    }

    #[track_caller]
    fn check_audience(claims: &str, expected: bool) {
        let found = members(claims).check_audience(Some("crm"));
        assert_eq!(found, if expected { Ok(()) } else { Err(Refusal::WrongAudience) }, "{claims}");
    }

    #[test]
    fn audiences() {
        check_audience(r#"{"aud":"crm"}"#, true);
        check_audience(r#"{"aud":["erp","crm"]}"#, true);
        check_audience(r#"{"aud":"CRM"}"#, false);
        check_audience(r#"{"aud":"crm erp"}"#, false);
        check_audience(r#"{"aud":[]}"#, false);
        check_audience(r#"{"aud":["crm",1]}"#, false);
        check_audience(r#"{"aud":{"crm":"crm"}}"#, false);
        check_audience(r#"{"aud":null}"#, false);
        check_audience("{}", false);
    }

    #[track_caller]
    fn check_times(claims: &str, now: f64, leeway: u64, expected: Result<(), Refusal>) {
        let now = UNIX_EPOCH + Duration::from_secs_f64(now);
        let found = Times::of(&members(claims))
            .and_then(|times| times.check(now, Duration::from_secs(leeway)));
        assert_eq!(found, expected, "{claims} at {now:?}");
    }

    #[test]
    fn times_to_the_second() {
        check_times(r#"{"exp":1000}"#, 999.0, 0, Ok(()));
        check_times(r#"{"exp":1000}"#, 1000.0, 0, Err(Refusal::Expired));
        check_times(r#"{"exp":1000}"#, 1029.0, 30, Ok(()));
        check_times(r#"{"exp":1000}"#, 1030.0, 30, Err(Refusal::Expired));
        check_times(r#"{"exp":1000.5}"#, 1000.25, 0, Ok(()));
        check_times(r#"{"exp":1e3}"#, 999.0, 0, Ok(()));
        check_times(r#"{"exp":-1}"#, 0.0, 0, Err(Refusal::Expired));
        check_times(r#"{"exp":2000,"nbf":1000}"#, 999.0, 0, Err(Refusal::NotYetValid));
        check_times(r#"{"exp":2000,"nbf":1000}"#, 1000.0, 0, Ok(()));
        check_times(r#"{"exp":2000,"nbf":1000}"#, 970.0, 30, Ok(()));
        check_times(r#"{"exp":2000,"nbf":1000}"#, 969.0, 30, Err(Refusal::NotYetValid));
    }

    #[test]
    fn times_that_are_no_numbers() {
        check_times("{}", 0.0, 0, Err(Refusal::MissingExpiry));
        for exp in [r#""9999999999""#, "null", "true", "[9999999999]", "{}"] {
            let claims = format!(r#"{{"exp":{exp}}}"#);
            check_times(&claims, 0.0, 0, Err(Refusal::MalformedTimes));
        }
        check_times(r#"{"exp":9,"nbf":"1"}"#, 5.0, 0, Err(Refusal::MalformedTimes));
        check_times(r#"{"exp":9,"nbf":null}"#, 5.0, 0, Err(Refusal::MalformedTimes));
    }

    #[test]
    fn a_clock_before_1970_expires_everything() {
        let times = Times::of(&members(r#"{"exp":1e300}"#)).unwrap();
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(times.check(before, Duration::ZERO), Err(Refusal::Expired));
    }

    #[test]
    fn no_name_stands_twice() {
        for json in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, "[]", "1", "{}x", r#"{"a":1e400}"#]
        {
            assert!(serde_json::from_str::<Members>(json).is_err(), "{json}");
        }
    }
}
