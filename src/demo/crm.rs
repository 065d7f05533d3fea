//! A small but honest CRM behind HTTP: leads, contacts, deals, accounts, activities.
//!
//! It speaks as a Django REST application does and has no field permissions: whoever is one of its
//! [`PEOPLE`], by session, password, API key or one of the [`TOKENS`], reads and writes everything. It knows nothing of Fieldgate. Its records live in
//! memory, are the same at every start, and belong to nobody: all persons are invented.
//!
//! Refuses requests of nobody it knows, and whatever the CRM's own rules forbid. Logs nothing.

mod debug_page;
mod filter;
mod lookup;
mod number;
mod page;
mod people;
mod query;
mod refusal;
mod routes;
mod schema;
mod seed;
mod table;
mod validate;
mod value;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use axum::Router;
use http::{HeaderMap, Method};
use tokio::net::TcpListener;

pub use number::Number;
pub use people::{PEOPLE, Person};
pub use value::{MAX_DEPTH, Malformed, Value};

use people::Accounts;
use schema::{SCHEMAS, Schema};
use table::Table;

/// The bearer tokens that the CRM knows. To the CRM they are all the same.
pub const TOKENS: [&str; 5] =
    ["demo-admin", "demo-sales_rep", "demo-marketing", "demo-finance", "demo-support"];

/// How many request heads are remembered; older ones are forgotten.
const REMEMBERED_REQUESTS: usize = 1_000;

/// The CRM: its records and the requests it saw last.
pub struct Crm {
    tables: RwLock<Vec<Table>>,
    requests: Mutex<VecDeque<RequestHead>>,
    accounts: Accounts,
}

/// Shows no record and no header.
impl fmt::Debug for Crm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Crm").finish_non_exhaustive()
    }
}

/// The head of a request as the CRM received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Path and query as they stood in the request line.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Crm {
    /// The CRM with its 200 records: 60 leads, 40 contacts, 40 deals, 20 accounts, 40 activities.
    #[must_use]
    pub fn seeded() -> Self {
        Self::holding(seed::all)
    }

    /// A CRM with that many leads of about 1 KB each, and nothing else.
    #[must_use]
    pub fn with_leads(count: u64) -> Self {
        Self::holding(|schema| match schema.collection {
            "leads" => (1..=count).map(seed::lead).collect(),
            _ => Vec::new(),
        })
    }

    fn holding(seeds: impl Fn(&Schema) -> Vec<Value>) -> Self {
        let tables = SCHEMAS.iter().map(|schema| Table::new(schema, seeds(schema).into_iter()));
        Self {
            tables: RwLock::new(tables.collect()),
            requests: Mutex::default(),
            accounts: Accounts::default(),
        }
    }

    /// A record as it is now; the collection is named as in paths, such as `leads`.
    #[must_use]
    pub fn record(&self, collection: &str, id: u64) -> Option<Value> {
        table_in(&self.read(), collection)?.get(id).cloned()
    }

    /// All records of a collection, by id; empty where there is no such collection.
    #[must_use]
    pub fn records(&self, collection: &str) -> Vec<Value> {
        let tables = self.read();
        table_in(&tables, collection).into_iter().flat_map(Table::iter).cloned().collect()
    }

    /// The heads of the last requests, oldest first, whatever was answered.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestHead> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }

    fn remember(&self, head: RequestHead) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REMEMBERED_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(head);
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Table>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn table_in<'a>(tables: &'a [Table], collection: &str) -> Option<&'a Table> {
    tables.iter().find(|table| table.schema().collection == collection)
}

/// The CRM as an axum router, for whoever brings a server.
pub fn router(crm: Arc<Crm>) -> Router {
    routes::router(crm)
}

/// Serves the CRM until `shutdown` ends; requests under way are answered first.
pub async fn serve(
    listener: TcpListener,
    crm: Arc<Crm>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(crm)).with_graceful_shutdown(shutdown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_requests_are_remembered() {
        let crm = Crm::with_leads(0);
        for number in 0..=REMEMBERED_REQUESTS {
            crm.remember(RequestHead {
                method: Method::GET,
                target: format!("/{number}"),
                headers: HeaderMap::new(),
            });
        }
        let seen = crm.requests();
        assert_eq!(seen.len(), REMEMBERED_REQUESTS);
        assert_eq!(seen[0].target, "/1");
    }
}
