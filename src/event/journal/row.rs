//! Reading what `rusqlite` has no type for.

use rusqlite::Row;
use rusqlite::types::Type;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::Causation;
use super::moment;

pub(crate) fn uuid(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(row, column, error))
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<OffsetDateTime> {
    row.get(column).map(moment::from_file)
}

pub(crate) fn time_if_any(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<OffsetDateTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(moment::from_file))
}

/// What caused a write or an event, where it was a run.
pub(crate) fn causation(row: &Row<'_>) -> rusqlite::Result<Option<Causation>> {
    let Some(run) = row.get::<_, Option<String>>("cause_run")? else { return Ok(None) };
    let run = run.parse().map_err(|error| unreadable(row, "cause_run", error))?;
    Ok(Some(Causation { run, depth: row.get("cause_depth")? }))
}

pub(crate) fn json(row: &Row<'_>, column: &str) -> rusqlite::Result<Box<RawValue>> {
    let text: String = row.get(column)?;
    RawValue::from_string(text).map_err(|error| unreadable(row, column, error))
}

pub(crate) fn unreadable(
    row: &Row<'_>,
    column: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}
