//! The records of one collection and the four ways to write them.
//!
//! Pure: the time of a write is an argument. Refuses bodies that the schema does not allow and a
//! second record with a value that must be unique.

use std::collections::BTreeMap;

use super::schema::{STAGES, Schema, Write};
use super::validate::{Checked, Invalid, Update, check_body, check_choice};
use super::value::Value;

/// One collection. Ids are never given twice, even after a deletion.
#[derive(Debug)]
pub(super) struct Table {
    schema: &'static Schema,
    records: BTreeMap<u64, Value>,
    last_id: u64,
}

/// Why a write was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// No such record.
    Unknown,
    /// The schema does not allow the body.
    Invalid(Invalid),
    /// Another record has this value already.
    Duplicate { singular: &'static str, field: &'static str, value: String },
}

impl Table {
    /// A table with these records, numbered from one.
    pub(super) fn new(schema: &'static Schema, seeds: impl Iterator<Item = Value>) -> Self {
        let records: BTreeMap<u64, Value> = (1..).zip(seeds).collect();
        let last_id = records.last_key_value().map_or(0, |(id, _)| *id);
        Self { schema, records, last_id }
    }

    pub(super) fn schema(&self) -> &'static Schema {
        self.schema
    }

    pub(super) fn get(&self, id: u64) -> Option<&Value> {
        self.records.get(&id)
    }

    /// All records, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.records.values()
    }

    /// Stores a new record and returns its id with it.
    pub(super) fn create(&mut self, body: &Value, now: &str) -> Result<(u64, &Value), Rejected> {
        let checked = check_body(self.schema, body, Update::Create).map_err(Rejected::Invalid)?;
        self.refuse_duplicate(None, &checked)?;
        let id = self.last_id + 1;
        self.last_id = id;
        let mut members = checked.into_iter().peekable();
        let mut record = Value::Object(Vec::new());
        for field in self.schema.fields {
            let value = match field.write {
                Write::Server if field.name == "id" => Value::number(id),
                Write::Server => Value::text(now),
                Write::Required | Write::Optional | Write::Preset(_) => members
                    .next_if(|(name, _)| *name == field.name)
                    .map_or(Value::Null, |(_, value)| value),
            };
            record.set(field.name, value);
        }
        Ok((id, self.records.entry(id).or_insert(record)))
    }

    /// Writes a body over a record, wholly or partly.
    pub(super) fn update(
        &mut self,
        id: u64,
        body: &Value,
        update: Update,
        now: &str,
    ) -> Result<&Value, Rejected> {
        if !self.records.contains_key(&id) {
            return Err(Rejected::Unknown);
        }
        let checked = check_body(self.schema, body, update).map_err(Rejected::Invalid)?;
        self.refuse_duplicate(Some(id), &checked)?;
        self.write(id, checked, now)
    }

    /// Moves a deal to another stage.
    pub(super) fn change_stage(
        &mut self,
        id: u64,
        body: &Value,
        now: &str,
    ) -> Result<&Value, Rejected> {
        if !self.records.contains_key(&id) {
            return Err(Rejected::Unknown);
        }
        let stage = body.get("stage").ok_or_else(|| "This field is required.".to_owned());
        let stage = stage
            .and_then(|stage| check_choice(STAGES, stage))
            .map_err(|message| Rejected::Invalid(Invalid(vec![("stage", message)])))?;
        self.write(id, vec![("stage", stage)], now)
    }

    /// Forgets a record.
    pub(super) fn delete(&mut self, id: u64) -> Result<(), Rejected> {
        self.records.remove(&id).map(|_| ()).ok_or(Rejected::Unknown)
    }

    fn write(&mut self, id: u64, checked: Checked, now: &str) -> Result<&Value, Rejected> {
        let record = self.records.get_mut(&id).ok_or(Rejected::Unknown)?;
        for (name, value) in checked {
            record.set(name, value);
        }
        record.set("updated_at", Value::text(now));
        Ok(record)
    }

    fn refuse_duplicate(&self, own: Option<u64>, checked: &Checked) -> Result<(), Rejected> {
        let Some(field) = self.schema.unique else { return Ok(()) };
        let wanted = checked.iter().find(|(name, _)| *name == field);
        let Some(value) = wanted.and_then(|(_, value)| value.as_text()) else { return Ok(()) };
        let folded = value.to_lowercase();
        let taken = self.records.iter().any(|(id, record)| {
            let held = record.get(field).and_then(Value::as_text);
            Some(*id) != own
                && !folded.is_empty()
                && held.is_some_and(|h| h.to_lowercase() == folded)
        });
        let singular = self.schema.singular;
        if taken {
            Err(Rejected::Duplicate { singular, field, value: value.to_owned() })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn value(text: &str) -> Value {
        Value::parse(text.as_bytes()).unwrap()
    }

    fn leads() -> Table {
        let seeds = [
            r#"{"id":1,"last_name":"Quispe","email":"q1@example.com","ssn":"900-01-1000","updated_at":"then"}"#,
            r#"{"id":2,"last_name":"Szabó","email":"s2@example.com","ssn":"901-01-1000","updated_at":"then"}"#,
        ];
        Table::new(Schema::of("leads").unwrap(), seeds.into_iter().map(value))
    }

    #[test]
    fn a_new_record_has_every_field_in_order() {
        let mut table = leads();
        let (id, record) =
            table.create(&value(r#"{"budget":1.10,"last_name":"Uzun"}"#), NOW).unwrap();
        assert_eq!(id, 3);
        let Value::Object(members) = record else { panic!("not an object") };
        let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<_> =
            Schema::of("leads").unwrap().fields.iter().map(|field| field.name).collect();
        assert_eq!(names, expected);
        for (name, shown) in
            [("id", "3"), ("budget", "1.10"), ("email", "null"), ("status", "\"new\"")]
        {
            assert_eq!(record.get(name).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_id_is_not_given_twice() {
        let mut table = leads();
        table.delete(2).unwrap();
        assert_eq!(table.delete(2), Err(Rejected::Unknown));
        let (id, _) = table.create(&value(r#"{"last_name":"Uzun"}"#), NOW).unwrap();
        assert_eq!(id, 3);
    }

    #[test]
    fn a_full_update_empties_what_it_does_not_name() {
        let mut table = leads();
        let body = value(r#"{"last_name":"Uzun"}"#);
        let record = table.update(1, &body, Update::Replace, NOW).unwrap();
        assert_eq!(record.get("ssn"), Some(&Value::Null));
        assert_eq!(record.get("id").unwrap().to_string(), "1");
        assert_eq!(record.get("updated_at").unwrap().as_text(), Some(NOW));
    }

    #[test]
    fn a_partial_update_leaves_what_it_does_not_name() {
        let mut table = leads();
        let record =
            table.update(1, &value(r#"{"last_name":"Uzun"}"#), Update::Patch, NOW).unwrap();
        assert_eq!(record.get("ssn").unwrap().as_text(), Some("900-01-1000"));
        assert_eq!(record.get("last_name").unwrap().as_text(), Some("Uzun"));
    }

    #[test]
    fn an_address_belongs_to_one_lead() {
        let mut table = leads();
        let body = value(r#"{"last_name":"Uzun","email":"Q1@example.com"}"#);
        let duplicate = Rejected::Duplicate {
            singular: "lead",
            field: "email",
            value: "Q1@example.com".to_owned(),
        };
        assert_eq!(table.create(&body, NOW).unwrap_err(), duplicate);
        assert_eq!(table.update(2, &body, Update::Patch, NOW).unwrap_err(), duplicate);
        assert!(table.update(1, &body, Update::Replace, NOW).is_ok());
    }
}
