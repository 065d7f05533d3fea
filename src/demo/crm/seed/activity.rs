//! Activities: what happened with a lead. Their free text repeats personal data, as it does in
//! every CRM.

use super::{LEADS, Value, lead_person, moment, participant, pick};

pub(super) fn activity(id: u64) -> Value {
    let lead = 1 + id % LEADS;
    let person = lead_person(lead);
    let body = match id % 4 {
        0 => format!("<p>Wrote to <a href=\"mailto:{0}\">{0}</a></p>", person.email("example.com")),
        1 => format!("Called {}; asked to mail {}.", person.phone(), person.email("example.com")),
        2 => format!("{} wants an offer.\r\n\tSend to {}", person.name(), person.private_email()),
        _ => String::new(),
    };
    let entry = |person: super::Person| {
        Value::object([
            ("name", Value::text(person.name())),
            ("email", Value::text(person.email("example.com"))),
            ("phone", Value::text(person.phone())),
        ])
    };
    let participants = match id % 5 {
        0 => Vec::new(),
        1 => vec![entry(participant(id))],
        _ => vec![entry(person), entry(participant(id))],
    };
    Value::object([
        ("id", Value::number(id)),
        ("type", Value::text(pick(["email", "call", "meeting", "note", "task"], id))),
        ("lead", Value::number(lead)),
        ("subject", Value::text(pick(["Angebot", "Follow-up ☎", "見積もり", "Re: \"terms\""], id))),
        ("body", Value::text(body)),
        ("at", Value::text(moment(50_000 + id * 401))),
        ("participants", Value::List(participants)),
        ("attachments", Value::List(Vec::new())),
        ("created_at", Value::text(moment(50_000 + id * 401))),
        ("updated_at", Value::text(moment(50_001 + id * 401))),
    ])
}
