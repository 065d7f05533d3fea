//! Who is told of a score, and how.

use http::HeaderName;
use time::Duration;

use crate::diagnostic::Finding;
use crate::policy::read::draft::Named;
use crate::policy::read::global::NEVER_LET_THROUGH;
use crate::policy::read::reader::Reader;
use crate::policy::scoring::ScoreApi;
use crate::score::{Disclosure, HeaderNames, ScoreHeader};
use crate::yaml::{Fields, Node, Value};

/// Most leads that the header of a list may be asked to name.
const MOST_LISTED: u64 = 500;

/// The longest of all durations.
const LONGEST: Duration = Duration::days(3650);

/// What the file says of telling, with the defaults where it says nothing.
pub(super) struct Telling {
    pub(super) headers: Option<HeaderNames>,
    pub(super) list_limit: usize,
    pub(super) member: Option<String>,
    pub(super) api: ScoreApi,
    pub(super) configure: Vec<Named>,
    pub(super) without_headers: Vec<Named>,
    pub(super) stale_after: Duration,
    pub(super) refresh_every: Duration,
    pub(super) retention: Duration,
    pub(super) roles: Vec<(Named, Disclosure)>,
}

impl Reader {
    pub(super) fn telling(&mut self, fields: &mut Fields<'_>) -> Telling {
        let headers = self.optional(fields, "headers").map(|node| self.headers(node));
        let list_limit = self.optional(fields, "list_limit");
        let list_limit =
            list_limit.and_then(|node| self.whole_number(node, "`list_limit`", MOST_LISTED));
        let member = self.optional(fields, "member").and_then(|node| self.score_member(node));
        let api = self.optional(fields, "api").and_then(|node| {
            let words =
                [("admin", ScoreApi::Admin), ("data", ScoreApi::Data), ("off", ScoreApi::Off)];
            self.word(node, "`api`", &words)
        });
        let mut some_roles = |name: &'static str| {
            let node = self.optional(fields, name);
            node.map(|node| self.some_roles(node, name)).unwrap_or_default()
        };
        let configure = some_roles("configure");
        let without_headers = some_roles("without_headers");
        let mut duration = |name, usual| {
            let node = self.optional(fields, name);
            node.and_then(|node| self.duration(node, &format!("`{name}`"))).unwrap_or(usual)
        };
        let stale_after = duration("stale_after", Duration::days(7));
        let refresh_every = duration("refresh_every", Duration::days(1));
        let retention = duration("retention", Duration::days(365));
        let roles = self.optional(fields, "roles").map(|node| self.disclosures(node));
        Telling {
            headers: headers.unwrap_or_else(|| Some(HeaderNames::default())),
            list_limit: list_limit.and_then(|limit| limit.try_into().ok()).unwrap_or(50),
            member,
            api: api.unwrap_or_default(),
            configure,
            without_headers,
            stale_after,
            refresh_every,
            retention,
            roles: roles.unwrap_or_default(),
        }
    }

    /// `headers:`, `off` or other names for some.
    fn headers(&mut self, node: &Node) -> Option<HeaderNames> {
        if is_off(node) {
            return None;
        }
        let mut names = HeaderNames::default();
        let mut fields = self.checker.map(node, "`headers`")?;
        for (word, _, header) in ScoreHeader::ALL {
            let Some(node) = self.optional(&mut fields, word) else { continue };
            let Some(text) = self.checker.text(node, "the name of a header") else { continue };
            let (message, label) = match text.parse::<HeaderName>() {
                Err(_) => {
                    (format!("`{text}` is no header name"), "not a token (RFC 9110, section 5.1)")
                }
                Ok(name) if NEVER_LET_THROUGH.contains(&name) => {
                    (format!("`{name}` has a meaning of its own"), "cannot tell of a score")
                }
                Ok(name) if names.rename(header, name.clone()) => continue,
                Ok(name) => {
                    (format!("`{name}` is a header of the score already"), "the second one")
                }
            };
            let finding = Finding::error("policy::bad_header", message)
                .label(label)
                .help("write one header name that nothing else has, such as `X-Lead-Heat`");
            self.report(finding, node.span);
        }
        fields.finish(&mut self.checker);
        Some(names)
    }

    /// `member:`, a name or `off`.
    fn score_member(&mut self, node: &Node) -> Option<String> {
        let text = self.checker.text(node, "`member`")?;
        if text == "off" {
            return None;
        }
        let is_name = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && text.starts_with(|first: char| !first.is_ascii_digit());
        if !is_name {
            let finding = Finding::error(
                "policy::bad_name",
                format!("`{text}` cannot name a member of a record"),
            )
            .label("choose another name")
            .help(
                "a name is 1 to 64 of `A-Z`, `a-z`, `0-9` and `_`, such as `_score`; `off` is none",
            );
            self.report(finding, node.span);
        }
        is_name.then(|| text.to_owned())
    }

    fn disclosures(&mut self, node: &Node) -> Vec<(Named, Disclosure)> {
        let Some(mut fields) = self.checker.map(node, "`roles`") else { return Vec::new() };
        let mut disclosures = Vec::new();
        for (key, node) in fields.take_rest() {
            let what = format!("what `{}` is told", key.name);
            let disclosure = self.word(node, &what, &Disclosure::ALL);
            let role = Named { name: key.name.clone(), origin: self.origin(key.span) };
            // Where the word is wrong, the role can still be.
            disclosures.push((role, disclosure.unwrap_or(Disclosure::Withhold)));
        }
        disclosures
    }

    /// A list of roles.
    fn some_roles(&mut self, node: &Node, name: &str) -> Vec<Named> {
        let list = self.checker.list(node, &format!("`{name}`"));
        let Some(nodes) = list else { return Vec::new() };
        let mut roles = Vec::new();
        for node in nodes {
            let Some(name) = self.checker.text(node, "a role") else { continue };
            roles.push(Named { name: name.to_owned(), origin: self.origin(node.span) });
        }
        roles
    }

    /// A whole number from 0 to `most`.
    pub(super) fn whole_number(&mut self, node: &Node, what: &str, most: u64) -> Option<u64> {
        let number = self.checker.count(node, what)?;
        if number > most {
            let finding =
                Finding::error("policy::bad_number", format!("{what} cannot be {number}"))
                    .label("too large")
                    .help(format!("write a whole number from 0 to {most}"));
            self.report(finding, node.span);
            return None;
        }
        Some(number)
    }

    /// A whole number with `m`, `h` or `d` behind it.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => {
                self.checker.wrong_kind(node, what, "a duration");
                return None;
            }
        };
        let duration = parse_duration(&text);
        if duration.is_none() {
            let finding =
                Finding::error("policy::bad_duration", format!("{what} cannot be `{text}`"))
                    .label("not a duration, or out of range")
                    .help("write a whole number and a unit, from one minute to ten years: `30m`, `24h` or `7d`");
            self.report(finding, node.span);
        }
        duration
    }
}

fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Text(text) if text == "off")
}

fn parse_duration(text: &str) -> Option<Duration> {
    let minutes =
        [("m", 1), ("h", 60), ("d", 24 * 60)].into_iter().find_map(|(unit, minutes)| {
            let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
            Some(i64::from(number) * minutes)
        })?;
    let duration = Duration::minutes(minutes);
    (Duration::MINUTE..=LONGEST).contains(&duration).then_some(duration)
}
