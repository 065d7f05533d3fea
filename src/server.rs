//! The composition root: wires the rooms together and owns start, drain and stop.

use std::net::SocketAddr;

use crate::config::Settings;
use crate::diagnostic::Finding;
use crate::telemetry::Telemetry;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Policies or keys are refused; every fault.
    #[error("the policies or keys are refused")]
    Findings(Vec<Finding>),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// `data` or `admin`.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Anything else that the settings ask for and that cannot be had: one message each.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
}

/// A server whose listeners are bound and whose policies are loaded.
#[derive(Debug)]
pub struct Server {
    data: Vec<SocketAddr>,
    admin: SocketAddr,
}

impl Server {
    /// Loads keys and policies and binds every listener.
    pub async fn start(_settings: Settings, _telemetry: Telemetry) -> Result<Self, StartError> {
        Err(StartError::Settings(vec![]))
    }

    /// Where clients can connect, with the ports that port 0 became.
    #[must_use]
    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.data
    }

    /// Where operators can connect.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Serves until `stop` resolves, then drains within the configured time.
    pub async fn serve(self, _stop: impl Future<Output = ()> + Send) {}
}
