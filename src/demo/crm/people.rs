//! Who may use the CRM: five people, and how each can show who they are.
//!
//! A bearer token, an API key, user and password, or a session. To the CRM they are all the same:
//! whoever is known reads and writes everything. Passwords and sessions live in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderValue, header};

use super::TOKENS;
use super::refusal::Refusal;
use super::value::Value;

/// The cookie that carries a session.
pub(super) const SESSION_COOKIE: &str = "sessionid";

/// The header that carries an API key.
const API_KEY: &str = "x-api-key";

/// Somebody whom the CRM knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// The name to log in with.
    pub username: &'static str,
    /// The group, as people in an office call it.
    pub group: &'static str,
    /// The bearer token. The first password is the same.
    pub token: &'static str,
    /// The value of `X-Api-Key`.
    pub api_key: &'static str,
}

/// Everybody, in the order of [`TOKENS`].
pub const PEOPLE: [Person; 5] = [
    person("ann", "CRM Admins", TOKENS[0], "key-ann-8f41"),
    person("sam", "Sales", TOKENS[1], "key-sam-2c97"),
    person("mia", "Marketing", TOKENS[2], "key-mia-d650"),
    person("fay", "Finance", TOKENS[3], "key-fay-13be"),
    person("sue", "Support", TOKENS[4], "key-sue-77a4"),
];

const fn person(
    username: &'static str,
    group: &'static str,
    token: &'static str,
    api_key: &'static str,
) -> Person {
    Person { username, group, token, api_key }
}

/// The company that everybody works for.
const COMPANY: &str = "demo";

impl Person {
    /// What the CRM says of somebody to themselves.
    pub(super) fn me(self) -> Value {
        let group = Value::object([("name", Value::text(self.group))]);
        let company = Value::object([("slug", Value::text(COMPANY))]);
        Value::object([
            ("username", Value::text(self.username)),
            ("groups", Value::List(vec![group])),
            ("company", company),
        ])
    }
}

/// Passwords and sessions as they are now.
#[derive(Default)]
pub(super) struct Accounts {
    changed: Mutex<HashMap<&'static str, String>>,
    sessions: Mutex<HashMap<String, Person>>,
}

impl Accounts {
    /// Who sends these headers. `Authorization` decides where it is there, then the key.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Person, Refusal> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            return self.by_authorization(value.to_str().unwrap_or_default());
        }
        if let Some(key) = headers.get(API_KEY) {
            let known =
                PEOPLE.into_iter().find(|person| person.api_key.as_bytes() == key.as_bytes());
            return known.ok_or(Refusal::UnknownToken);
        }
        let session = session_of(headers).ok_or(Refusal::Anonymous)?;
        lock(&self.sessions).get(&session).copied().ok_or(Refusal::Anonymous)
    }

    fn by_authorization(&self, value: &str) -> Result<Person, Refusal> {
        let (scheme, rest) = value.split_once(' ').ok_or(Refusal::Anonymous)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            let known = PEOPLE.into_iter().find(|person| person.token == rest.trim());
            return known.ok_or(Refusal::UnknownToken);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let pair = BASE64.decode(rest.trim().as_bytes()).ok();
            let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
            let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
            return pair
                .and_then(|(username, password)| self.by_password(username, password))
                .ok_or(Refusal::WrongPassword);
        }
        Err(Refusal::Anonymous)
    }

    fn by_password(&self, username: &str, password: &str) -> Option<Person> {
        let person = PEOPLE.into_iter().find(|person| person.username == username)?;
        let changed = lock(&self.changed);
        let own = changed.get(person.username).map_or(person.token, String::as_str);
        (own == password).then_some(person)
    }

    /// Begins a session; the cookie to send.
    pub(super) fn log_in(&self, body: &Value) -> Result<HeaderValue, Refusal> {
        let person = text(body, "username")
            .zip(text(body, "password"))
            .and_then(|(username, password)| self.by_password(username, password))
            .ok_or(Refusal::WrongPassword)?;
        let session = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let cookie = format!("{SESSION_COOKIE}={session}; HttpOnly; Path=/; SameSite=Lax");
        lock(&self.sessions).insert(session, person);
        HeaderValue::try_from(cookie).map_err(|_| Refusal::Anonymous)
    }

    /// Ends the session of these headers.
    pub(super) fn log_out(&self, headers: &HeaderMap) {
        if let Some(session) = session_of(headers) {
            lock(&self.sessions).remove(&session);
        }
    }

    /// Changes a password, and ends every session of its owner but the one that asks.
    pub(super) fn change_password(
        &self,
        person: Person,
        headers: &HeaderMap,
        body: &Value,
    ) -> Result<(), Refusal> {
        let old = text(body, "old_password").unwrap_or_default();
        let new = text(body, "new_password").filter(|new| !new.is_empty());
        let new = new.ok_or(Refusal::WrongPassword)?;
        self.by_password(person.username, old).ok_or(Refusal::WrongPassword)?;
        lock(&self.changed).insert(person.username, new.to_owned());
        let own = session_of(headers);
        lock(&self.sessions)
            .retain(|session, owner| *owner != person || Some(session) == own.as_ref());
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)?.as_text()
}

fn session_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION_COOKIE).then(|| value.to_owned())
    })
}
