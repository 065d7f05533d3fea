//! The tables of the ledger.

use crate::store::Schema;

/// What is kept of each entry beside its text and hash is only there to find it: `verify` compares
/// it with the text.
pub const SCHEMA: Schema = Schema {
    name: "audit",
    steps: &["
        CREATE TABLE audit_entry (
            number INTEGER NOT NULL PRIMARY KEY,
            at INTEGER NOT NULL,
            subject TEXT,
            hash BLOB NOT NULL,
            entry TEXT NOT NULL
        ) STRICT;
        CREATE INDEX audit_entry_at ON audit_entry (at);
        CREATE INDEX audit_entry_subject ON audit_entry (subject, number);
        CREATE TABLE audit_object (
            number INTEGER NOT NULL,
            object TEXT NOT NULL,
            PRIMARY KEY (number, object)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX audit_object_object ON audit_object (object, number);
        CREATE TABLE audit_mark (
            kind TEXT NOT NULL,
            number INTEGER NOT NULL,
            hash BLOB NOT NULL,
            at INTEGER NOT NULL,
            key TEXT,
            signature BLOB,
            PRIMARY KEY (kind, number)
        ) STRICT, WITHOUT ROWID;
    "],
};
