//! Which records a list shows and in what order: field filters, `?search=`, `?ordering=`.
//!
//! Pure. Ignores what it does not know, as Django REST does; a value of the wrong type for a
//! numeric field is the one thing it cannot cope with, and that shows as a 500.

use std::cmp::Ordering;

use super::lookup::{Lookup, Operand};
use super::query::Query;
use super::schema::Schema;
use super::value::Value;

/// Parameters that name no field.
const RESERVED: [&str; 5] = ["page", "page_size", "search", "ordering", "format"];

/// A value that a numeric field cannot be compared with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongType {
    pub(super) field: String,
    pub(super) value: String,
}

/// What a list request asks for, page aside.
#[derive(Debug)]
pub(super) struct Selection {
    filters: Vec<Filter>,
    searched: Vec<&'static str>,
    terms: Vec<String>,
    ordering: Vec<SortKey>,
}

#[derive(Debug)]
struct Filter {
    path: Vec<String>,
    lookup: Lookup,
    operands: Vec<Operand>,
}

#[derive(Debug)]
struct SortKey {
    path: Vec<String>,
    descending: bool,
}

impl Selection {
    /// Reads the parameters of a list request.
    pub(super) fn parse(schema: &Schema, query: &Query) -> Result<Self, WrongType> {
        let mut filters = Vec::new();
        for (name, value) in query.iter().filter(|(name, _)| !RESERVED.contains(name)) {
            filters.extend(Filter::parse(schema, name, value)?);
        }
        let searchable = schema.fields.iter().filter(|field| field.kind.is_searched());
        let terms = query.last("search").unwrap_or_default();
        let ordering = query.last("ordering").unwrap_or_default();
        Ok(Self {
            filters,
            searched: searchable.map(|field| field.name).collect(),
            terms: terms
                .split([',', ' '])
                .filter(|t| !t.is_empty())
                .map(str::to_lowercase)
                .collect(),
            ordering: ordering.split(',').filter_map(|key| SortKey::parse(schema, key)).collect(),
        })
    }

    /// The records that are asked for, in the order asked for; by id where it leaves a choice.
    pub(super) fn apply<'a>(&self, by_id: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
        let mut chosen: Vec<&Value> = by_id.filter(|record| self.wants(record)).collect();
        if !self.ordering.is_empty() {
            chosen.sort_by(|left, right| self.order(left, right));
        }
        chosen
    }

    fn wants(&self, record: &Value) -> bool {
        self.filters.iter().all(|filter| filter.matches(record))
            && self.terms.iter().all(|term| self.mentions(record, term))
    }

    fn mentions(&self, record: &Value, term: &str) -> bool {
        let mut texts = self.searched.iter().filter_map(|name| record.get(name)?.as_text());
        texts.any(|text| text.to_lowercase().contains(term))
    }

    fn order(&self, left: &Value, right: &Value) -> Ordering {
        let orders = self.ordering.iter().map(|key| {
            let order = compare(first_at(left, &key.path), first_at(right, &key.path));
            if key.descending { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

impl Filter {
    /// `Ok(None)` for a name that is no filter, and for an empty value, which asks for nothing.
    fn parse(schema: &Schema, name: &str, value: &str) -> Result<Option<Self>, WrongType> {
        let mut path: Vec<&str> = name.split("__").collect();
        let lookup = match path.as_slice() {
            [_, .., last] => Lookup::from_word(last),
            [_] | [] => None,
        };
        if lookup.is_some() {
            path.pop();
        }
        let lookup = lookup.unwrap_or(Lookup::Exact);
        let Some(field) = path.first().and_then(|first| schema.field(first)) else {
            return Ok(None);
        };
        if value.is_empty() || (path.len() > 1 && !field.kind.is_nested()) {
            return Ok(None);
        }
        let operands: Vec<Operand> = match lookup {
            Lookup::In => value.split(',').map(Operand::new).collect(),
            _ => vec![Operand::new(value)],
        };
        let compares_numbers = field.kind.is_numeric() && lookup.needs_number();
        let wrong = operands.iter().find(|operand| compares_numbers && !operand.is_number());
        if let Some(wrong) = wrong {
            let value = wrong.text().to_owned();
            return Err(WrongType { field: field.name.to_owned(), value });
        }
        Ok(Some(Self { path: owned(&path), lookup, operands }))
    }

    fn matches(&self, record: &Value) -> bool {
        let mut found = Vec::new();
        collect(record, &self.path, &mut found);
        self.lookup.holds(&found, &self.operands)
    }
}

impl SortKey {
    fn parse(schema: &Schema, key: &str) -> Option<Self> {
        let key = key.trim();
        let (descending, name) = key.strip_prefix('-').map_or((false, key), |name| (true, name));
        let path: Vec<&str> = name.split("__").collect();
        let field = schema.field(path.first()?)?;
        let reachable = path.len() == 1 || field.kind.is_nested();
        reachable.then(|| Self { path: owned(&path), descending })
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&step| step.to_owned()).collect()
}

/// Every value at a path. A list is walked into, as a to-many relation is.
fn collect<'a>(value: &'a Value, path: &[String], found: &mut Vec<&'a Value>) {
    if let Value::List(items) = value {
        for item in items {
            collect(item, path, found);
        }
        return;
    }
    match path.split_first() {
        None => found.push(value),
        Some((step, rest)) => {
            if let Some(member) = value.get(step) {
                collect(member, rest, found);
            }
        }
    }
}

fn first_at<'a>(record: &'a Value, path: &[String]) -> &'a Value {
    let mut found = Vec::new();
    collect(record, path, &mut found);
    found.first().copied().unwrap_or(&Value::Null)
}

/// Nulls first, then booleans, numbers, texts; whatever else is left as it stands.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.compare(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (left, right) => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Text(_) => 3,
        Value::List(_) | Value::Object(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [&str; 4] = [
        r#"{"id":1,"last_name":"Quispe","email":"q1@example.com","budget":9.5,"owner":{"email":"o1@example.org"},"tags":["vip"],"emails":[{"value":"x@a"},{"value":"y@b"}]}"#,
        r#"{"id":2,"last_name":"Szabó","email":null,"budget":10,"owner":null,"tags":[],"emails":[]}"#,
        r#"{"id":3,"last_name":"Uzun","email":"u3@example.com","budget":1e400,"owner":{"email":"o1@example.org"},"tags":["vip","eu"],"emails":null}"#,
        r#"{"id":4,"last_name":"uzun","email":"U4@example.com","budget":null,"owner":{"email":"o2@example.org"},"tags":[],"emails":[{"value":"y@b"}]}"#,
    ];

    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        let records: Vec<_> =
            RECORDS.iter().map(|text| Value::parse(text.as_bytes()).unwrap()).collect();
        let schema = Schema::of("leads").unwrap();
        let selection = Selection::parse(schema, &Query::parse(query)).unwrap();
        let chosen: Vec<_> = selection
            .apply(records.iter())
            .into_iter()
            .map(|record| record.get("id").unwrap().to_string())
            .collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn fields_filter_and_unknown_names_do_not() {
        check("", &["1", "2", "3", "4"]);
        check("nonsense=1&nonsense__gt=2&email__nonsense=3&owner=", &["1", "2", "3", "4"]);
        check("last_name=Uzun", &["3"]);
        check("last_name__iexact=uzun", &["3", "4"]);
        check("email__startswith=u", &["3"]);
        check("email__isnull=true", &["2"]);
        check("budget__gt=9.5", &["2", "3"]);
        check("id__in=4,1", &["1", "4"]);
        check("id=1&id=2", &["2"]);
        check("last_name__icontains=u&budget__lte=10", &["1"]);
    }

    #[test]
    fn relations_and_lists_are_hopped_into() {
        check("owner__email=o1@example.org", &["1", "3"]);
        check("owner__email__endswith=2@example.org", &["4"]);
        check("owner__nonsense=x", &[]);
        check("owner__isnull=true", &["2"]);
        check("tags=eu", &["3"]);
        check("emails__value=y@b", &["1", "4"]);
    }

    #[test]
    fn search_wants_every_term_somewhere() {
        check("search=UZUN", &["3", "4"]);
        check("search=uzun+u3@", &["3"]);
        check("search=uzun,nobody", &[]);
    }

    #[test]
    fn ordering_is_stable_and_puts_nulls_first() {
        check("ordering=budget", &["4", "1", "2", "3"]);
        check("ordering=-budget", &["3", "2", "1", "4"]);
        check("ordering=owner__email,-id", &["2", "3", "1", "4"]);
        check("ordering=nonsense,-last_name", &["4", "3", "2", "1"]);
    }

    #[test]
    fn a_numeric_field_refuses_a_word() {
        let schema = Schema::of("leads").unwrap();
        for (query, field) in
            [("budget__gt=abc", "budget"), ("id__in=1,abc", "id"), ("id=abc", "id")]
        {
            let wrong = Selection::parse(schema, &Query::parse(query)).unwrap_err();
            assert_eq!(wrong, WrongType { field: field.to_owned(), value: "abc".to_owned() });
        }
        assert!(Selection::parse(schema, &Query::parse("budget__contains=abc")).is_ok());
    }
}
