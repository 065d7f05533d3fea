//! The demo's state folder: policies, configuration, key ring and log, as an operator has them.
//!
//! Never overwrites a file that a person may have made.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::super::exit::Failed;
use super::super::keys;
use crate::demo::crm::TOKENS;
use crate::mask::KeyId;

/// The company that every token of the demo belongs to.
const TENANT: &str = "demo";

/// A token whose role no policy knows. The CRM does not know it either.
pub(super) const STRANGER: &str = "demo-stranger";

/// What workflows show the CRM; to it everybody who is known may write.
const CRM_TOKEN: &str = "demo-admin";

/// The first line of a configuration that the demo may overwrite.
const MARK: &str = "# Written by `fieldgate demo` at every start.\n";

/// Every file of a folder of policies, as it was when the program was built.
macro_rules! policies {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../policies/", $name)))),+]
    };
}

/// The policies that are shipped.
const POLICIES: [(&str, &str); 21] = policies![
    "README.md",
    "global.yaml",
    "resources/account.yaml",
    "resources/activity.yaml",
    "resources/contact.yaml",
    "resources/deal.yaml",
    "resources/lead.yaml",
    "roles/admin.yaml",
    "roles/finance.yaml",
    "roles/marketing.yaml",
    "roles/sales_rep.yaml",
    "roles/support.yaml",
    "scoring.yaml",
    "templates/new_lead.html",
    "templates/new_lead.txt",
    "workflows/export_on_deal_won.yaml",
    "workflows/notify_on_negotiation.yaml",
    "workflows/nurture_low_scores.yaml",
    "workflows/qualify_high_value_leads.yaml",
    "workflows/tests/deals.yaml",
    "workflows/tests/leads.yaml",
];

/// The state folder.
pub(super) struct Home {
    folder: PathBuf,
    /// Removes the folder when it is dropped.
    temporary: Option<TempDir>,
}

/// What stands in the configuration.
pub(super) struct Addresses {
    pub(super) listen: SocketAddr,
    pub(super) upstream: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Where the receiver of events listens.
    pub(super) receiver: SocketAddr,
    /// Where mails are taken.
    pub(super) mailbox: SocketAddr,
}

impl Home {
    /// Takes `data_dir`, which is made if it is not there, or else a temporary folder.
    pub(super) fn open(data_dir: Option<&Path>) -> Result<Self, Failed> {
        let Some(folder) = data_dir else {
            let temporary = tempfile::Builder::new()
                .prefix("fieldgate-demo-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir();
            let temporary = temporary.map_err(|error| {
                Failed::could_not_run(format!("no temporary folder can be made: {error}"))
                    .help("name a folder with `--data-dir`")
            })?;
            return Ok(Self { folder: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let folder = made.and_then(|()| folder.canonicalize()).map_err(|error| {
            Failed::could_not_run(format!("`{}` cannot be used: {error}", folder.display()))
                .help("name another folder with `--data-dir`")
        })?;
        Ok(Self { folder, temporary: None })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("fieldgate.yaml")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// The secret that gate and receiver share, made at the first start.
    pub(super) fn webhook_secret(&self) -> Result<String, Failed> {
        let path = self.folder.join("webhook.secret");
        if let Ok(secret) = fs::read_to_string(&path) {
            return Ok(secret.trim().to_owned());
        }
        let secret = format!("whsec_{}", BASE64.encode(&rand::random::<[u8; 32]>()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.and_then(|mut file| file.write_all(secret.as_bytes()))
            .map_err(|error| refused(&path, &error))?;
        Ok(secret)
    }

    /// The credential that workflows show the CRM, a file as the configuration wants it.
    pub(super) fn write_crm_token(&self) -> Result<(), Failed> {
        let path = self.folder.join("crm.token");
        let made =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        made.and_then(|mut file| file.write_all(CRM_TOKEN.as_bytes()))
            .map_err(|error| refused(&path, &error))
    }

    /// The name of a file in the folder, as a shell takes it for one word.
    pub(super) fn in_shell(&self, name: &str) -> String {
        let path = self.folder.join(name).display().to_string();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
        if path.bytes().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
    }

    /// What becomes of the folder at the end.
    pub(super) fn fate(&self) -> &'static str {
        if self.temporary.is_some() { "removes the state folder" } else { "keeps the state folder" }
    }

    /// Writes what is not there yet: policies, a fresh key ring, the configuration.
    pub(super) fn furnish(&self, addresses: &Addresses) -> Result<(), Failed> {
        let policies = self.folder.join("policies");
        if !policies.exists() {
            for (name, text) in POLICIES {
                let path = policies.join(name);
                let made = fs::create_dir_all(path.parent().unwrap_or(&policies));
                made.and_then(|()| fs::write(&path, text))
                    .map_err(|error| refused(&path, &error))?;
            }
        }
        let keys = self.folder.join("keys.yaml");
        if !keys.exists() {
            let id =
                KeyId::parse("k1").map_err(|error| Failed::could_not_run(error.to_string()))?;
            keys::write_new(&keys, &keys::new_ring(&id))?;
        }
        let config = self.config();
        match fs::read_to_string(&config) {
            Ok(text) if !text.starts_with(MARK) => {
                let message = format!("`{}` was not written by the demo", config.display());
                return Err(Failed::could_not_run(message)
                    .help("name another folder with `--data-dir`, so that nothing is lost"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused(&config, &error));
            }
            Ok(_) | Err(_) => {}
        }
        fs::write(&config, configuration(addresses)).map_err(|error| refused(&config, &error))
    }

    /// The file that the access log is appended to; its owner alone can read it.
    pub(super) fn open_log(&self) -> Result<File, Failed> {
        let path = self.log();
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        opened.map_err(|error| refused(&path, &error))
    }
}

fn refused(path: &Path, error: &io::Error) -> Failed {
    Failed::could_not_run(format!("`{}` cannot be written: {error}", path.display()))
        .help("name another folder with `--data-dir`")
}

/// The configuration: the defaults of Fieldgate, but for addresses, tokens and keys.
fn configuration(addresses: &Addresses) -> String {
    let Addresses { listen, upstream, admin, receiver, mailbox } = addresses;
    let (mail_host, mail_port) = (mailbox.ip(), mailbox.port());
    let mut text = format!(
        "{MARK}# Copy it to start from; what it does not say has a default, see docs/configuration.md.\n\
         listen: \"{listen}\"\n\
         upstream: http://{upstream}\n\
         identity:\n  \
         - static_tokens:\n"
    );
    for token in TOKENS.into_iter().chain([STRANGER]) {
        let role = token.strip_prefix("demo-").unwrap_or(token);
        let digest = HEXLOWER.encode(&Sha256::digest(token));
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "      # {token}\n      \
             - sha256: \"{digest}\"\n        \
             subject: {token}\n        \
             roles: [{role}]\n        \
             tenant: {TENANT}\n"
        );
    }
    text.push_str(
        "  # People: by session, user and password, or API key; the CRM is asked who they are.\n  \
         # curl -u ann:demo-admin ...\n  \
         - who_am_i:\n      \
         path: /api/v1/me/\n      \
         credentials: { cookies: [sessionid], headers: [X-Api-Key], authorization: [basic] }\n      \
         subject: $.username\n      \
         roles: $.groups[*].name\n      \
         tenant: $.company.slug\n      \
         forget: [/logout/, /password/]\n    \
         roles:\n      \
         map:\n        \
         CRM Admins: admin\n        \
         Sales: sales_rep\n        \
         Marketing: marketing\n        \
         Finance: finance\n        \
         Support: support\n",
    );
    text + &format!(
        "policies: policies\n\
         keys: keys.yaml\n\
         telemetry: {{ environment: demo }}\n\
         admin: {{ listen: \"{admin}\" }}\n\
         drain: 2s\n\
         # What must outlive the process: `fieldgate events list --data-dir` reads it.\n\
         data_dir: \".\"\n\
         events:\n  \
         source: https://crm.example\n  \
         retry: [1s, 5s, 30s]\n  \
         sinks:\n    \
         # The receiver sees events as `support` may see the records.\n    \
         - webhook:\n        \
         name: receiver\n        \
         role: support\n        \
         url: http://{receiver}/\n        \
         secrets: [webhook.secret]\n        \
         allow: [127.0.0.1/32]\n\
         # What workflows act with: `policies/workflows/` says what they do.\n\
         workflows:\n  \
         crm: {{ token_file: crm.token }}\n  \
         smtp: {{ host: {mail_host}, port: {mail_port}, tls: off, from: fieldgate@example.com }}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{config, mask, policy};

    fn addresses() -> Addresses {
        let at = |address: &str| address.parse().unwrap();
        Addresses {
            listen: at("[::1]:8080"),
            upstream: at("127.0.0.1:8081"),
            admin: at("[::1]:0"),
            receiver: at("127.0.0.1:8082"),
            mailbox: at("127.0.0.1:2525"),
        }
    }

    fn walk(folder: &Path, below: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, below, found);
            } else {
                let name = path.strip_prefix(below).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn the_policies_of_the_demo_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut shipped = BTreeMap::new();
        walk(&folder, &folder, &mut shipped);
        let embedded: BTreeMap<String, String> =
            POLICIES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(embedded, shipped);
    }

    #[test]
    fn what_is_written_is_what_the_gate_reads() {
        let home = Home::open(None).unwrap();
        home.webhook_secret().unwrap();
        home.write_crm_token().unwrap();
        home.furnish(&addresses()).unwrap();
        let loaded = config::load(&home.config(), &|_| None).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let settings = loaded.settings;
        assert_eq!(settings.listeners[0].address, addresses().listen);
        assert_eq!(settings.upstream.port, 8081);
        let policies = policy::load(&settings.policies);
        assert!(policies.findings.is_empty(), "{:?}", policies.findings);
        let roles = policies.set.unwrap().roles;
        for token in TOKENS {
            assert!(roles.contains_key(token.strip_prefix("demo-").unwrap()), "{token}");
        }
        assert!(!roles.contains_key("stranger"));
        mask::load(&settings.keys.unwrap()).unwrap();
        let mode = fs::metadata(home.folder().join("keys.yaml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let folder = home.folder().to_owned();
        drop(home);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_person_made_is_kept() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("new/demo");
        let home = Home::open(Some(&folder)).unwrap();
        home.furnish(&addresses()).unwrap();
        let keys = fs::read_to_string(folder.join("keys.yaml")).unwrap();
        fs::write(folder.join("policies/roles/admin.yaml"), "role: admin\n").unwrap();
        fs::remove_file(folder.join("policies/roles/support.yaml")).unwrap();

        Home::open(Some(&folder)).unwrap().furnish(&addresses()).unwrap();
        assert_eq!(fs::read_to_string(folder.join("keys.yaml")).unwrap(), keys);
        let role = fs::read_to_string(folder.join("policies/roles/admin.yaml")).unwrap();
        assert_eq!(role, "role: admin\n");
        assert!(!folder.join("policies/roles/support.yaml").exists());

        fs::write(home.config(), "upstream: http://crm\n").unwrap();
        let failed = home.furnish(&addresses()).unwrap_err();
        assert!(failed.message.unwrap().contains("was not written by the demo"));
        assert_eq!(fs::read_to_string(home.config()).unwrap(), "upstream: http://crm\n");
    }

    #[test]
    fn names_in_commands_are_one_word() {
        let home = |folder: &str| Home { folder: folder.into(), temporary: None };
        assert_eq!(home("/tmp/a-b").in_shell("c"), "/tmp/a-b/c");
        assert_eq!(home("/my demo's").in_shell("c"), r"'/my demo'\''s/c'");
    }
}
