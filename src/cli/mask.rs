//! `fieldgate mask`: the gate's own filter over standard input.
//!
//! Refuses what the gate would refuse. After a refusal nothing more is printed; what was printed
//! before had been filtered.

mod route;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::exit::{Exit, Failed};
use super::{heading, terminal};
use crate::config::Limits;
use crate::diagnostic::suggest;
use crate::json::Refusal;
use crate::json::filter::{FilterLimits, Tally};
use crate::mask::{self, KeyRing, Strategy};
use crate::policy::{self, PolicySet};
use crate::proxy::{AnswerFilter, Governance, Tokens};
use route::RequestLine;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate keys new --out keys.yaml\n",
    "  fieldgate mask --policies policies --keys keys.yaml --role sales_rep \\\n",
    "    --route 'GET /api/v1/leads/1/' < lead.json\n",
    "  curl -s http://crm/api/v1/leads/ | fieldgate mask --keys keys.yaml \\\n",
    "    --role marketing --role support --route 'GET /api/v1/leads/' --stats\n\n",
    heading!("Exit codes"),
    "  0  the whole input was filtered\n",
    "  1  the input is refused, or a policy or the key ring has faults\n",
    "  2  no such role, or a route that the gate would refuse\n",
    "  3  a key is needed and `--keys` is missing, or a file cannot be read",
);

/// Filter a JSON answer offline
///
/// Reads an answer of the CRM from standard input and prints it as a caller with these roles would
/// get it through the gate: the same policies, the same filter, byte for byte. A long input is
/// filtered as it streams by. The input must be JSON; after the first fault nothing more is
/// printed.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Mask {
    /// The policy folder
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// A role of the caller; repeat it for a caller with several
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// What was asked of the CRM: a method and a path without query
    #[arg(long, value_name = "METHOD PATH", value_parser = RequestLine::parse)]
    route: RequestLine,
    /// The caller's company; masks with a key differ between companies
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The key ring, needed where a policy hashes, encrypts or tokenizes
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Take the input for an error answer, in which nothing is a record
    #[arg(long)]
    error_body: bool,
    /// Say on standard error how many values were masked and hidden
    #[arg(long)]
    stats: bool,
    /// Longest single value that is masked, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().masked_value)]
    limit_masked_value: usize,
    /// Longest record that is held to be decided, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().record)]
    limit_record: usize,
}

impl Mask {
    pub(super) fn execute(self) -> Result<Exit, Failed> {
        let set = load_policies(&self.policies)?;
        let keys = self.keys.as_deref().map(load_keys).transpose()?;
        if keys.is_none() {
            require_no_key(&set)?;
        }
        let governance = Governance::prepare(set, keys, Tokens::Forgotten).map_err(|findings| {
            terminal::tell_findings(&findings);
            Failed::told(Exit::Findings)
        })?;
        let mut filter = self.filter(&governance)?;
        copy_filtered(&mut filter)?;
        if self.stats {
            let Tally { replaced, removed, .. } = filter.tally();
            terminal::tell(&format!("masked {replaced}, hidden {removed}\n"));
        }
        Ok(Exit::Good)
    }

    fn filter(&self, governance: &Governance) -> Result<AnswerFilter, Failed> {
        // A set, for the filter wants the roles sorted and each of them once.
        let roles: BTreeSet<&str> = self.roles.iter().map(String::as_str).collect();
        let known = &governance.set().roles;
        if let Some(unknown) = roles.iter().find(|role| !known.contains_key(**role)) {
            return Err(Failed::usage(format!("no policy knows the role `{unknown}`"))
                .help(suggest(unknown, known.keys().map(String::as_str))));
        }
        let roles: Vec<String> = roles.into_iter().map(str::to_owned).collect();
        let route = self.route.find(governance)?;
        let limits =
            FilterLimits { replaced_value: self.limit_masked_value, held_value: self.limit_record };
        governance
            .answer_filter(route.as_ref(), &roles, self.tenant.as_deref(), !self.error_body, limits)
            .map_err(|refusal| Failed::could_not_run(lowercase(refusal.meaning())))
    }
}

pub(super) fn load_policies(folder: &Path) -> Result<PolicySet, Failed> {
    let loaded = policy::load(folder);
    // Doubts are the business of `fieldgate check`.
    loaded.set.ok_or_else(|| {
        terminal::tell_findings(&loaded.findings);
        Failed::told(super::check::exit_of_folder(folder))
    })
}

fn load_keys(path: &Path) -> Result<Arc<KeyRing>, Failed> {
    mask::load(path).map(Arc::new).map_err(|findings| {
        terminal::tell_findings(&findings);
        Failed::told(super::run::exit_of_file(path))
    })
}

/// Without keys, a policy that needs one cannot be followed at all.
fn require_no_key(set: &PolicySet) -> Result<(), Failed> {
    let fields = set.resources.values().flat_map(|resource| &resource.fields);
    let keyed = fields
        .chain(&set.global.fields)
        .find(|field| field.strategy.as_ref().is_some_and(Strategy::needs_key));
    match keyed {
        None => Ok(()),
        Some(field) => Err(Failed::could_not_run(format!(
            "the mask of `{}` ({}) needs a key, and `--keys` is not given",
            field.path,
            field.origin.file_and_line()
        ))
        .help("make a key ring with `fieldgate keys new --out keys.yaml`")),
    }
}

/// Filters standard input to standard output.
fn copy_filtered(filter: &mut AnswerFilter) -> Result<(), Failed> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut chunk = vec![0; CHUNK];
    let mut filtered = Vec::new();
    loop {
        let length = match input.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                let message = format!("standard input cannot be read: {error}");
                return Err(Failed::could_not_run(message));
            }
        };
        filtered.clear();
        match chunk.get(..length) {
            None | Some([]) => filter.finish(&mut filtered).map_err(refused)?,
            Some(bytes) => filter.push(bytes, &mut filtered).map_err(refused)?,
        }
        match output.write_all(&filtered).and_then(|()| output.flush()) {
            // The reader has what it wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                let message = format!("standard output cannot be written: {error}");
                return Err(Failed::could_not_run(message));
            }
            Ok(()) if length == 0 => return Ok(()),
            Ok(()) => {}
        }
    }
}

fn refused(refusal: Refusal) -> Failed {
    let failed = Failed::input(format!("the input is refused: {refusal}"));
    match refusal {
        Refusal::ValueTooLong => failed.help("raise `--limit-masked-value`"),
        Refusal::RecordTooLong => failed.help("raise `--limit-record`"),
        Refusal::InvalidUtf8
        | Refusal::InvalidJson
        | Refusal::TooDeep
        | Refusal::Truncated
        | Refusal::NameTooLong
        | Refusal::AmbiguousRecord
        | Refusal::ReplacementFailed => failed.help("a client of the gate would not get it either"),
    }
}

/// A sentence of the log as an error text.
fn lowercase(sentence: &str) -> String {
    let mut characters = sentence.trim_end_matches('.').chars();
    characters.next().into_iter().flat_map(char::to_lowercase).chain(characters).collect()
}
