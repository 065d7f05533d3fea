//! Deals: money, stages, and the persons on the other side.

use super::{LEADS, Value, account_reference, contact_reference, day, moment, owner, pick};
use crate::demo::crm::schema::STAGES;

pub(super) fn deal(id: u64) -> Value {
    let stage = STAGES.get(usize::try_from(id).unwrap_or_default() % STAGES.len());
    let discount = match id % 3 {
        0 => Value::Null,
        1 => Value::text(""),
        _ => Value::text(format!("D-{id:05}: matched a rival’s offer; board agreed.")),
    };
    let lost_reason = match stage {
        Some(&"lost") => Value::text(pick(REASONS, id)),
        Some(_) | None => Value::Null,
    };
    Value::object([
        ("id", Value::number(id)),
        ("name", Value::text(format!("{} – {}", super::company(1 + id % 20), pick(WORK, id)))),
        ("amount", Value::number(format!("{}.{:02}", 5_000 + id * 1_234, id * 10 % 100))),
        ("currency", Value::text(pick(["EUR", "USD", "JPY", "PLN"], id))),
        ("stage", stage.map_or(Value::Null, |stage| Value::text(*stage))),
        ("probability", Value::number(id * 13 % 101)),
        ("expected_close_date", Value::text(day(300_000 + id * 1_500))),
        ("margin", Value::number(format!("0.{:03}", 100 + id * 7))),
        ("contact", if id % 9 == 7 { Value::Null } else { contact_reference(id) }),
        (
            "lead",
            if id.is_multiple_of(5) { Value::Null } else { Value::number(1 + id * 3 % LEADS) },
        ),
        ("account", account_reference(id)),
        ("owner", owner(id + 3)),
        ("discount_reason", discount),
        ("lost_reason", lost_reason),
        ("line_items", line_items(id)),
        ("created_at", Value::text(moment(id * 307))),
        ("updated_at", Value::text(moment(id * 307 + 4_320))),
    ])
}

const WORK: [&str; 5] = ["renewal", "Pilotprojekt", "第二期", "licences & support", "expansión"];

const REASONS: [&str; 3] = ["price", "Wettbewerber", "no budget this year"];

fn line_items(id: u64) -> Value {
    let items = (1..=id % 4).map(|line| {
        Value::object([
            ("sku", Value::text(format!("SKU-{id:03}-{line}"))),
            ("quantity", Value::number(line * 5)),
            ("price", Value::number(format!("{}.90", 19 + line * 10))),
            ("options", Value::Object(Vec::new())),
        ])
    });
    Value::List(items.collect())
}
