//! How Fieldgate reads leads from the CRM for itself, as checked.

use http::HeaderName;
use secrecy::SecretString;

/// How leads are read to be scored, when no client reads them.
#[derive(Debug)]
pub struct Scores {
    /// By what the CRM knows Fieldgate, one for a company; without any it is never asked.
    pub service: Vec<ServiceCredential>,
    /// Most requests a second, all companies together.
    pub rate: usize,
    /// Leads that are kept at once.
    pub batch: usize,
}

impl Default for Scores {
    fn default() -> Self {
        Self { service: Vec::new(), rate: 20, batch: 100 }
    }
}

/// By what the CRM knows Fieldgate.
#[derive(Debug, Clone)]
pub struct ServiceCredential {
    /// The company whose leads it shows; `None` where callers have none.
    pub company: Option<String>,
    /// The header that it stands in.
    pub header: HeaderName,
    /// The whole value of that header.
    pub value: SecretString,
}
