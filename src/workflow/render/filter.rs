//! What filters make of a value.

use std::borrow::Cow;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::condition::{Number, Value};
use crate::policy::workflow::template::Filter;

/// A date that is none. What stands there instead is nobody's to read: it may be a secret.
pub(super) struct NoDate;

pub(super) fn apply(filter: &Filter, value: Value<'static>) -> Result<Value<'static>, NoDate> {
    match (filter, value) {
        (Filter::Default(text), Value::Null) => Ok(Value::Text(Cow::Owned(text.clone()))),
        (Filter::Default(text), Value::Text(value)) if value.is_empty() => {
            Ok(Value::Text(Cow::Owned(text.clone())))
        }
        (Filter::Upper, Value::Text(text)) => Ok(Value::Text(Cow::Owned(text.to_uppercase()))),
        (Filter::Lower, Value::Text(text)) => Ok(Value::Text(Cow::Owned(text.to_lowercase()))),
        (Filter::Date(form), Value::Text(text)) => {
            let time = moment(&text).ok_or(NoDate)?;
            Ok(Value::Text(Cow::Owned(shown(time, form))))
        }
        // A date that is not there stays so; what is no text has no case and is no date.
        (Filter::Date(_), Value::Null) => Ok(Value::Null),
        (Filter::Date(_), _) => Err(NoDate),
        (Filter::Number, Value::Text(text)) => {
            // What is no number stays what it is: whoever gets it says what is wrong with it.
            let number = Number::parse(text.trim().to_owned());
            Ok(number.map_or(Value::Text(text), Value::Number))
        }
        (Filter::Default(_) | Filter::Upper | Filter::Lower | Filter::Number, value) => Ok(value),
    }
}

/// A date, a time without an offset (taken as UTC), or RFC 3339.
fn moment(text: &str) -> Option<PrimitiveDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(PrimitiveDateTime::new(time.date(), time.time()));
    }
    let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    let with_t = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let with_space = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let day = format_description!("[year]-[month]-[day]");
    PrimitiveDateTime::parse(seconds, &with_t)
        .or_else(|_| PrimitiveDateTime::parse(seconds, &with_space))
        .ok()
        .or_else(|| Date::parse(text, &day).ok().map(Date::midnight))
}

fn shown(time: PrimitiveDateTime, form: &str) -> String {
    let mut out = String::new();
    let mut characters = form.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let part = match characters.next() {
            Some('Y') => format!("{:04}", time.year()),
            Some('m') => format!("{:02}", u8::from(time.month())),
            Some('d') => format!("{:02}", time.day()),
            Some('H') => format!("{:02}", time.hour()),
            Some('M') => format!("{:02}", time.minute()),
            Some('S') => format!("{:02}", time.second()),
            // The grammar lets no other one by.
            Some(_) | None => String::new(),
        };
        out.push_str(&part);
    }
    out
}
