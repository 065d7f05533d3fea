//! Contacts: persons at accounts.

use super::{Value, account_reference, address, contact_person, day, iban, moment, owner, pick};

pub(super) fn contact(id: u64) -> Value {
    let person = contact_person(id);
    let second_address = Value::text(person.private_email());
    let secondary = if id.is_multiple_of(3) { Vec::new() } else { vec![second_address] };
    let born = format!("{}-{:02}-{:02}", 1950 + id, 1 + id % 12, 1 + id * 5 % 28);
    Value::object([
        ("id", Value::number(id)),
        ("first_name", Value::text(person.first_name())),
        ("last_name", Value::text(person.last_name())),
        ("email", Value::text(person.email("example.org"))),
        ("secondary_emails", Value::List(secondary)),
        ("phone", Value::text(person.phone())),
        ("title", Value::text(pick(["Buyer", "", "Comptable", "Ответственный"], id))),
        ("date_of_birth", Value::text(born)),
        ("iban", Value::text(iban(id))),
        ("do_not_call", Value::Bool(id % 4 == 1)),
        ("account", if id % 13 == 12 { Value::Null } else { account_reference(id) }),
        ("owner", owner(id)),
        ("address", address(500 + id)),
        ("custom_fields", custom_fields(id)),
        ("internal_notes", Value::text(format!("Ref C-{id:05}: pays late, stays friendly."))),
        ("created_at", Value::text(moment(id * 211))),
        ("updated_at", Value::text(moment(id * 211 + 2_880))),
    ])
}

fn custom_fields(id: u64) -> Value {
    match id % 3 {
        0 => Value::Object(Vec::new()),
        _ => Value::object([
            ("birthday_card", Value::Bool(true)),
            ("last_order", Value::text(day(id * 3_000))),
            ("discount", Value::number("0.050")),
        ]),
    }
}
