//! Looking entries up: by caller, object, field and time.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::chain::Digest;
use super::entry::{AuditEntry, milliseconds};

/// What is looked for; everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Who asked.
    pub user: Option<String>,
    /// Of whom: `lead/42`.
    pub object: Option<String>,
    /// A field by its path, or by its last name alone.
    pub field: Option<String>,
    /// From this time on, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Before this time, in milliseconds since 1970.
    pub until: Option<i64>,
    /// Only entries behind this number.
    pub after: u64,
    /// Most entries found.
    pub limit: Option<usize>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Option<Digest>,
    /// The text that was hashed.
    pub text: String,
    /// What the text says; `None` where it was made unreadable.
    pub entry: Option<AuditEntry>,
}

/// Finds entries, oldest first.
///
/// # Errors
/// The store cannot be read.
pub fn query(connection: &Connection, wanted: &Query) -> rusqlite::Result<Vec<Stored>> {
    let mut found = Vec::new();
    each(connection, wanted, |stored| {
        found.push(stored);
        true
    })?;
    Ok(found)
}

/// Hands out entries one by one, oldest first, until `take` says that it is enough.
///
/// # Errors
/// The store cannot be read.
pub fn each(
    connection: &Connection,
    wanted: &Query,
    mut take: impl FnMut(Stored) -> bool,
) -> rusqlite::Result<()> {
    let (sql, values) = statement(wanted);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut left = wanted.limit.unwrap_or(usize::MAX);
    while let Some(row) = rows.next()? {
        if left == 0 {
            return Ok(());
        }
        let stored = read(row)?;
        if !wanted.field.as_deref().is_none_or(|field| speaks_of(&stored, field)) {
            continue;
        }
        left -= 1;
        if !take(stored) {
            return Ok(());
        }
    }
    Ok(())
}

/// The columns `number, hash, entry`.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let (hash, text): (Vec<u8>, String) = (row.get(1)?, row.get(2)?);
    let entry = AuditEntry::read(&text).ok();
    Ok(Stored { number: row.get(0)?, hash: Digest::from_slice(&hash), text, entry })
}

/// A time as people write it, in milliseconds since 1970: a date, a date with a time and a zone
/// (RFC 3339), or how long ago, as in `90m`, `12h` or `7d`.
#[must_use]
pub fn moment(text: &str, now: OffsetDateTime) -> Option<i64> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(milliseconds(moment));
    }
    if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Some(milliseconds(date.midnight().assume_utc()));
    }
    let unit = text.chars().last()?;
    let count: i64 = text.strip_suffix(unit)?.parse().ok().filter(|count| *count >= 0)?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return None,
    };
    let ago = count.checked_mul(minutes * 60_000)?;
    milliseconds(now).checked_sub(ago)
}

fn statement(wanted: &Query) -> (String, Vec<Value>) {
    let mut conditions = vec!["number > ?"];
    let mut values = vec![Value::from(i64::try_from(wanted.after).unwrap_or(i64::MAX))];
    if let Some(user) = &wanted.user {
        conditions.push("subject = ?");
        values.push(user.clone().into());
    }
    if let Some(object) = &wanted.object {
        conditions.push("number IN (SELECT number FROM audit_object WHERE object = ?)");
        values.push(object.clone().into());
    }
    if let Some(since) = wanted.since {
        conditions.push("at >= ?");
        values.push(since.into());
    }
    if let Some(until) = wanted.until {
        conditions.push("at < ?");
        values.push(until.into());
    }
    let sql = format!(
        "SELECT number, hash, entry FROM audit_entry WHERE {} ORDER BY number",
        conditions.join(" AND ")
    );
    (sql, values)
}

/// Whether an entry speaks of a field, by its path or by the last name of its path.
fn speaks_of(stored: &Stored, wanted: &str) -> bool {
    let fields = stored.entry.as_ref().map_or(&[][..], |entry| entry.fields.as_slice());
    fields.iter().any(|told| {
        let last =
            told.field.rsplit(['.', '$', '\'']).find(|name| !name.is_empty() && *name != "]");
        told.field == wanted || last == Some(wanted)
    })
}
