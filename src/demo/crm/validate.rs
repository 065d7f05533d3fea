//! A request body against a schema: what may be stored, or what Django REST would say of it.
//!
//! Pure. Ignores members that no field has and members that only the server writes.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};

use super::number::Number;
use super::schema::{Field, Kind, Schema, Write};
use super::value::Value;

/// How a body meets the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// A new record; what is missing becomes its preset or `null`.
    Create,
    /// A full update: what is missing becomes `null`.
    Replace,
    /// A partial update: what is missing stays.
    Patch,
}

/// The members to store, checked.
pub(super) type Checked = Vec<(&'static str, Value)>;

/// Messages by field name, as the 400 body shows them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(pub(super) Vec<(&'static str, String)>);

/// Checks a whole body; reports every field at fault.
pub(super) fn check_body(
    schema: &'static Schema,
    body: &Value,
    update: Update,
) -> Result<Checked, Invalid> {
    if !matches!(body, Value::Object(_)) {
        let got = python_type(body);
        let message = format!("Invalid data. Expected a dictionary, but got {got}.");
        return Err(Invalid(vec![("non_field_errors", message)]));
    }
    let mut checked = Vec::new();
    let mut faults = Vec::new();
    for field in schema.fields.iter().filter(|field| field.write != Write::Server) {
        let outcome = match (body.get(field.name), update, field.write) {
            (Some(value), _, _) => check_value(field, value),
            (None, Update::Patch, _) => continue,
            (None, _, Write::Required) => Err("This field is required.".to_owned()),
            (None, Update::Create, Write::Preset(word)) => Ok(Value::text(word)),
            (None, _, Write::Server | Write::Optional | Write::Preset(_)) => Ok(Value::Null),
        };
        match outcome {
            Ok(value) => checked.push((field.name, value)),
            Err(message) => faults.push((field.name, message)),
        }
    }
    if faults.is_empty() { Ok(checked) } else { Err(Invalid(faults)) }
}

fn check_value(field: &Field, value: &Value) -> Result<Value, String> {
    if *value == Value::Null {
        return match field.write {
            Write::Required => Err("This field may not be null.".to_owned()),
            Write::Server | Write::Optional | Write::Preset(_) => Ok(Value::Null),
        };
    }
    match field.kind {
        Kind::Text => match (text_of(value)?, field.write) {
            (text, Write::Required) if text.trim().is_empty() => {
                Err("This field may not be blank.".to_owned())
            }
            (text, _) => Ok(Value::Text(text)),
        },
        Kind::Email => match text_of(value)? {
            text if text.is_empty() || is_email(&text) => Ok(Value::Text(text)),
            _ => Err("Enter a valid email address.".to_owned()),
        },
        Kind::Choice(words) => check_choice(words, value),
        Kind::Integer => number_of(value)
            .filter(Number::is_whole)
            .map(Value::Number)
            .ok_or_else(|| "A valid integer is required.".to_owned()),
        Kind::Decimal => number_of(value)
            .map(Value::Number)
            .ok_or_else(|| "A valid number is required.".to_owned()),
        Kind::Boolean => match value {
            Value::Bool(_) => Ok(value.clone()),
            _ => Err("Must be a valid boolean.".to_owned()),
        },
        Kind::Date => {
            match value {
                Value::Text(text) if Date::parse(text, &Iso8601::DATE).is_ok() => Ok(value.clone()),
                _ => Err("Date has wrong format. Use one of these formats instead: YYYY-MM-DD."
                    .to_owned()),
            }
        }
        Kind::Moment => match value {
            Value::Text(text) if OffsetDateTime::parse(text, &Rfc3339).is_ok() => Ok(value.clone()),
            _ => Err("Datetime has wrong format. Use one of these formats instead: \
                      YYYY-MM-DDThh:mm:ss[.uuuuuu][+HH:MM|-HH:MM|Z]."
                .to_owned()),
        },
        Kind::Object => match value {
            Value::Object(_) => Ok(value.clone()),
            other => Err(format!(
                "Expected a dictionary of items but got type \"{}\".",
                python_type(other)
            )),
        },
        Kind::List => match value {
            Value::List(_) => Ok(value.clone()),
            other => {
                Err(format!("Expected a list of items but got type \"{}\".", python_type(other)))
            }
        },
    }
}

/// One of the words, or a message that quotes what came instead, as Django REST does.
pub(super) fn check_choice(words: &[&str], value: &Value) -> Result<Value, String> {
    match value {
        Value::Text(text) if words.contains(&text.as_str()) => Ok(value.clone()),
        Value::Text(text) => Err(format!("\"{text}\" is not a valid choice.")),
        other => Err(format!("\"{other}\" is not a valid choice.")),
    }
}

/// Django REST takes a number for its digits, and nothing else for a string.
fn text_of(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.as_text().to_owned()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_) => {
            Err("Not a valid string.".to_owned())
        }
    }
}

/// A number, or a string that holds one.
fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::Text(text) => Number::parse(text.trim()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_) => None,
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let clean = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|c| c == '@' || c == ',' || c.is_whitespace() || c.is_control())
    };
    clean(local)
        && clean(domain)
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_whole() => "int",
        Value::Number(_) => "float",
        Value::Text(_) => "str",
        Value::List(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(collection: &str, body: &str, update: Update) -> Result<Checked, Invalid> {
        let schema = Schema::of(collection).unwrap();
        check_body(schema, &Value::parse(body.as_bytes()).unwrap(), update)
    }

    #[track_caller]
    fn check_fault(collection: &str, body: &str, field: &'static str, message: &str) {
        let faults = checked(collection, body, Update::Patch).unwrap_err();
        assert_eq!(faults, Invalid(vec![(field, message.to_owned())]));
    }

    #[track_caller]
    fn check_stored(collection: &str, body: &str, expected: &str) {
        let members = checked(collection, body, Update::Patch).unwrap();
        let members = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(Value::Object(members).to_string(), expected);
    }

    #[test]
    fn faults_are_worded_as_django_rest_words_them() {
        check_fault(
            "leads",
            "[]",
            "non_field_errors",
            "Invalid data. Expected a dictionary, but got list.",
        );
        check_fault("leads", r#"{"email":"a@b"}"#, "email", "Enter a valid email address.");
        check_fault("leads", r#"{"email":"a@@b.c"}"#, "email", "Enter a valid email address.");
        check_fault(
            "leads",
            r#"{"email":"jo**@example..com"}"#,
            "email",
            "Enter a valid email address.",
        );
        check_fault("leads", r#"{"title":true}"#, "title", "Not a valid string.");
        check_fault("leads", r#"{"last_name":null}"#, "last_name", "This field may not be null.");
        check_fault("leads", r#"{"last_name":" "}"#, "last_name", "This field may not be blank.");
        check_fault("leads", r#"{"status":"hot"}"#, "status", "\"hot\" is not a valid choice.");
        check_fault("leads", r#"{"budget":"[REDACTED]"}"#, "budget", "A valid number is required.");
        check_fault("leads", r#"{"score_hint":1.5}"#, "score_hint", "A valid integer is required.");
        check_fault(
            "leads",
            r#"{"tags":{}}"#,
            "tags",
            "Expected a list of items but got type \"dict\".",
        );
        check_fault(
            "leads",
            r#"{"owner":"x"}"#,
            "owner",
            "Expected a dictionary of items but got type \"str\".",
        );
        check_fault("contacts", r#"{"do_not_call":1}"#, "do_not_call", "Must be a valid boolean.");
        check_fault(
            "contacts",
            r#"{"date_of_birth":"1990-02-30"}"#,
            "date_of_birth",
            "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.",
        );
        check_fault(
            "activities",
            r#"{"at":"yesterday"}"#,
            "at",
            "Datetime has wrong format. Use one of these formats instead: \
             YYYY-MM-DDThh:mm:ss[.uuuuuu][+HH:MM|-HH:MM|Z].",
        );
    }

    #[test]
    fn values_are_stored_as_they_came() {
        check_stored("leads", r#"{"budget":1.10,"id":9,"nonsense":1}"#, r#"{"budget":1.10}"#);
        check_stored("leads", r#"{"budget":" 1.10 ","title":5}"#, r#"{"title":"5","budget":1.10}"#);
        check_stored(
            "leads",
            r#"{"email":"","owner":{"id":1e400}}"#,
            r#"{"email":"","owner":{"id":1e400}}"#,
        );
        check_stored(
            "contacts",
            r#"{"date_of_birth":"1990-02-28"}"#,
            r#"{"date_of_birth":"1990-02-28"}"#,
        );
    }

    #[test]
    fn what_is_missing_depends_on_the_update() {
        let required = Invalid(vec![("last_name", "This field is required.".to_owned())]);
        assert_eq!(checked("leads", "{}", Update::Create), Err(required));
        let body = r#"{"last_name":"Quispe"}"#;
        let status = |update| {
            let members = checked("leads", body, update).unwrap();
            members.into_iter().find(|(name, _)| *name == "status").map(|(_, value)| value)
        };
        assert_eq!(status(Update::Create), Some(Value::text("new")));
        assert_eq!(status(Update::Replace), Some(Value::Null));
        assert_eq!(status(Update::Patch), None);
    }

    #[test]
    fn every_fault_is_reported() {
        let body = r#"{"email":"x","budget":"y","last_name":""}"#;
        let Invalid(faults) = checked("leads", body, Update::Replace).unwrap_err();
        let names: Vec<_> = faults.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["last_name", "email", "budget"]);
    }
}
