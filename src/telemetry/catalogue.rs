//! Every metric, label, span attribute and log field by name, in one table each.
//!
//! Metrics are built from these entries and from nothing else, and `docs/observability.md` is
//! checked against them, so code and documentation cannot disagree. Labels hold closed enums and
//! configured names only, never input.

/// What a metric is, in Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricEntry {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// Declares the entries as constants and the list of all of them.
macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal [$($label:literal)*] $help:literal)+) => {
        $(
            #[doc = $help]
            pub const $constant: MetricEntry = MetricEntry {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// Every metric, in the order of the documentation.
        pub const METRICS: &[MetricEntry] = &[$($constant),+];
    };
}

metrics! {
    REQUEST_DURATION Histogram "http_server_request_duration_seconds" ["method" "route" "status_class" "role"]
        "Time from the request's head to the end of its answer."
    ACTIVE_REQUESTS Gauge "http_server_active_requests" []
        "Requests under way."
    UPSTREAM_DURATION Histogram "fieldgate_upstream_duration_seconds" ["route"]
        "Time spent waiting for the CRM."
    ADDED_LATENCY Histogram "fieldgate_added_latency_seconds" ["route"]
        "Whole time less the time spent waiting for the CRM; a slow client counts."
    REQUEST_BYTES Counter "fieldgate_request_bytes_total" []
        "Bytes of request bodies read."
    RESPONSE_BYTES Counter "fieldgate_response_bytes_total" []
        "Bytes of response bodies sent."
    FIELDS_MASKED Counter "fieldgate_fields_masked_total" ["resource" "rule"]
        "Values masked."
    FIELDS_HIDDEN Counter "fieldgate_fields_hidden_total" ["resource" "rule"]
        "Members removed."
    WRITE_FIELDS Counter "fieldgate_write_fields_total" ["outcome"]
        "Fields of request bodies that were not written as they came, or that were and may not be."
    QUERY_PARAMETERS_DROPPED Counter "fieldgate_query_parameters_dropped_total" []
        "Query parameters taken out because they ask by a field that the caller may not see."
    REFUSALS Counter "fieldgate_refusals_total" ["reason"]
        "Answers refused or broken off."
    IDENTIFICATIONS Counter "fieldgate_identifications_total" ["source" "outcome"]
        "Callers looked at, by the source that decided."
    IDENTITY_QUESTIONS Counter "fieldgate_identity_questions_total" ["source" "outcome"]
        "Questions to issuers and to the CRM about credentials, and fetches of key sets."
    POLICY_RELOADS Counter "fieldgate_policy_reloads_total" ["outcome"]
        "Attempts to load the policies, the first one included."
    POLICY_INFO Gauge "fieldgate_policy_info" ["revision"]
        "1 for the revision of the policies in force."
    ACCESS_LOG_DROPPED Counter "fieldgate_access_log_dropped_total" []
        "Access log lines lost because they could not be written in time."
    APPLICATION_LOG_DROPPED Counter "fieldgate_application_log_dropped_total" []
        "Application log lines lost because they could not be written in time."
    APPLICATION_LOG_WITHHELD Counter "fieldgate_application_log_withheld_total" []
        "Warnings and errors not written because they repeat."
    SPANS Counter "fieldgate_spans_total" ["outcome"]
        "Spans worth keeping, by what became of them."
    AUDIT_ENTRIES Counter "fieldgate_audit_entries_total" ["outcome"]
        "Entries of the audit ledger, by what became of them."
    TOKEN_MAP_ENTRIES Counter "fieldgate_token_map_entries_total" ["outcome"]
        "Values of the token map, by what became of them."
    REVEALS Counter "fieldgate_reveals_total" ["outcome"]
        "Masks that somebody asked to turn back into values, by what came of it."
    STORE_COMMITS Counter "fieldgate_store_commits_total" ["outcome"]
        "Transactions of the store, each with one fsync."
    STORE_FSYNC Histogram "fieldgate_store_fsync_duration_seconds" []
        "Time that a commit took until it was on disk."
    STORE_HEALTHY Gauge "fieldgate_store_healthy" []
        "1 as long as the store takes writes; absent without a data folder."
    EVENTS Counter "fieldgate_events_total" ["type"]
        "Domain events in the journal."
    WRITES_OBSERVED Counter "fieldgate_writes_observed_total" ["outcome"]
        "Watched writes that are over, by what became of them."
    RECORDS_LEFT_OUT Counter "fieldgate_records_left_out_total" []
        "Records of answers to watched writes that have no event, because there were too many."
    WRITES_UNRECORDED Counter "fieldgate_writes_unrecorded_total" ["moment"]
        "Watched writes that went on although they could not be recorded."
    DELIVERIES Counter "fieldgate_deliveries_total" ["sink" "outcome"]
        "Attempts to deliver an event, by what came of them."
    DELIVERY_LAG Histogram "fieldgate_delivery_lag_seconds" ["sink"]
        "Time from an event to its delivery."
    DELIVERY_BACKLOG Gauge "fieldgate_delivery_backlog" ["sink"]
        "Events that a sink has still to take."
    DEAD_LETTERS Gauge "fieldgate_dead_letters" ["sink"]
        "Events that a sink did not take after the last attempt."
    WORKFLOW_RUNS Counter "fieldgate_workflow_runs_total" ["workflow" "outcome"]
        "Runs of workflows that ended: `completed`, `failed`, or `cancelled` in the middle."
    WORKFLOW_ACTIONS Counter "fieldgate_workflow_actions_total" ["workflow" "action" "outcome"]
        "Attempts of actions: `completed`, `failed`, `retried`, or `cancelled` with their run."
    WORKFLOW_RUN_DURATION Histogram "fieldgate_workflow_run_duration_seconds" ["workflow"]
        "Time from a run's start to its end, waits for another attempt included."
    WORKFLOW_BACKLOG Gauge "fieldgate_workflow_backlog" ["status"]
        "Runs that wait, that are under way, and that failed and are still there."
    SCORES Counter "fieldgate_scores_total" ["resource" "quality"]
        "Scores of leads calculated, by what they mean."
    SCORE_CALCULATION Histogram "fieldgate_score_calculation_seconds" ["resource"]
        "Time to calculate the scores of one answer, once its values are understood."
    SCORE_CACHE Counter "fieldgate_score_cache_total" ["outcome"]
        "Times that the last known score of a lead was looked up, by where it was found."
    SCORES_DROPPED Counter "fieldgate_scores_dropped_total" []
        "Answers whose scores were told and not kept, because too many waited."
    SCORED_LEADS Gauge "fieldgate_scored_leads" ["company" "quality"]
        "Leads whose score is kept, by company and what it means; counted every few seconds."
    SCORES_REFRESHED Counter "fieldgate_scores_refreshed_total" ["resource" "outcome"]
        "Leads read from the CRM to score them anew, by what came of it."
    SCORE_REFRESH_LEFT Gauge "fieldgate_score_refresh_left" ["resource"]
        "Leads that a refresh has still to read."
    QUEUE_DEPTH Gauge "fieldgate_queue_depth" ["queue"]
        "Entries that wait now."
    QUEUE_CAPACITY Gauge "fieldgate_queue_capacity" ["queue"]
        "Entries that may wait; what comes on top is dropped or refused."
    LIBRARY_MESSAGES Counter "fieldgate_library_messages_total" ["level"]
        "Errors and warnings of libraries, whose text is withheld from the log."
    PANICS Counter "fieldgate_panics_total" []
        "Panics caught; each is a fault of Fieldgate."
    BUILD_INFO Gauge "fieldgate_build_info" ["version"]
        "1 for the version that runs."
    PROCESS_CPU Counter "process_cpu_seconds_total" []
        "CPU time used, user and system."
    PROCESS_RESIDENT_MEMORY Gauge "process_resident_memory_bytes" []
        "Memory resident."
    PROCESS_VIRTUAL_MEMORY Gauge "process_virtual_memory_bytes" []
        "Address space in use."
    PROCESS_THREADS Gauge "process_threads" []
        "Threads."
    PROCESS_OPEN_FDS Gauge "process_open_fds" []
        "File descriptors open."
    PROCESS_MAX_FDS Gauge "process_max_fds" []
        "File descriptors allowed."
    PROCESS_START_TIME Gauge "process_start_time_seconds" []
        "When telemetry started, in seconds since 1970."
}

/// The bounds that OpenTelemetry advises for the duration of HTTP requests.
pub const REQUEST_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Finer bounds, since what Fieldgate adds is well below a millisecond.
pub const ADDED_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5,
];

/// From one lead to a list of thousands.
pub const SCORE_BUCKETS: &[f64] =
    &[0.000_001, 0.000_005, 0.000_02, 0.000_1, 0.000_5, 0.002, 0.01, 0.05];

/// The values of the `outcome` label of [`SCORE_CACHE`]: found in memory, found in the store, found
/// nowhere.
pub const SCORE_PLACES: [&str; 3] = ["hit", "store", "miss"];

/// The value of the `company` label of companies without rules of their own.
pub const OTHER_COMPANIES: &str = "other";

/// From at once to the last attempt of the usual schedule.
pub const LAG_BUCKETS: &[f64] =
    &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 36_000.0, 86_400.0, 345_600.0];

/// From one fast action to the usual longest run, and to one that waits for hours.
pub const RUN_BUCKETS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// The value of a `route`, `resource` or `rule` label where no configured name applies.
pub const UNMATCHED: &str = "unmatched";

/// The value of the `role` label of a caller without a role that the policies know.
pub const NO_ROLE: &str = "none";

/// The value of the `role` label of a caller with several roles that the policies know.
pub const SEVERAL_ROLES: &str = "several";

/// The values of the `outcome` label of [`SPANS`]: sent, lost because the queue was full, lost
/// because the collector did not take them.
pub const SPAN_OUTCOMES: [&str; 3] = ["exported", "dropped", "failed"];

/// The values of the `outcome` label of [`AUDIT_ENTRIES`]: on disk, lost because the queue was full,
/// lost because the store did not take them.
pub const AUDIT_OUTCOMES: [&str; 3] = ["written", "dropped", "failed"];

/// The values of the `outcome` label of [`TOKEN_MAP_ENTRIES`]: on disk, lost because too many
/// waited, lost because the store did not take them, removed because their time was over or there
/// were too many.
pub const TOKEN_MAP_OUTCOMES: [&str; 4] = ["written", "dropped", "failed", "removed"];

/// The values of the `outcome` label of [`REVEALS`]: turned back, refused, one too many for now, not
/// possible because the ledger or the store is missing.
pub const REVEAL_OUTCOMES: [&str; 4] = ["revealed", "refused", "limited", "unavailable"];

/// The values of the `outcome` label of [`STORE_COMMITS`].
pub const COMMIT_OUTCOMES: [&str; 2] = ["success", "failure"];

/// The bounds for what a commit takes: a good disk is below a millisecond, a bad one above ten.
pub const FSYNC_BUCKETS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The scope that all spans name as their maker.
pub const SCOPE: &str = "fieldgate";

/// The values of the `outcome` label of [`POLICY_RELOADS`].
pub const RELOAD_OUTCOMES: [&str; 2] = ["success", "failure"];

/// The value of the `outcome` label of [`IDENTIFICATIONS`] for a caller who is known. The others are
/// the words of [`Unidentified`](crate::identity::Unidentified).
pub const IDENTIFIED: &str = "identified";

/// The value of the `source` label of [`IDENTIFICATIONS`] where no source decided.
pub const NO_SOURCE: &str = "none";
/// The values of the `outcome` label of [`WRITE_FIELDS`]: taken out; kept as the CRM has them, since
/// they were masked, hidden or unchanged; turned back from a mask; written although the policy says
/// that they may not be.
pub const WRITE_OUTCOMES: [&str; 4] = ["stripped", "kept", "detokenized", "reported"];

/// The values of the `level` label of [`LIBRARY_MESSAGES`].
pub const LIBRARY_LEVELS: [&str; 2] = ["error", "warn"];

/// What stands in a label: the label, and its values.
pub const LABELS: &[(&str, &str)] = &[
    ("method", "A method of RFC 9110 or `PATCH`; any other is `OTHER`."),
    ("route", "The template of a configured route, else `unmatched`."),
    ("status_class", "`1xx` to `5xx`; `none` where no answer was begun."),
    ("role", "The caller's one role that the policies know; `none`, or `several`."),
    ("resource", "A configured resource, else `unmatched`."),
    (
        "rule",
        "A rule of the policies, `role:path`, `role:default`, or `*:path` for everybody; `unmatched` where no rule is told.",
    ),
    ("reason", "A reason of the list below."),
    (
        "source",
        "A kind of identity source, as the configuration writes it; `none` where none decided.",
    ),
    ("outcome", "What became of it, a closed list for each metric."),
    ("type", "The type of an event, as the policies name it."),
    ("moment", "`intent` before a write is forwarded, `outcome` before its answer is passed on."),
    ("sink", "A configured sink; `workflows:<role>` is what starts the workflows of a role."),
    ("workflow", "A workflow of the policies."),
    ("action", "What an action does, one of the seven."),
    ("status", "`pending`, `running` or `failed`."),
    ("quality", "`HOT`, `WARM`, `COOL` or `COLD`."),
    (
        "company",
        "A company that has scoring rules of its own, at most 100 of them; all others are `other`.",
    ),
    ("revision", "The revision of the policies in force."),
    ("queue", "`log`, `spans`, `audit`, `token_map` or `store`."),
    ("level", "`error` or `warn`."),
    ("version", "Fieldgate's version."),
    ("le", "The upper bound of a bucket."),
];

/// The attributes of spans: the attribute, the spans that have it, and what it holds.
pub const SPAN_ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("http.request.method", "server, upstream", "The method; one that is not known is `_OTHER`."),
    ("http.route", "server", "The template of the route."),
    (
        "http.response.status_code",
        "server, upstream",
        "The status that the client got; for `upstream` the one that the CRM sent.",
    ),
    ("url.scheme", "server", "`http` or `https`."),
    ("url.path", "server", "The canonical path without query, as in the access log."),
    ("url.template", "upstream", "The template of the route."),
    (
        "server.address",
        "server, upstream",
        "The host that the client asked for; for `upstream` the CRM's.",
    ),
    ("server.port", "server, upstream", "Its port, where one is named."),
    ("client.address", "server", "The peer's address."),
    ("user_agent.original", "server", "The user agent, cut at 256 characters."),
    ("network.protocol.version", "server", "`1.0`, `1.1` or `2`."),
    ("http.request.body.size", "server", "Bytes of the request body read."),
    ("http.response.body.size", "server", "Bytes of the response body sent."),
    (
        "error.type",
        "server, upstream, deliver, workflow_action",
        "The reason of a refusal, else the status of an error.",
    ),
    (
        "fieldgate.correlation_id",
        "server, deliver, workflow_action",
        "The id that every log line of the request has.",
    ),
    ("fieldgate.policy.revision", "policy", "Revision of the policies applied."),
    ("fieldgate.resource", "policy", "The resource that the route serves."),
    ("fieldgate.refusal", "policy", "The reason of a refusal."),
    ("fieldgate.masked", "filter", "How many values were masked."),
    ("fieldgate.hidden", "filter", "How many members were removed."),
    ("fieldgate.sink", "deliver", "The configured name of the sink."),
    ("fieldgate.event.type", "deliver", "The type of the event."),
    ("fieldgate.event.id", "deliver", "The id of the event, the same in every attempt."),
    ("fieldgate.attempt", "deliver, workflow_action", "The how-manieth attempt, from 1."),
    ("fieldgate.workflow", "workflow_action", "The configured name of the workflow."),
    ("fieldgate.action", "workflow_action", "The kind of the action."),
    ("fieldgate.run.id", "workflow_action", "The id of the run."),
];

/// The fields of an access log line, in their order, and what each holds.
pub const ACCESS_FIELDS: &[(&str, &str)] = &[
    ("timestamp", "End of the exchange, RFC 3339, UTC, milliseconds."),
    (
        "level",
        "`ERROR` for 5xx and for an answer broken off, `WARN` for 4xx and for a client that left, else `INFO`.",
    ),
    ("service", "`telemetry.service` of the configuration."),
    ("environment", "`telemetry.environment` of the configuration."),
    ("correlation_id", "The id that the client, the CRM and every line share."),
    ("trace_id", "W3C trace id, or null."),
    ("span_id", "W3C span id of this hop, or null."),
    ("user_id", "The caller's subject, or null; cut at 128 characters."),
    ("org_id", "The caller's tenant, or null; cut at 128 characters."),
    ("roles", "The caller's roles as a list, at most 16."),
    ("method", "The method; one that is not known is `OTHER`."),
    ("route", "The template of the route, or `unmatched`."),
    (
        "path",
        "The canonical path without query, cut at 512 characters; a segment like an e-mail address is `*`.",
    ),
    ("status_code", "The status sent, or null if none was."),
    ("latency_ms", "The whole time in milliseconds."),
    ("upstream_ms", "Time spent waiting for the CRM, or null if it was not asked."),
    ("remote_addr", "The peer's address without port, or null."),
    ("user_agent", "The user agent, or null; cut at 256 characters."),
    ("policy_revision", "Revision of the policies applied, or null."),
    ("masked", "How many values were masked."),
    ("hidden", "How many members were removed."),
    ("refusal", "The reason of a refusal; absent if there was none."),
];

/// The fields that every application log line begins with.
pub const APPLICATION_FIELDS: &[(&str, &str)] = &[
    ("timestamp", "When it happened, RFC 3339, UTC, milliseconds."),
    ("level", "`ERROR`, `WARN`, `INFO` or `DEBUG`."),
    ("service", "`telemetry.service` of the configuration."),
    ("environment", "`telemetry.environment` of the configuration."),
    ("target", "The part of Fieldgate that speaks."),
    ("message", "What happened."),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::telemetry::refusal::Refusal;
    use crate::telemetry::stage::Stage;
    use crate::telemetry::trace::Work;

    fn tables() -> String {
        let mut text = String::new();
        let mut table = |title: &str, head: &str, rows: Vec<String>| {
            let columns = head.matches('|').count() + 1;
            let rule = vec!["---"; columns].join(" | ");
            writeln!(text, "## {title}\n\n| {head} |\n| {rule} |").unwrap();
            for row in rows {
                writeln!(text, "| {row} |").unwrap();
            }
            text.push('\n');
        };
        let fields = |entries: &[(&str, &str)]| {
            entries.iter().map(|(name, meaning)| format!("`{name}` | {meaning}")).collect()
        };
        table("Access log fields", "field | meaning", fields(ACCESS_FIELDS));
        table("Application log fields", "field | meaning", fields(APPLICATION_FIELDS));
        let metrics = METRICS.iter().map(|metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("`{}` | {kind} | {} | {}", metric.name, labels.join(", "), metric.help)
        });
        table("Metrics", "metric | type | labels | meaning", metrics.collect());
        table("Labels", "label | values", fields(LABELS));
        let server = "server | server | Named `<method> <route>`: the whole request.".to_owned();
        let stages = Stage::ALL.iter().map(|stage| match stage {
            Stage::Upstream => {
                format!("upstream | client | Named like the server span. {}", stage.meaning())
            }
            Stage::Policy | Stage::Journal | Stage::Filter | Stage::Score => {
                format!("`{}` | internal | {}", stage.name(), stage.meaning())
            }
        });
        let off_street = Work::ALL
            .iter()
            .map(|work| format!("`{}` | {} | {}", work.name(), work.kind(), work.meaning()));
        let spans = std::iter::once(server).chain(stages).chain(off_street).collect();
        table("Spans", "span | kind | meaning", spans);
        let attributes = SPAN_ATTRIBUTES
            .iter()
            .map(|(name, spans, meaning)| format!("`{name}` | {spans} | {meaning}"));
        table("Span attributes", "attribute | spans | meaning", attributes.collect());
        let refusals = Refusal::ALL
            .iter()
            .map(|refusal| format!("`{}` | {}", refusal.name(), refusal.meaning()));
        table("Reasons of refusals", "reason | meaning", refusals.collect());
        text.trim_end().to_owned() + "\n"
    }

    /// Run with `UPDATE_DOCS=1` to write the tables into the page.
    #[test]
    fn the_documentation_has_these_tables() {
        const MARK: &str = "<!-- The tables below are written by a test: UPDATE_DOCS=1 cargo test the_documentation_has -->\n\n";
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observability.md");
        let text = std::fs::read_to_string(&page).unwrap();
        let (prose, found) = text.split_once(MARK).expect("the page has the mark");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&page, format!("{prose}{MARK}{}", tables())).unwrap();
            return;
        }
        assert_eq!(found, tables(), "docs/observability.md is not up to date");
    }

    #[test]
    fn names_follow_prometheus() {
        for metric in METRICS {
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        let names: std::collections::HashSet<_> = METRICS.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn every_label_is_told_once() {
        let told: std::collections::HashSet<_> = LABELS.iter().map(|(name, _)| *name).collect();
        assert_eq!(told.len(), LABELS.len());
        for label in METRICS.iter().flat_map(|metric| metric.labels) {
            assert!(told.contains(label), "{label}");
        }
    }
}
