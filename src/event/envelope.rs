//! A message as a `CloudEvent` 1.0: as structured JSON, or as attributes for headers.
//!
//! Pure: no clock, no I/O. What is not known is left out, never filled in.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::Message;

/// The media type of a structured event.
pub const STRUCTURED_TYPE: &str = "application/cloudevents+json";

/// The media type of `data`.
pub const DATA_TYPE: &str = "application/json";

/// The attribute that a header of another name carries in binary mode.
const CONTENT_TYPE_ATTRIBUTE: &str = "datacontenttype";

/// What the HTTP binding encodes beside everything that is not printable ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The attributes of `message` in the order in which they are written.
#[must_use]
pub fn attributes(message: &Message) -> Vec<(&'static str, String)> {
    // A time that RFC 3339 cannot say (a year behind 9999) is one of the things not known.
    let time = message.time.format(&Rfc3339).ok();
    // The extension wants an order of texts; 20 digits hold every number.
    let sequence = message.sequence.map(|sequence| format!("{sequence:020}"));
    let all = [
        ("specversion", Some("1.0".to_owned())),
        ("id", Some(message.id.to_string())),
        ("source", Some(message.source.clone())),
        ("type", Some(message.event_type.clone())),
        ("subject", message.subject()),
        ("time", time),
        (CONTENT_TYPE_ATTRIBUTE, Some(DATA_TYPE.to_owned())),
        ("correlationid", Some(message.correlation_id.clone())),
        ("traceparent", message.traceparent.clone()),
        ("tenant", message.tenant.clone()),
        ("actor", message.actor.clone()),
        ("policyrevision", Some(message.policy_revision.clone())),
        ("sequence", sequence),
        ("causationid", message.causation.map(|causation| causation.run.to_string())),
        ("causationdepth", message.causation.map(|causation| causation.depth.to_string())),
    ];
    let said = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    said.filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, without_controls(value)))
        .collect()
}

/// The whole event as one JSON object on one line.
#[must_use]
pub fn structured(message: &Message) -> Vec<u8> {
    let data = message.data.get();
    let mut out = Vec::with_capacity(data.len() + 512);
    out.push(b'{');
    for (name, value) in attributes(message) {
        out.extend_from_slice(format!("\"{name}\":{},", Value::String(value)).as_bytes());
    }
    out.extend_from_slice(b"\"data\":");
    let start = out.len();
    out.extend_from_slice(data.as_bytes());
    // Between the tokens of JSON a line break is white space like any other, and in strings none
    // stands: so one line stays the same JSON.
    for byte in out.iter_mut().skip(start) {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.push(b'}');
    out
}

/// The headers of the binary mode: `ce-` and the attribute, its value percent-encoded. The content
/// type, [`DATA_TYPE`], has a header of its own.
#[must_use]
pub fn headers(message: &Message) -> Vec<(String, String)> {
    attributes(message)
        .into_iter()
        .filter(|(name, _)| *name != CONTENT_TYPE_ATTRIBUTE)
        .map(|(name, value)| {
            (format!("ce-{name}"), utf8_percent_encode(&value, ENCODED).to_string())
        })
        .collect()
}

/// Attributes are texts without control characters; what a record id may hold all the same is
/// shown as the character for what cannot be shown.
fn without_controls(value: String) -> String {
    if !value.chars().any(is_refused) {
        return value;
    }
    value.chars().map(|one| if is_refused(one) { '\u{fffd}' } else { one }).collect()
}

/// What the type String of `CloudEvents` does not hold.
fn is_refused(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use time::macros::datetime;
    use uuid::uuid;

    use super::*;

    /// A message in which everything is known.
    pub(crate) fn message() -> Message {
        Message {
            id: uuid!("0190a5c8-7e60-7cc3-98c8-dc0c0c07398f"),
            event_type: "deal.stage_changed".to_owned(),
            source: "https://crm.example.com".to_owned(),
            resource: "deal".to_owned(),
            record: Some("42".to_owned()),
            time: datetime!(2026-03-01 12:30:00.25 UTC),
            tenant: Some("acme".to_owned()),
            actor: Some("ann@acme.example".to_owned()),
            correlation_id: "req-1".to_owned(),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            policy_revision: "sha256:1b2c".to_owned(),
            sequence: Some(7),
            causation: None,
            data: data(r#"{"old_stage":"open","new_stage":"won","amount":10.50}"#),
        }
    }

    /// The same with nothing that may be unknown.
    fn bare() -> Message {
        Message {
            record: None,
            tenant: None,
            actor: None,
            traceparent: None,
            sequence: None,
            data: data("null"),
            ..message()
        }
    }

    fn data(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[track_caller]
    fn check_structured(message: &Message, expected: &str) {
        assert_eq!(String::from_utf8(structured(message)).unwrap(), expected);
    }

    #[test]
    fn structured_events_are_one_line_of_json() {
        check_structured(
            &message(),
            concat!(
                r#"{"specversion":"1.0","id":"0190a5c8-7e60-7cc3-98c8-dc0c0c07398f","#,
                r#""source":"https://crm.example.com","type":"deal.stage_changed","#,
                r#""subject":"deal/42","time":"2026-03-01T12:30:00.25Z","#,
                r#""datacontenttype":"application/json","correlationid":"req-1","#,
                r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
                r#""tenant":"acme","actor":"ann@acme.example","policyrevision":"sha256:1b2c","#,
                r#""sequence":"00000000000000000007","#,
                r#""data":{"old_stage":"open","new_stage":"won","amount":10.50}}"#
            ),
        );
        check_structured(
            &bare(),
            concat!(
                r#"{"specversion":"1.0","id":"0190a5c8-7e60-7cc3-98c8-dc0c0c07398f","#,
                r#""source":"https://crm.example.com","type":"deal.stage_changed","#,
                r#""time":"2026-03-01T12:30:00.25Z","datacontenttype":"application/json","#,
                r#""correlationid":"req-1","policyrevision":"sha256:1b2c","data":null}"#
            ),
        );
    }

    #[test]
    fn what_a_run_wrote_says_so() {
        let run = uuid!("0190a5c8-7e60-7cc3-98c8-dc0c0c073990");
        let causation = Some(crate::event::Causation { run, depth: 2 });
        let said = attributes(&Message { causation, ..message() });
        let said: Vec<_> = said.iter().filter(|(name, _)| name.starts_with("causation")).collect();
        let expect = [("causationid", run.to_string()), ("causationdepth", "2".to_owned())];
        assert_eq!(said, expect.iter().collect::<Vec<_>>());
    }

    #[test]
    fn headers_of_the_binary_mode() {
        let written: Vec<String> =
            headers(&message()).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            written,
            [
                "ce-specversion: 1.0",
                "ce-id: 0190a5c8-7e60-7cc3-98c8-dc0c0c07398f",
                "ce-source: https://crm.example.com",
                "ce-type: deal.stage_changed",
                "ce-subject: deal/42",
                "ce-time: 2026-03-01T12:30:00.25Z",
                "ce-correlationid: req-1",
                "ce-traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "ce-tenant: acme",
                "ce-actor: ann@acme.example",
                "ce-policyrevision: sha256:1b2c",
                "ce-sequence: 00000000000000000007",
            ]
        );
    }

    #[track_caller]
    fn check_actor(actor: &str, attribute: Option<&str>, header: Option<&str>) {
        let message = Message { actor: Some(actor.to_owned()), ..message() };
        let found = attributes(&message).into_iter().find(|(name, _)| *name == "actor");
        assert_eq!(found.map(|(_, value)| value).as_deref(), attribute, "{actor:?}");
        let found = headers(&message).into_iter().find(|(name, _)| name == "ce-actor");
        assert_eq!(found.map(|(_, value)| value).as_deref(), header, "{actor:?}");
    }

    #[test]
    fn values_are_encoded_as_the_binding_says() {
        check_actor("", None, None);
        check_actor("Ann Lee", Some("Ann Lee"), Some("Ann%20Lee"));
        check_actor("100%", Some("100%"), Some("100%25"));
        check_actor("\"Ann\"", Some("\"Ann\""), Some("%22Ann%22"));
        check_actor(
            "Euro \u{20ac} \u{1f600}",
            Some("Euro \u{20ac} \u{1f600}"),
            Some("Euro%20%E2%82%AC%20%F0%9F%98%80"),
        );
        check_actor("a\r\nb", Some("a\u{fffd}\u{fffd}b"), Some("a%EF%BF%BD%EF%BF%BDb"));
        check_actor(
            "a\u{7f}\u{85}\u{fdd0}\u{1fffe}b",
            Some("a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b"),
            Some("a%EF%BF%BD%EF%BF%BD%EF%BF%BD%EF%BF%BDb"),
        );
    }

    #[test]
    fn data_on_several_lines_stays_what_it_is() {
        let message = Message { data: data("{\n  \"a\":\r\n\"x\\ny\" }"), ..message() };
        let line = String::from_utf8(structured(&message)).unwrap();
        assert!(line.ends_with(r#""data":{   "a":  "x\ny" }}"#), "{line}");
    }

    proptest! {
        #[test]
        fn every_text_survives_or_is_marked(actor in any::<String>(), sequence in any::<u64>()) {
            let message =
                Message { actor: Some(actor.clone()), sequence: Some(sequence), ..message() };
            let line = structured(&message);
            prop_assert!(!line.contains(&b'\n'));
            let event: Value = serde_json::from_slice(&line).unwrap();
            let expected = without_controls(actor);
            prop_assert_eq!(event["actor"].as_str().unwrap_or(""), &expected);
            prop_assert_eq!(event["sequence"].as_str().unwrap().parse::<u64>(), Ok(sequence));
            for (name, value) in headers(&message) {
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
                let decoded = percent_encoding::percent_decode_str(&value).decode_utf8().unwrap();
                let name = name.trim_start_matches("ce-");
                prop_assert_eq!(event[name].as_str(), Some(decoded.as_ref()));
            }
        }

        #[test]
        fn sequences_are_ordered_as_texts(one in any::<u64>(), two in any::<u64>()) {
            let text = |sequence| {
                let message = Message { sequence: Some(sequence), ..message() };
                attributes(&message).pop().unwrap()
            };
            prop_assert_eq!(text(one).cmp(&text(two)), one.cmp(&two));
        }
    }
}
