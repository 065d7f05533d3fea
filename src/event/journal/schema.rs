//! The journal's tables. Times are milliseconds since 1970.

use crate::store::Schema;

/// What [`Journal`](super::Journal) needs of a store.
pub const SCHEMA: Schema =
    Schema { name: "journal", steps: &[FIRST, FEWER_INDEXES, CAUSATION, CHEAPER_WRITES, SILENT] };

const FIRST: &str = "
    -- Watched writes. `outcome` is NULL from before the write is forwarded until its answer is known.
    CREATE TABLE journal_writes (
        id TEXT NOT NULL PRIMARY KEY,
        method TEXT NOT NULL,
        route TEXT NOT NULL,
        resource TEXT NOT NULL,
        record TEXT,
        tenant TEXT,
        actor TEXT,
        correlation_id TEXT NOT NULL,
        traceparent TEXT,
        policy_revision TEXT NOT NULL,
        time INTEGER NOT NULL,
        outcome TEXT CHECK (outcome IN ('answered', 'not_forwarded', 'unknown')),
        status INTEGER,
        closed INTEGER,
        CHECK ((outcome IS NULL) = (closed IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX journal_writes_open ON journal_writes (id) WHERE outcome IS NULL;
    CREATE INDEX journal_writes_time ON journal_writes (time);

    -- Records that events are about, and how many each has had. Never deleted: numbers go on.
    CREATE TABLE journal_subjects (
        id INTEGER NOT NULL PRIMARY KEY,
        tenant TEXT NOT NULL,
        resource TEXT NOT NULL,
        record TEXT NOT NULL,
        last INTEGER NOT NULL,
        UNIQUE (tenant, resource, record)
    ) STRICT;

    -- AUTOINCREMENT: a position is never used again, also after the last event was deleted.
    CREATE TABLE journal_events (
        position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL,
        resource TEXT NOT NULL,
        record TEXT,
        subject INTEGER REFERENCES journal_subjects,
        sequence INTEGER,
        time INTEGER NOT NULL,
        tenant TEXT,
        actor TEXT,
        correlation_id TEXT NOT NULL,
        traceparent TEXT,
        policy_revision TEXT NOT NULL,
        write TEXT NOT NULL REFERENCES journal_writes,
        bytes INTEGER NOT NULL,
        UNIQUE (subject, sequence)
    ) STRICT;
    CREATE INDEX journal_events_time ON journal_events (time);
    CREATE INDEX journal_events_type ON journal_events (type);
    CREATE INDEX journal_events_record ON journal_events (resource, record);
    CREATE INDEX journal_events_correlation ON journal_events (correlation_id);
    CREATE INDEX journal_events_write ON journal_events (write);

    -- How much there is, so that nobody has to count.
    CREATE TABLE journal_total (
        id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO journal_total (id, events, bytes) VALUES (1, 0, 0);
    CREATE TRIGGER journal_event_added AFTER INSERT ON journal_events BEGIN
        UPDATE journal_total SET events = events + 1, bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER journal_event_deleted AFTER DELETE ON journal_events BEGIN
        UPDATE journal_total SET events = events - 1, bytes = bytes - old.bytes;
    END;

    -- What an event says, as each role may see it.
    CREATE TABLE journal_views (
        position INTEGER NOT NULL REFERENCES journal_events ON DELETE CASCADE,
        role TEXT NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (position, role)
    ) STRICT, WITHOUT ROWID;

    -- The configured `source` of events, for the commands, which read no configuration.
    CREATE TABLE journal_source (
        only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
        source TEXT NOT NULL
    ) STRICT;

    CREATE TABLE journal_sinks (
        name TEXT NOT NULL PRIMARY KEY,
        role TEXT NOT NULL,
        -- Whether the configuration names it.
        is_active INTEGER NOT NULL,
        -- The last event that was there when the configuration stopped to name it.
        left_at INTEGER,
        -- When the receiver said that it wants no more.
        disabled INTEGER
    ) STRICT, WITHOUT ROWID;

    -- One event on its way to one sink. Only the first waiting one of a subject has a `due` time;
    -- the others get theirs when it is settled.
    CREATE TABLE journal_deliveries (
        position INTEGER NOT NULL REFERENCES journal_events ON DELETE CASCADE,
        sink TEXT NOT NULL REFERENCES journal_sinks,
        subject INTEGER,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
        attempts INTEGER NOT NULL,
        due INTEGER,
        failure TEXT,
        settled INTEGER,
        PRIMARY KEY (position, sink),
        CHECK (due IS NULL OR state = 'waiting')
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX journal_deliveries_due ON journal_deliveries (sink, due, position)
        WHERE due IS NOT NULL;
    CREATE INDEX journal_deliveries_waiting ON journal_deliveries (sink, subject, position)
        WHERE state = 'waiting';
    CREATE INDEX journal_deliveries_dead ON journal_deliveries (sink, position)
        WHERE state = 'dead';

    CREATE TABLE journal_attempts (
        id INTEGER NOT NULL PRIMARY KEY,
        position INTEGER NOT NULL,
        sink TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        at INTEGER NOT NULL,
        -- `accepted`, `disabled`, or why not.
        outcome TEXT NOT NULL,
        FOREIGN KEY (position, sink) REFERENCES journal_deliveries ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX journal_attempts_of ON journal_attempts (position, sink);
";

/// Each index is paid for by every write, while a client waits. Types are few and a record's events
/// are many, so a search for either reads the table about as fast without.
const FEWER_INDEXES: &str = "
    DROP INDEX journal_events_type;
    DROP INDEX journal_events_record;
";

/// Writes of runs say which run it was, and how many stand between it and what somebody did.
const CAUSATION: &str = "
    ALTER TABLE journal_writes ADD COLUMN cause_run TEXT;
    ALTER TABLE journal_writes ADD COLUMN cause_depth INTEGER;
    ALTER TABLE journal_events ADD COLUMN cause_run TEXT;
    ALTER TABLE journal_events ADD COLUMN cause_depth INTEGER;
";

/// Positions and ids are in the order of their times but for a little, so a time is found by halving.
/// The total is moved on once for all events of a write, not by a trigger, which would make SQLite
/// copy every page that an insert changes.
const CHEAPER_WRITES: &str = "
    DROP INDEX journal_writes_time;
    DROP INDEX journal_events_time;
    DROP INDEX journal_events_correlation;
    DROP TRIGGER journal_event_added;
";

/// Events of which a role that has no view is not owed a word.
const SILENT: &str = "
    CREATE TABLE journal_silent (
        position INTEGER NOT NULL PRIMARY KEY REFERENCES journal_events ON DELETE CASCADE
    ) STRICT;
";
