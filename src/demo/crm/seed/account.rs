//! Accounts: companies, how they are billed, and who works there.

use super::{
    CONTACTS, Value, account_reference, address, company, contact_reference, iban, moment, owner,
    pick,
};

pub(super) fn account(id: u64) -> Value {
    let billing = Value::object([
        ("iban", Value::text(iban(1_000 + id))),
        ("address", address(800 + id)),
        ("email", Value::text(format!("billing{id}@example.org"))),
    ]);
    let contacts = (1..=CONTACTS).filter(|contact| contact % 13 != 12 && 1 + contact % 20 == id);
    let parent = if id.is_multiple_of(4) { account_reference(id / 4) } else { Value::Null };
    let employees = if id == 20 { Value::number("4294967296") } else { Value::number(id * 37) };
    Value::object([
        ("id", Value::number(id)),
        ("name", Value::text(company(id))),
        ("vat_number", Value::text(format!("XX{:09}", 100_000_000 + id * 104_729))),
        ("website", Value::text(format!("https://account{id}.example.com/?a=1&b=2"))),
        ("industry", Value::text(pick(["retail", "", "Öffentlicher Dienst"], id))),
        ("billing", billing),
        ("annual_revenue", Value::number(format!("{}000000.00", id * 3))),
        ("employees", employees),
        ("parent", parent),
        ("contacts", Value::List(contacts.map(|contact| contact_reference(contact - 1)).collect())),
        ("owner", owner(id + 5)),
        ("created_at", Value::text(moment(id * 17))),
        ("updated_at", Value::text(moment(id * 17 + 600))),
    ])
}
