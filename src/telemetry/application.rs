//! The application log: what Fieldgate says of itself through `tracing`.
//!
//! Only Fieldgate's own words are written. Libraries quote traffic in theirs (pingora logs the raw
//! bytes of a malformed response, a panic over a string quotes the string), so of a library's
//! message only where it came from and how serious it is are kept, at a limited rate.

use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::Telemetry;
use super::note::Note;

/// Lines about library messages in one second; all of them are counted.
const LIBRARY_LINES_A_SECOND: u32 = 10;

/// How long a dying process waits for its last words to be written.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why the log of this process could not be taken over.
#[derive(Debug, thiserror::Error)]
#[error("the log of this process is already taken")]
pub struct InstallError;

impl Telemetry {
    /// Takes over the log of the whole process: `tracing`, `log`, and the report of panics. To be
    /// called once, by the program.
    pub fn install(&self) -> Result<(), InstallError> {
        tracing::subscriber::set_global_default(self.subscriber()).map_err(|_| InstallError)?;
        log::set_boxed_logger(Box::new(LibraryLog(self.clone()))).map_err(|_| InstallError)?;
        log::set_max_level(log::LevelFilter::Warn);
        self.install_panic_hook();
        Ok(())
    }

    /// What `tracing` calls.
    fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(ApplicationLog(self.clone()))
    }

    /// Panics are told by their place alone, since their message may quote a body.
    fn install_panic_hook(&self) {
        let telemetry = self.clone();
        std::panic::set_hook(Box::new(move |panic| telemetry.panicked(panic)));
    }

    fn panicked(&self, panic: &PanicHookInfo<'_>) {
        self.inner.metrics.panics.inc();
        let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let message = "a fault in the program, its text is withheld because it may quote traffic";
        self.note(
            Note::new(OffsetDateTime::now_utc(), Level::ERROR, "fieldgate", message)
                .with("panicked_at", place),
        );
        // The main thread's panic ends the process.
        if std::thread::current().name() == Some("main") {
            self.flush(LAST_WORDS);
        }
    }

    fn library_message(&self, is_error: bool, target: &str, line: Option<u32>) {
        let metrics = &self.inner.metrics;
        let (counter, level) = if is_error {
            (&metrics.library_errors, Level::WARN)
        } else {
            (&metrics.library_warnings, Level::DEBUG)
        };
        counter.inc();
        if !self.inner.level.wants(level) || !self.inner.library_lines.allows(Instant::now()) {
            return;
        }
        let message = "a library complained, its text is withheld because it may quote traffic";
        self.note(
            Note::new(OffsetDateTime::now_utc(), level, "fieldgate", message)
                .with("library", target)
                .with("line", line),
        );
    }
}

/// Turns `tracing` events into lines.
struct ApplicationLog(Telemetry);

impl<S: Subscriber> Layer<S> for ApplicationLog {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let wanted =
            if is_ours(metadata.target()) { self.0.inner.level.as_tracing() } else { Level::WARN };
        *metadata.level() <= wanted
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.0.inner.level.as_tracing().max(Level::WARN)))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !is_ours(metadata.target()) {
            let is_error = *metadata.level() == Level::ERROR;
            self.0.library_message(is_error, metadata.target(), metadata.line());
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let now = OffsetDateTime::now_utc();
        let mut note = Note::new(now, *metadata.level(), metadata.target(), &said.message);
        for (name, value) in said.fields {
            note = note.with(name, value);
        }
        self.0.note(note);
    }
}

fn is_ours(target: &str) -> bool {
    target == "fieldgate" || target.starts_with("fieldgate::")
}

/// The message and fields of an event.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn keep(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}").into());
    }
}

/// Counts what libraries say through `log`, without ever making the text.
struct LibraryLog(Telemetry);

impl log::Log for LibraryLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let is_error = record.level() == log::Level::Error;
            self.0.library_message(is_error, record.target(), record.line());
        }
    }

    fn flush(&self) {}
}

/// So many lines in one second and no more.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    window: Mutex<Option<(Instant, u32)>>,
}

impl RateLimit {
    fn allows(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = match *window {
            Some((began, count)) if now.saturating_duration_since(began).as_secs() < 1 => {
                (began, count)
            }
            _ => (now, 0),
        };
        *window = Some((began, count.saturating_add(1)));
        count < LIBRARY_LINES_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use std::panic;

    use log::Log as _;

    use super::*;
    use crate::config::{LogFormat, LogLevel};
    use crate::telemetry::MemoryLog;
    use crate::telemetry::tests::started;

    const SECRET: &str = "john@example.com";

    fn lines(telemetry: &Telemetry, log: &MemoryLog) -> Vec<Value> {
        assert!(telemetry.flush(Duration::from_secs(30)));
        log.json_lines()
    }

    #[test]
    fn our_own_words_are_written_with_their_fields() {
        let (telemetry, log) = started(LogFormat::Json, LogLevel::Info);
        tracing::subscriber::with_default(telemetry.subscriber(), || {
            let (flag, share) = (true, 0.5);
            tracing::info!(correlation_id = "abc-1", tries = 3_u64, flag, share, "key ring read");
            tracing::debug!("not wanted");
        });
        let lines = lines(&telemetry, &log);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["message"], "key ring read");
        assert_eq!(lines[0]["target"], "fieldgate::telemetry::application::tests");
        assert_eq!(lines[0]["service"], "gate");
        assert_eq!(lines[0]["correlation_id"], "abc-1");
        assert_eq!(lines[0]["tries"], 3);
        assert_eq!(lines[0]["flag"], true);
        assert_eq!(lines[0]["share"], 0.5);
    }

    #[test]
    fn the_words_of_libraries_are_not() {
        let (telemetry, log) = started(LogFormat::Json, LogLevel::Debug);
        tracing::subscriber::with_default(telemetry.subscriber(), || {
            tracing::error!(target: "h2::codec", value = SECRET, "{SECRET}");
            tracing::warn!(target: "fieldgatenot", "{SECRET}");
            tracing::info!(target: "hyper", "{SECRET}");
        });
        let library = LibraryLog(telemetry.clone());
        for level in [log::Level::Error, log::Level::Warn, log::Level::Info] {
            let target = "pingora_proxy";
            let arguments = format_args!("{SECRET}");
            library.log(
                &log::Record::builder()
                    .level(level)
                    .target(target)
                    .line(Some(7))
                    .args(arguments)
                    .build(),
            );
        }
        let lines = lines(&telemetry, &log);
        assert!(!log.text().contains(SECRET), "{}", log.text());
        let origins: Vec<_> = lines.iter().map(|line| (&line["level"], &line["library"])).collect();
        assert_eq!(
            origins,
            [
                (&"WARN".into(), &"h2::codec".into()),
                (&"DEBUG".into(), &"fieldgatenot".into()),
                (&"WARN".into(), &"pingora_proxy".into()),
                (&"DEBUG".into(), &"pingora_proxy".into()),
            ] as [(&Value, &Value); 4]
        );
        assert_eq!(lines[3]["line"], 7);
        let scrape = telemetry.scrape().unwrap();
        assert!(scrape.contains("fieldgate_library_messages_total{level=\"error\"} 2"), "{scrape}");
        assert!(scrape.contains("fieldgate_library_messages_total{level=\"warn\"} 2"), "{scrape}");
    }

    #[test]
    fn a_panic_is_told_by_its_place_alone() {
        let (telemetry, log) = started(LogFormat::Json, LogLevel::Error);
        let before = panic::take_hook();
        telemetry.install_panic_hook();
        let caught = panic::catch_unwind(|| panic!("{SECRET}"));
        panic::set_hook(before);
        assert!(caught.is_err());
        let lines = lines(&telemetry, &log);
        assert!(!log.text().contains(SECRET), "{}", log.text());
        let place = lines[0]["panicked_at"].as_str().unwrap();
        assert!(place.starts_with("src/telemetry/application.rs:"), "{place}");
        assert!(telemetry.scrape().unwrap().contains("fieldgate_panics_total 1\n"));
    }

    #[test]
    fn a_flood_of_library_messages_is_counted_and_not_written() {
        let limit = RateLimit::default();
        let start = Instant::now();
        let allowed = (0..1000).filter(|_| limit.allows(start)).count();
        assert_eq!(allowed, LIBRARY_LINES_A_SECOND as usize);
        assert!(!limit.allows(start + Duration::from_millis(999)));
        assert!(limit.allows(start + Duration::from_secs(1)));
    }
}
