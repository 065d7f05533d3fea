//! Leads: about 1 KB of JSON each.

use super::{Value, address, lead_person, moment, owner, pick, signer, texts};

/// 2^53, which a double cannot count beyond.
const FIRST_EXTERNAL_ID: u64 = 9_007_199_254_740_992;

/// The lead with a number that no double holds.
const LEAD_WITH_HUGE_NUMBER: u64 = 42;

/// The lead of this id. Every so often a field is `null`, empty or missing its parts.
pub(in crate::demo::crm) fn lead(id: u64) -> Value {
    let person = lead_person(id);
    let email = if id % 20 == 13 { Value::Null } else { Value::text(person.email("example.com")) };
    let phone = if id % 12 == 5 { String::new() } else { person.phone() };
    let title = pick(["CTO", "Head of Purchasing", "", "Geschäftsführerin", "課長"], id);
    let notes = format!("Ref N-{id:05}: “hold” below {} %;\nnever quote by phone.", 5 + id % 20);
    let last_contacted =
        if id.is_multiple_of(4) { Value::Null } else { Value::text(moment(id * 97 + 20_000)) };
    Value::object([
        ("id", Value::number(id)),
        ("external_id", Value::number(FIRST_EXTERNAL_ID + id)),
        ("first_name", Value::text(person.first_name())),
        ("last_name", Value::text(person.last_name())),
        ("email", email),
        ("phone", Value::text(phone)),
        ("company_name", Value::text(super::company(id))),
        ("title", Value::text(title)),
        ("industry", pick_or_null(["software", "retail", "logistics", ""], id)),
        ("status", Value::text(pick(STATUSES, id))),
        ("source", Value::text(pick(["web", "referral", "trade fair", "cold call"], id))),
        ("ssn", Value::text(person.ssn())),
        ("annual_revenue", Value::number(format!("{}.{}0", 100_000 + id * 1_371, id % 10))),
        ("budget", Value::number(format!("{}.10", id * 250 + 1))),
        ("internal_notes", Value::text(notes)),
        ("score_hint", Value::number(id * 7 % 101)),
        ("owner", if id % 10 == 4 { Value::Null } else { owner(id) }),
        ("emails", emails(id)),
        ("address", address(id)),
        ("custom_fields", custom_fields(id)),
        ("tags", pick_tags(id)),
        ("engagement", engagement(id)),
        ("consent", consent(id)),
        ("created_at", Value::text(moment(id * 97))),
        ("updated_at", Value::text(moment(id * 97 + 1_440))),
        ("last_contacted_at", last_contacted),
    ])
}

const STATUSES: [&str; 6] = ["new", "contacted", "qualified", "unqualified", "converted", "lost"];

fn pick_or_null<const N: usize>(words: [&'static str; N], id: u64) -> Value {
    if id % 9 == 8 { Value::Null } else { Value::text(pick(words, id)) }
}

fn emails(id: u64) -> Value {
    let person = lead_person(id);
    let entry = |kind: &str, address: String| {
        Value::object([("type", Value::text(kind)), ("value", Value::text(address))])
    };
    let home = entry("home", person.private_email());
    match id % 7 {
        3 => Value::List(Vec::new()),
        5 => Value::List(vec![home]),
        _ => Value::List(vec![entry("work", person.email("example.com")), home]),
    }
}

fn custom_fields(id: u64) -> Value {
    if id % 8 == 6 {
        return Value::Object(Vec::new());
    }
    let preferences = Value::object([
        ("newsletter", Value::Bool(id.is_multiple_of(2))),
        ("topics", Value::List(Vec::new())),
    ]);
    let mut fields = Value::object([
        ("plan", Value::text(pick(["basic", "gold", "プラチナ"], id))),
        ("rate", Value::number("1.10")),
        ("balance", Value::number(pick(["-0", "0.00", "-12.50", "1E+2"], id))),
        ("loyalty_card", Value::text(format!("LC-{:08}", 30_000_000 + id * 13))),
        ("preferences", preferences),
    ]);
    if id == LEAD_WITH_HUGE_NUMBER {
        fields.set("lifetime_estimate", Value::number("1e400"));
    }
    fields
}

fn pick_tags(id: u64) -> Value {
    match id % 4 {
        0 => Value::List(Vec::new()),
        1 => texts(["vip", "müşteri"]),
        2 => texts(["eu"]),
        _ => texts(["🔥 hot", "", "follow/up"]),
    }
}

fn engagement(id: u64) -> Value {
    Value::object([
        ("email_opened", Value::Bool(id % 2 == 1)),
        ("link_clicked", Value::Bool(id % 3 == 1)),
        ("form_submitted", Value::Bool(id % 5 == 2)),
    ])
}

fn consent(id: u64) -> Value {
    let signer = signer(id);
    let signed_by = Value::object([
        ("name", Value::text(signer.name())),
        ("email", Value::text(signer.email("example.com"))),
    ]);
    Value::object([
        ("marketing", Value::Bool(!id.is_multiple_of(3))),
        ("signed_by", if id % 11 == 9 { Value::Null } else { signed_by }),
        ("signed_at", Value::text(moment(id * 97 + 60))),
    ])
}
