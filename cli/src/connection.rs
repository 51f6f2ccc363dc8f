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

/// Variables of the environment; a flag counts for more.
const URL: &str = "STEMEDB_URL";
const API_KEY: &str = "STEMEDB_API_KEY";

/// What a variable holds; an empty one is none.
fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

/// Options of every client command.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    // The environment is read here and not by clap: its usage lines would show what is set there as required.
    /// Gateways, tried in order; several allowed, or a comma list [default: the three nodes of `stemedb up`] [env: STEMEDB_URL]
    #[arg(long = "url", value_name = "URL", value_delimiter = ',')]
    urls: Vec<GatewayUrl>,
    /// Sent as X-API-Key [env: STEMEDB_API_KEY]
    #[arg(long, value_name = "KEY")]
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
            self.api_key.clone().or_else(|| set(API_KEY)).as_deref(),
            Duration::from_secs(self.timeout),
        )
    }

    fn urls(&self) -> Result<Vec<GatewayUrl>, Failure> {
        if !self.urls.is_empty() {
            return Ok(self.urls.clone());
        }
        if let Some(urls) = set(URL) {
            let fault = |why| Failure::Usage(format!("{URL}: {why}"));
            let urls = urls.split(',').map(|url| url.parse().map_err(fault));
            return urls.collect();
        }
        LOCAL_CLUSTER
            .iter()
            .map(|url| url.parse().map_err(Failure::Usage))
            .collect()
    }
}
