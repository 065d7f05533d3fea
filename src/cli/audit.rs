//! `fieldgate audit`: the ledger at rest or live, read without asking the process that writes it.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use time::OffsetDateTime;

use super::data_dir::{DataDir, cannot_use};
use super::exit::{Exit, Failed};
use super::{heading, terminal};
use crate::audit::{self, Anchor, KeyFinder, PublicKey, Query, Report, SCHEMA, Stored};
use crate::mask;
use crate::store::Visitor;

/// Ask the audit ledger who was shown what
///
/// Reads the ledger in the data folder (`data_dir` of the configuration), whether a Fieldgate writes
/// to it or not.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Query(QueryCommand),
    Verify(Verify),
    Subject(Subject),
    Export(Export),
}

const AFTER_QUERY: &str = concat!(
    heading!("Examples"),
    "  fieldgate audit query --data-dir data --user u-7 --since 7d\n",
    "  fieldgate audit query --data-dir data --object lead/42 --field email\n\n",
    heading!("Exit codes"),
    "  0  done, also where nothing was found\n",
    "  2  a time cannot be read\n",
    "  3  there is no ledger, or it cannot be read",
);

/// Find entries by caller, object, field and time
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_QUERY)]
struct QueryCommand {
    #[command(flatten)]
    place: DataDir,
    /// Who asked, as the access log names it
    #[arg(long, value_name = "SUBJECT")]
    user: Option<String>,
    /// Of which record, as in `lead/42`
    #[arg(long, value_name = "TYPE/ID")]
    object: Option<String>,
    /// A field by its path, or by its last name
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    #[command(flatten)]
    times: Times,
    /// Most entries printed, the oldest first
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    form: Form,
}

const AFTER_SUBJECT: &str = concat!(
    heading!("Examples"),
    "  fieldgate audit subject lead/42 --data-dir data\n",
    "  fieldgate audit subject lead/42 --data-dir data --format csv\n\n",
    heading!("Exit codes"),
    "  0  done, also where nothing was found\n",
    "  2  the record or a time cannot be read\n",
    "  3  there is no ledger, or it cannot be read",
);

/// Report who received which fields of one record, and when
///
/// The report that a person may ask for: every entry about the record, however many there are.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_SUBJECT)]
struct Subject {
    /// The record, as in `lead/42`
    #[arg(value_name = "TYPE/ID")]
    object: String,
    #[command(flatten)]
    place: DataDir,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    form: Form,
}

const AFTER_EXPORT: &str = concat!(
    heading!("Examples"),
    "  fieldgate audit export --data-dir data --since 2026-01-01 --out january.jsonl\n",
    "  fieldgate audit export --data-dir data --format csv > all.csv\n\n",
    heading!("Exit codes"),
    "  0  done\n",
    "  2  a time cannot be read\n",
    "  3  there is no ledger, it cannot be read, or the file exists already",
);

/// Write entries out, to keep them or to hand them over
///
/// Each JSON line has the entry's number, its hash and the very text that was hashed, so that the
/// chain can be checked elsewhere.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_EXPORT)]
struct Export {
    #[command(flatten)]
    place: DataDir,
    #[command(flatten)]
    times: Times,
    /// Form of the lines
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
    /// Write to a new file that only its owner can read, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

const AFTER_VERIFY: &str = concat!(
    heading!("Examples"),
    "  fieldgate audit verify --data-dir data --keys keys.yaml\n",
    "  fieldgate audit verify --data-dir data --public-key k1=5f0c...\n",
    "  fieldgate audit verify --data-dir data --keys keys.yaml --anchor 1000:9f86...\n\n",
    heading!("Exit codes"),
    "  0  whole\n",
    "  1  something was changed, removed, moved or cut off\n",
    "  2  a key or an anchor cannot be read\n",
    "  3  there is no ledger, or it or the key ring cannot be read",
);

/// Find whatever was changed, removed, moved or cut off
///
/// Walks over the whole chain. Without a key it cannot tell a ledger that was forged as a whole:
/// give the key ring, or the public keys alone. An older copy of the whole ledger is found by
/// `--anchor`, with the number and hash of a line `audit checkpoint` of the application log.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_VERIFY)]
struct Verify {
    #[command(flatten)]
    place: DataDir,
    /// The key ring whose keys have signed the ledger
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    keys: Option<PathBuf>,
    /// A public key with its id, as `--show-public-key` prints it; may be given several times
    #[arg(long, value_name = "ID=HEX", value_parser = public_key)]
    public_key: Vec<(String, PublicKey)>,
    /// A place that must be in the chain
    #[arg(long, value_name = "NUMBER:HASH", value_parser = anchor)]
    anchor: Option<Anchor>,
    /// Print the public key of the active key and end
    #[arg(long, requires = "keys")]
    show_public_key: bool,
}

#[derive(Debug, Args)]
struct Times {
    /// From this time on: `2026-01-31`, `2026-01-31T10:00:00Z`, or `7d` ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, Args)]
struct Form {
    /// Form of the lines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Jsonl,
    Csv,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExportFormat {
    Jsonl,
    Csv,
}

impl Audit {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            AuditCommand::Query(query) => query.execute(),
            AuditCommand::Verify(verify) => verify.execute(),
            AuditCommand::Subject(subject) => subject.execute(),
            AuditCommand::Export(export) => export.execute(),
        }
    }
}

impl QueryCommand {
    fn execute(self) -> Result<Exit, Failed> {
        let (since, until) = self.times.read()?;
        let wanted = Query {
            user: self.user,
            object: self.object,
            field: self.field,
            since,
            until,
            after: 0,
            limit: Some(self.limit),
        };
        let found = print(&self.place, &wanted, self.form.format.into())?;
        tell_count(found);
        if usize::try_from(found) == Ok(self.limit) {
            terminal::tell("there may be more: raise `--limit`, or narrow the time\n");
        }
        Ok(Exit::Good)
    }
}

impl Subject {
    fn execute(self) -> Result<Exit, Failed> {
        if self.object.split_once('/').is_none_or(|(of, id)| of.is_empty() || id.is_empty()) {
            return Err(Failed::usage(format!("`{}` is no record", self.object))
                .help("write the object type and the id, as in `lead/42`"));
        }
        let (since, until) = self.times.read()?;
        let wanted = Query { object: Some(self.object), since, until, ..Query::default() };
        let found = print(&self.place, &wanted, self.form.format.into())?;
        tell_count(found);
        Ok(Exit::Good)
    }
}

impl Export {
    fn execute(self) -> Result<Exit, Failed> {
        let (since, until) = self.times.read()?;
        let wanted = Query { since, until, ..Query::default() };
        let format = match self.format {
            ExportFormat::Jsonl => audit::Format::Jsonl,
            ExportFormat::Csv => audit::Format::Csv,
        };
        let Some(path) = &self.out else {
            let found = print(&self.place, &wanted, format)?;
            tell_count(found);
            return Ok(Exit::Good);
        };
        let visitor = self.place.look(&[SCHEMA])?;
        let failed = |error: std::io::Error| {
            let name = path.display();
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    Failed::could_not_run(format!("`{name}` exists already"))
                        .help("nothing is overwritten; choose another name")
                }
                _ => Failed::could_not_run(format!("`{name}` cannot be written: {error}")),
            }
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = BufWriter::new(file.map_err(failed)?);
        file.write_all(format.header().as_bytes()).map_err(failed)?;
        let found = walk(&visitor, &wanted, |stored| {
            file.write_all(format.line(stored).as_bytes()).map_err(failed)
        })?;
        file.into_inner()
            .map_err(|error| failed(error.into_error()))?
            .sync_all()
            .map_err(failed)?;
        tell_count(found);
        Ok(Exit::Good)
    }
}

impl Verify {
    fn execute(self) -> Result<Exit, Failed> {
        let ring = match self.keys.as_deref().map(mask::load) {
            None => None,
            Some(Ok(ring)) => Some(ring),
            Some(Err(findings)) => {
                terminal::tell_findings(&findings);
                return Err(Failed::told(Exit::CouldNotRun));
            }
        };
        if let (true, Some(ring)) = (self.show_public_key, &ring) {
            if let Some((id, key)) = PublicKey::of(ring, None) {
                terminal::print(&format!("{id}={key}\n"))?;
            }
            return Ok(Exit::Good);
        }
        let visitor = self.place.look(&[SCHEMA])?;
        let of_ring = |id: &str| PublicKey::of(ring.as_ref()?, Some(id)).map(|(_, key)| key);
        let given =
            |id: &str| self.public_key.iter().find(|(given, _)| given == id).map(|(_, key)| *key);
        let key: Option<KeyFinder<'_>> = if ring.is_some() {
            Some(&of_ring)
        } else if self.public_key.is_empty() {
            None
        } else {
            Some(&given)
        };
        let report = visitor
            .read(|connection| audit::verify(connection, key, self.anchor))
            .map_err(|error| cannot_use(&error))?;
        tell_report(&report)
    }
}

fn tell_report(report: &Report) -> Result<Exit, Failed> {
    for fault in &report.faults {
        terminal::print(&format!("{fault}\n"))?;
    }
    let (first, last) = (report.first, report.last);
    let checkpoints = match report.checkpoints {
        1 => "1 checkpoint".to_owned(),
        count => format!("{count} checkpoints"),
    };
    let signed = if report.is_signed { "signatures checked" } else { "signatures not checked" };
    let span = if report.entries == 0 {
        "no entries".to_owned()
    } else {
        format!("{} entries, {first} to {}", report.entries, last.number)
    };
    terminal::print(&format!("{span}, {checkpoints}, {signed}\n"))?;
    if report.faults.is_empty() {
        terminal::print(&format!("whole; ends at {}:{}\n", last.number, last.hash))?;
        if !report.is_signed {
            terminal::tell("give `--keys` or `--public-key`, or a forged ledger passes as well\n");
        }
        return Ok(Exit::Good);
    }
    terminal::print(&format!("not whole, faults found: {}\n", report.faults.len()))?;
    Ok(Exit::Findings)
}

/// Prints what is found; answers how many entries that were.
fn print(place: &DataDir, wanted: &Query, format: audit::Format) -> Result<u64, Failed> {
    let visitor = place.look(&[SCHEMA])?;
    terminal::print(&format.header())?;
    walk(&visitor, wanted, |stored| terminal::print(&format.line(stored)))
}

/// Hands every entry found to `each`, one by one; answers how many there were.
fn walk(
    visitor: &Visitor,
    wanted: &Query,
    mut each: impl FnMut(&Stored) -> Result<(), Failed>,
) -> Result<u64, Failed> {
    let mut found = 0;
    let mut failed = None;
    let walked = visitor.read(|connection| {
        audit::each(connection, wanted, |stored| {
            found += 1;
            failed = each(&stored).err();
            failed.is_none()
        })
    });
    match (walked, failed) {
        (_, Some(failed)) => Err(failed),
        (Err(error), None) => Err(cannot_use(&error)),
        (Ok(()), None) => Ok(found),
    }
}

impl Times {
    fn read(&self) -> Result<(Option<i64>, Option<i64>), Failed> {
        let now = OffsetDateTime::now_utc();
        let read = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => audit::moment(text, now).map(Some).ok_or_else(|| {
                Failed::usage(format!("`{text}` is no time"))
                    .help("write `2026-01-31`, `2026-01-31T10:00:00Z`, or `7d` for seven days ago")
            }),
        };
        Ok((read(&self.since)?, read(&self.until)?))
    }
}

impl From<Format> for audit::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Jsonl => Self::Jsonl,
            Format::Csv => Self::Csv,
        }
    }
}

fn tell_count(found: u64) {
    terminal::tell(&format!("{found} entries\n"));
}

fn public_key(text: &str) -> Result<(String, PublicKey), String> {
    let parts = text.split_once('=');
    let key = parts.and_then(|(id, hex)| Some((id.to_owned(), PublicKey::parse(hex)?)));
    key.ok_or_else(|| "an id and 64 hex digits are needed, as in `k1=5f0c...`".to_owned())
}

fn anchor(text: &str) -> Result<Anchor, String> {
    Anchor::parse(text)
        .ok_or_else(|| "a number and 64 hex digits are needed, as in `1000:9f86...`".to_owned())
}
