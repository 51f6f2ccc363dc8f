//! What every client command has in common: where the cluster is, who asks, and how the answer is shown.

use std::time::Duration;

use crate::client::{Client, GatewayUrl};
use crate::failure::Failure;

/// The three gateways of `stemedb up`: they serve the public API and the cluster's.
pub(crate) const LOCAL_CLUSTER: [&str; 3] = [
    "http://127.0.0.1:18181",
    "http://127.0.0.1:18281",
    "http://127.0.0.1:18381",
];

/// Options of every client command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// Gateways, tried in order; several allowed, or a comma list [default: the three nodes of `stemedb up`]
    #[arg(
        long = "url",
        value_name = "URL",
        env = "STEMEDB_URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    urls: Vec<GatewayUrl>,
    /// Sent as X-API-Key
    #[arg(
        long,
        value_name = "KEY",
        env = "STEMEDB_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
    /// How long one gateway may take to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Print JSON for programs
    #[arg(long)]
    pub(crate) json: bool,
}

impl Connection {
    /// The client that these options describe.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(
            self.urls()?,
            self.api_key.as_deref(),
            Duration::from_secs(self.timeout),
        )
    }

    fn urls(&self) -> Result<Vec<GatewayUrl>, Failure> {
        if !self.urls.is_empty() {
            return Ok(self.urls.clone());
        }
        LOCAL_CLUSTER
            .iter()
            .map(|url| url.parse().map_err(Failure::Usage))
            .collect()
    }
}
