//! The claims of a token, or of what an issuer says of one: members that stand once, by strict rules.
//!
//! Refuses rather than converts: a string `exp` is no expiry, a number is no role.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::Principal;
use super::bounds::is_name;
use super::document::{Document, is_truthy};
use super::refusal::Refusal;
use super::role_names::RoleNames;
use crate::config::ClaimNames;

/// A JSON object in which no name stands twice.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads an object.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        match Document::parse(text)?.0 {
            Value::Object(members) => Some(Self(members)),
            _ => None,
        }
    }

    /// Whom the claims name.
    pub(super) fn principal(
        &self,
        names: &ClaimNames,
        roles: &RoleNames,
    ) -> Result<Principal, Refusal> {
        let subject = self.name(&names.subject).ok_or(Refusal::BadSubject)?;
        let tenant = match &names.tenant {
            None => None,
            Some(claim) => Some(self.name(claim).ok_or(Refusal::BadTenant)?),
        };
        let given = self.role_names(&names.roles, roles)?;
        let roles = roles.of(given, tenant.as_deref())?;
        Ok(Principal { subject, roles, tenant })
    }

    /// Whether the member is the literal `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Bool(true))
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
    fn name(&self, path: &str) -> Option<String> {
        name_of(find(&self.0, path)?)
    }

    /// The names of roles: a list of strings; an object, whose truthy members are meant; or one
    /// string, split at commas, and at spaces too where the piece is no name that the map has.
    fn role_names<'a>(&'a self, path: &str, map: &RoleNames) -> Result<Vec<&'a str>, Refusal> {
        match find(&self.0, path) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text
                .split(',')
                .flat_map(|piece| {
                    let whole = map.knows(piece.trim());
                    let (one, many) = if whole { (Some(piece.trim()), "") } else { (None, piece) };
                    one.into_iter().chain(many.split(' '))
                })
                .collect()),
            Some(Value::Array(list)) => {
                list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Refusal::BadRoles)
            }
            Some(Value::Object(members)) => Ok(truthy_names(members).collect()),
            Some(Value::Bool(_) | Value::Number(_)) => Err(Refusal::BadRoles),
        }
    }

    /// When the claims end to hold, where they say so.
    pub(super) fn expiry(&self) -> Result<Option<f64>, Refusal> {
        self.seconds("exp")
    }

    fn seconds(&self, name: &str) -> Result<Option<f64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Refusal::MalformedTimes),
        }
    }
}

/// A subject or tenant as JSON has it.
pub(super) fn name_of(value: &Value) -> Option<String> {
    let name = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return None,
    };
    is_name(&name).then_some(name)
}

/// The names of the members that are not empty, `false` or the like.
pub(super) fn truthy_names(members: &Map<String, Value>) -> impl Iterator<Item = &str> {
    members.iter().filter(|(_, value)| is_truthy(value)).map(|(name, _)| name.as_str())
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
        let expiry = claims.expiry()?.ok_or(Refusal::MissingExpiry)?;
        Ok(Self { expiry, not_before: claims.seconds("nbf")? })
    }

    /// As [`of`](Self::of), where an expiry is not needed.
    pub(super) fn if_any(claims: &Members) -> Result<Self, Refusal> {
        let expiry = claims.expiry()?.unwrap_or(f64::INFINITY);
        Ok(Self { expiry, not_before: claims.seconds("nbf")? })
    }

    /// How long they still hold at `now`.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        let now = now.duration_since(UNIX_EPOCH).map_or(f64::INFINITY, |now| now.as_secs_f64());
        Duration::try_from_secs_f64(self.expiry - now).unwrap_or(if self.expiry > now {
            Duration::MAX
        } else {
            Duration::ZERO
        })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn members(json: &str) -> Members {
        Members::parse(json.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check_roles(json: &str, path: &str, expected: Result<&[&str], Refusal>) {
        let expected =
            expected.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        let members = members(json);
        let roles = RoleNames::new(None);
        let found = members.role_names(path, &roles).and_then(|names| roles.of(names, None));
        assert_eq!(found, expected, "{path} in {json}");
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
        for roles in ["1", "true", r#"["a",1]"#, r#"["a",null]"#, r#"[["a"]]"#] {
            check_roles(&format!(r#"{{"roles":{roles}}}"#), "roles", Err(Refusal::BadRoles));
        }
    }

    #[test]
    fn roles_as_members_of_an_object() {
        check_roles(
            r#"{"flags":{"admin":true,"sales":1,"b":"x","no":false,"nil":null,"empty":{},"z":0}}"#,
            "flags",
            Ok(&["admin", "b", "sales"]),
        );
        check_roles(
            r#"{"urn:zitadel:roles":{"admin":{"2834":"example.com"},"gone":{}}}"#,
            "urn:zitadel:roles",
            Ok(&["admin"]),
        );
        check_roles(r#"{"roles":{}}"#, "roles", Ok(&[]));
    }

    proptest! {
        /// However names with dots are nested, the path that joins them finds the value.
        #[test]
        fn a_path_finds_what_it_was_made_from(
            names in prop::collection::vec("[a-z/:]{1,4}(\\.[a-z]{1,3}){0,2}", 1..5),
        ) {
            let mut value = json!("ann");
            for name in names.iter().rev() {
                value = json!({ name: value });
            }
            let text = value.to_string();
            let found = members(&text).name(&names.join("."));
            prop_assert_eq!(found.as_deref(), Some("ann"));
        }

        #[test]
        fn no_path_finds_what_is_not_there(
            path in "[a-d.]{0,12}",
            value in "\\PC{0,8}",
        ) {
            let document = json!({ "a": { "b": value, "c.d": 7 }, "b.c": [value] });
            let members = members(&document.to_string());
            if let Some(found) = members.name(&path) {
                prop_assert!((path == "a.b" && found == value) || (path == "a.c.d" && found == "7"));
            }
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
}
