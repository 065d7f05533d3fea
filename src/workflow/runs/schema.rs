//! The tables of runs. Times are milliseconds since 1970.

use crate::store::Schema;

/// What [`StoredRuns`](super::StoredRuns) needs of a store.
pub const SCHEMA: Schema = Schema { name: "workflow", steps: &[FIRST] };

const FIRST: &str = "
    -- Workflow files as they were when a run began with them.
    CREATE TABLE workflow_definitions (
        digest TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        file TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Events that started runs, as the role of the workflows sees them.
    CREATE TABLE workflow_events (
        id TEXT NOT NULL,
        role TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (id, role)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE workflow_runs (
        position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        definition TEXT NOT NULL REFERENCES workflow_definitions,
        -- `event:` and its id, or `hand:` and an id of its own.
        cause TEXT NOT NULL,
        event TEXT NOT NULL,
        role TEXT NOT NULL,
        event_type TEXT NOT NULL,
        subject TEXT,
        tenant TEXT,
        correlation_id TEXT NOT NULL,
        priority INTEGER NOT NULL,
        depth INTEGER NOT NULL,
        status TEXT NOT NULL
            CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
        created INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        duration_ms INTEGER GENERATED ALWAYS AS (ended - started) VIRTUAL,
        -- The first action that is not finished.
        next INTEGER NOT NULL DEFAULT 0,
        -- Who carries it out, and until when without a word from him.
        owner TEXT,
        lease INTEGER,
        -- When it goes on, where nobody carries it out.
        due INTEGER,
        interruptions INTEGER NOT NULL DEFAULT 0,
        failure TEXT,
        error TEXT,
        UNIQUE (workflow, cause),
        FOREIGN KEY (event, role) REFERENCES workflow_events (id, role)
    ) STRICT;
    CREATE INDEX workflow_runs_pending ON workflow_runs (priority DESC, position)
        WHERE status = 'pending';
    CREATE INDEX workflow_runs_waiting ON workflow_runs (due)
        WHERE status = 'running' AND owner IS NULL;
    CREATE INDEX workflow_runs_held ON workflow_runs (lease) WHERE owner IS NOT NULL;
    CREATE INDEX workflow_runs_running ON workflow_runs (workflow) WHERE status = 'running';
    CREATE INDEX workflow_runs_failed ON workflow_runs (position) WHERE status = 'failed';
    CREATE INDEX workflow_runs_started ON workflow_runs (workflow, started);
    CREATE INDEX workflow_runs_ended ON workflow_runs (ended) WHERE ended IS NOT NULL;
    CREATE INDEX workflow_runs_event ON workflow_runs (event, role);
    CREATE INDEX workflow_runs_definition ON workflow_runs (definition);
    CREATE INDEX workflow_runs_correlation ON workflow_runs (correlation_id);

    CREATE TABLE workflow_actions (
        run INTEGER NOT NULL REFERENCES workflow_runs ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL
            CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
        attempts INTEGER NOT NULL DEFAULT 0,
        started INTEGER,
        ended INTEGER,
        duration_ms INTEGER GENERATED ALWAYS AS (ended - started) VIRTUAL,
        result TEXT,
        failure TEXT,
        error TEXT,
        PRIMARY KEY (run, ordinal)
    ) STRICT, WITHOUT ROWID;
";
