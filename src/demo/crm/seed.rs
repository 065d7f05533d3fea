//! The records that the CRM starts with: rich, awkward and the same at every start.
//!
//! Pure. Personal values are unique to their person, so that a test can search for any of them.
//! Nobody is real: mail goes to `example.com` and `example.org`, phones are 555-01xx, social
//! security numbers are of the 900 range and account numbers carry check digits that no bank gives.

mod account;
mod activity;
mod contact;
mod deal;
mod lead;
mod person;

pub(super) use lead::lead;

use time::macros::{datetime, format_description};
use time::{Duration, OffsetDateTime};

use super::schema::Schema;
use super::value::Value;
use person::Person;

const LEADS: u64 = 60;
const CONTACTS: u64 = 40;
const DEALS: u64 = 40;
const ACCOUNTS: u64 = 20;
const ACTIVITIES: u64 = 40;

/// How many persons work for the company that runs the CRM.
const OWNERS: u64 = 8;

/// The seeds of a collection, in the order of their ids.
pub(super) fn all(schema: &Schema) -> Vec<Value> {
    let (count, make): (u64, fn(u64) -> Value) = match schema.collection {
        "leads" => (LEADS, lead::lead),
        "contacts" => (CONTACTS, contact::contact),
        "deals" => (DEALS, deal::deal),
        "accounts" => (ACCOUNTS, account::account),
        "activities" => (ACTIVITIES, activity::activity),
        _ => return Vec::new(),
    };
    (1..=count).map(make).collect()
}

/// The person behind a lead; even numbers.
fn lead_person(id: u64) -> Person {
    Person::numbered(2 * id)
}

/// Whoever signed a lead's consent; odd numbers.
fn signer(lead: u64) -> Person {
    Person::numbered(2 * lead + 1)
}

/// The person behind a contact. Contacts and participants never stand beside 5,000 leads.
fn contact_person(id: u64) -> Person {
    Person::numbered(200 + id)
}

/// Someone who took part in an activity and is nothing else.
fn participant(activity: u64) -> Person {
    Person::numbered(300 + activity)
}

/// A colleague as records show their owner.
fn owner(number: u64) -> Value {
    let id = 1 + number % OWNERS;
    let person = Person::numbered(70_000 + id);
    Value::object([
        ("id", Value::number(id)),
        ("name", Value::text(person.name())),
        ("email", Value::text(person.email("example.org"))),
        ("phone", Value::text(person.phone())),
    ])
}

/// The company of an account.
fn company(account: u64) -> String {
    const FIRST: [&str; 10] = [
        "Harbour",
        "Kestrel",
        "Müritz",
        "日の出",
        "Северный",
        "نخيل",
        "Atlas & Sons",
        "Blå",
        "Ñandú",
        "Quill",
    ];
    const SECOND: [&str; 7] =
        ["Logistics", "Optik GmbH", "商事", "Foods", "Analytics 🚀", "Textiles", "S.à r.l."];
    format!("{} {}", pick(FIRST, account), pick(SECOND, account / 10 + account))
}

/// An account as other records refer to it.
fn account_reference(number: u64) -> Value {
    let id = 1 + number % ACCOUNTS;
    Value::object([("id", Value::number(id)), ("name", Value::text(company(id)))])
}

/// A contact as other records refer to it.
fn contact_reference(number: u64) -> Value {
    let id = 1 + number % CONTACTS;
    let person = contact_person(id);
    Value::object([
        ("id", Value::number(id)),
        ("name", Value::text(person.name())),
        ("email", Value::text(person.email("example.org"))),
    ])
}

fn address(number: u64) -> Value {
    const STREETS: [&str; 8] = [
        "Rue de l’Église",
        "Große Gasse",
        "Calle Ñuñoa",
        "桜通り",
        "Вишнёвая ул.",
        "شارع الزيتون",
        "Mill Lane",
        "O'Hara Row",
    ];
    const CITIES: [(&str, &str); 6] = [
        ("Besançon", "FR"),
        ("Göttingen", "DE"),
        ("長野", "JP"),
        ("Cádiz", "ES"),
        ("Łódź", "PL"),
        ("Galway", "IE"),
    ];
    let (city, country) = pick(CITIES, number);
    Value::object([
        ("street", Value::text(format!("{} {}", number + 1, pick(STREETS, number)))),
        ("city", Value::text(city)),
        ("zip", Value::text(format!("{:05}", 1_000 + (number * 7) % 90_000))),
        ("country", Value::text(country)),
    ])
}

/// An account number that no bank gives: valid check digits are 02 to 98.
fn iban(number: u64) -> String {
    format!("DE00{:018}", 120_300_000_000_000_000 + number * 7_919)
}

/// The moment so many minutes after the company began.
fn moment(minutes: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    after(minutes).format(format).unwrap_or_default()
}

/// The day so many minutes after the company began.
fn day(minutes: u64) -> String {
    after(minutes).format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

fn after(minutes: u64) -> OffsetDateTime {
    let began = datetime!(2025-01-06 08:00 UTC);
    began.saturating_add(Duration::minutes(i64::try_from(minutes).unwrap_or_default()))
}

/// One of the options, in turn.
fn pick<T: Copy + Default, const N: usize>(options: [T; N], number: u64) -> T {
    let index = usize::try_from(number).unwrap_or_default() % N.max(1);
    options.get(index).copied().unwrap_or_default()
}

fn texts<const N: usize>(items: [&str; N]) -> Value {
    Value::List(items.map(Value::text).into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::demo::crm::schema::SCHEMAS;
    use crate::demo::crm::validate::{Update, check_body};

    #[test]
    fn there_are_two_hundred_records() {
        assert_eq!(SCHEMAS.iter().map(|schema| all(schema).len()).sum::<usize>(), 200);
    }

    #[test]
    fn seeds_obey_the_rules_of_the_crm() {
        for schema in &SCHEMAS {
            let fields: Vec<_> = schema.fields.iter().map(|field| field.name).collect();
            for (id, record) in (1_u64..).zip(all(schema)) {
                let Value::Object(members) = &record else { panic!("not an object") };
                let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, fields, "{} {id}", schema.collection);
                assert_eq!(record.get("id"), Some(&Value::number(id)));
                let stored = check_body(schema, &record, Update::Replace).unwrap();
                for (name, value) in stored {
                    assert_eq!(Some(&value), record.get(name), "{} {id}", schema.collection);
                }
            }
        }
    }

    /// The named texts of the records; an empty one belongs to nobody.
    fn texts_at(records: &[Value], paths: &[&str]) -> Vec<String> {
        let at = |record: &Value, path: &str| {
            let found = path.split('.').try_fold(record, |value, name| value.get(name));
            found.and_then(Value::as_text).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let pairs = records.iter().flat_map(|record| paths.iter().map(move |path| (record, path)));
        pairs.filter_map(|(record, path)| at(record, path)).collect()
    }

    #[track_caller]
    fn check_unique(records: &[Value], paths: &[&str]) {
        let mut seen = HashSet::new();
        for text in texts_at(records, paths) {
            assert!(seen.insert(text.clone()), "{text} again");
        }
        assert!(seen.len() > records.len());
    }

    #[test]
    fn personal_values_belong_to_one_record() {
        let lead_paths = ["email", "phone", "ssn", "internal_notes", "consent.signed_by.email"];
        check_unique(&(1..=5_000).map(lead).collect::<Vec<_>>(), &lead_paths);
        let records: Vec<Value> = SCHEMAS.iter().flat_map(all).collect();
        let other_paths = ["iban", "vat_number", "billing.iban", "billing.email"];
        check_unique(&records, &[lead_paths.as_slice(), &other_paths].concat());
    }

    #[test]
    fn awkward_values_are_there() {
        let all: String = SCHEMAS.iter().flat_map(all).map(|record| record.to_string()).collect();
        for awkward in [
            "9007199254740993",
            ":1.10",
            ":1e400",
            ":-0",
            ":1E+2",
            ":null",
            ":\"\"",
            ":[]",
            ":{}",
            "🦊",
            "明美",
            "نور",
            "נועה",
            "Zoë",
            "\\\"Nina\\\"",
            "\\r\\n\\t",
        ] {
            assert!(all.contains(awkward), "{awkward}");
        }
    }
}
