//! `fieldgate reveal`: asks the admin listener of a running Fieldgate for the value behind a mask.
//!
//! It asks over HTTP although it may stand on the same machine, so that there is one door: the same
//! rights, the same ledger, the same limits.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Method, Request, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::{Exit, Failed};
use super::{heading, runtime, terminal};
use crate::outbound::Client;

const PATH: &str = "/api/v1/reveal";
const PATIENCE: Duration = Duration::from_secs(30);

const AFTER: &str = concat!(
    heading!("Examples"),
    "  fieldgate reveal lead email token_ajvtd3564olrpg6f... --token-file me.token\n",
    "  fieldgate reveal lead iban enc:k1.cmVzcG9u... --record 42 --token-file me.token\n",
    "  fieldgate reveal lead phone - --token-file me.token < masks.txt\n\n",
    heading!("Exit codes"),
    "  0  revealed\n",
    "  1  refused\n",
    "  2  usage\n",
    "  3  the admin listener cannot be reached, or cannot reveal anything at the moment",
);

/// Turn a mask back into its value, as a caller who may
///
/// Asks the admin listener of a running Fieldgate. The caller is identified by the bearer token in
/// `--token-file`, and a role of theirs needs a right to the field (`reveal:` in its file). Every
/// question is written into the audit ledger first.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub(super) struct Reveal {
    /// The resource: `lead`
    #[arg(value_name = "RESOURCE")]
    resource: String,
    /// The field, as the registry writes it, or its last name
    #[arg(value_name = "FIELD")]
    field: String,
    /// The mask, or `-` for one on each line of standard input
    #[arg(value_name = "MASK")]
    mask: String,
    /// The id of the record that an encrypted value stands in
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// Where the admin listener is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// A file with the caller's own bearer token
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// A file with the token of the admin listener, where it needs one
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Revealed {
    value: Box<RawValue>,
}

#[derive(Deserialize)]
struct Refused {
    title: String,
    detail: Option<String>,
}

impl Reveal {
    pub(super) fn execute(&self) -> Result<Exit, Failed> {
        let caller = read_token(&self.token_file)?;
        let admin = self.admin_token_file.as_deref().map(read_token).transpose()?;
        let masks = self.masks()?;
        let host = self.admin.ip().to_string();
        let client = Client::new(&host, self.admin.port(), None, PATIENCE)
            .map_err(|fault| Failed::could_not_run(fault.to_string()))?;
        let runtime = runtime::with_threads(1)?;
        for mask in masks {
            let request = self.request(&mask, &caller, admin.as_ref())?;
            let answer = runtime.block_on(client.send(request)).map_err(|failed| {
                Failed::could_not_run(format!("no answer from `{}`: {failed}", self.admin))
                    .help("name the admin listener of a running Fieldgate with `--admin`")
            })?;
            match serde_json::from_slice::<Revealed>(&answer.body) {
                Ok(revealed) if answer.status == StatusCode::OK => {
                    terminal::print(&format!("{}\n", revealed.value.get()))?;
                }
                _ => return Err(refused(answer.status, &answer.body)),
            }
        }
        Ok(Exit::Good)
    }

    fn masks(&self) -> Result<Vec<String>, Failed> {
        if self.mask != "-" {
            return Ok(vec![self.mask.clone()]);
        }
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map_err(|error| {
            Failed::could_not_run(format!("standard input cannot be read: {error}"))
        })?;
        let lines = text.lines().map(|line| line.trim().trim_matches('"').to_owned());
        Ok(lines.filter(|line| !line.is_empty()).collect())
    }

    fn request(
        &self,
        mask: &str,
        caller: &SecretString,
        admin: Option<&SecretString>,
    ) -> Result<Request<Bytes>, Failed> {
        let body = serde_json::json!({
            "resource": self.resource,
            "field": self.field,
            "record": self.record,
            "value": mask,
        });
        let body = Bytes::from(body.to_string());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(PATH);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
            .insert(header::AUTHORIZATION, secret(&format!("Bearer {}", caller.expose_secret()))?);
        if let Some(admin) = admin {
            headers.insert("x-fieldgate-admin-token", secret(admin.expose_secret())?);
        }
        Ok(request)
    }
}

fn secret(text: &str) -> Result<HeaderValue, Failed> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Failed::usage("a token has characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_token(path: &Path) -> Result<SecretString, Failed> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failed::could_not_run(format!("`{}` cannot be read: {error}", path.display()))
    })?;
    Ok(SecretString::from(text.trim()))
}

/// What a problem document says, as a complaint.
fn refused(status: StatusCode, body: &[u8]) -> Failed {
    let said = serde_json::from_slice::<Refused>(body).ok();
    let title = said.as_ref().map_or_else(|| status.to_string(), |said| said.title.to_lowercase());
    let failed =
        if status.is_server_error() { Failed::could_not_run(title) } else { Failed::input(title) };
    match said.and_then(|said| said.detail) {
        Some(detail) => failed.help(detail),
        None => failed,
    }
}
