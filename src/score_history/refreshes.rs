//! How far a refresh has come, so that one that was ended half way goes on where it was.

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use time::OffsetDateTime;

use super::{ScoreHistory, milliseconds, moment};
use crate::store::StoreError;

/// Which leads a refresh is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshKind {
    /// Those whose score is old.
    Stale,
    /// All that the CRM lists.
    All,
}

impl RefreshKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stale, Self::All];

    /// The stable name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::All => "all",
        }
    }
}

/// The last refresh of one company's leads of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The company; empty where there is none.
    pub tenant: String,
    /// The resource.
    pub resource: String,
    /// Which leads.
    pub kind: RefreshKind,
    /// When it began.
    pub began: OffsetDateTime,
    /// When it came to its end.
    pub ended: Option<OffsetDateTime>,
    /// Where it goes on: the next page of the CRM's list.
    pub next: Option<String>,
    /// Leads so far.
    pub done: u64,
    /// Leads in all, where that is known.
    pub total: Option<u64>,
}

impl ScoreHistory {
    /// The last refresh of a company's leads of one kind.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn refresh_of(
        &self,
        tenant: &str,
        resource: &str,
    ) -> Result<Option<Refresh>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        let (tenant, resource) = (tenant.to_owned(), resource.to_owned());
        store.read(move |connection| get(connection, &tenant, &resource)).await
    }

    /// Keeps how far a refresh is. It is on disk when this returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_refresh(&self, refresh: Refresh) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        store.commit(move |transaction| put(transaction, &refresh)).await
    }
}

fn get(connection: &Connection, tenant: &str, resource: &str) -> rusqlite::Result<Option<Refresh>> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, began, ended, next, done, total FROM lead_score_refreshes
         WHERE tenant = ?1 AND resource = ?2",
    )?;
    let found = statement.query_row((tenant, resource), |row| {
        let kind: String = row.get(0)?;
        let kind = RefreshKind::ALL.into_iter().find(|known| known.word() == kind);
        let (began, ended): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
        let (next, done, total) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(kind.zip(moment(began)).map(|(kind, began)| Refresh {
            tenant: tenant.to_owned(),
            resource: resource.to_owned(),
            kind,
            began,
            ended: ended.and_then(moment),
            next,
            done,
            total,
        }))
    });
    Ok(found.optional()?.flatten())
}

fn put(transaction: &Transaction<'_>, refresh: &Refresh) -> rusqlite::Result<()> {
    let Refresh { tenant, resource, kind, began, ended, next, done, total } = refresh;
    let (began, ended) = (milliseconds(*began), ended.map(milliseconds));
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO lead_score_refreshes
                 (tenant, resource, kind, began, ended, next, done, total)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((tenant, resource, kind.word(), began, ended, next, done, total))?;
    Ok(())
}
