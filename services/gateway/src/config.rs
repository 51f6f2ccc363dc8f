//! What the service is told, read once from the settings.

use std::net::SocketAddr;
use std::time::Duration;

use sidecar::Settings;
use sidecar::settings::SERVICES;

/// Everything [`crate::run`] needs. Which cluster this node belongs to comes with the view.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node's name.
    pub node: String,
    /// Where the public API listens.
    pub api: SocketAddr,
    /// Where the public API and the cluster's own listen.
    pub bind: SocketAddr,
    /// Where the health service listens.
    pub grpc: SocketAddr,
    /// Where the metrics of this process are served.
    pub metrics: SocketAddr,
    /// The own store's loopback listener.
    pub store: SocketAddr,
    /// The own membership's loopback listener.
    pub membership: SocketAddr,
    /// The own antientropy's loopback listener.
    pub antientropy: SocketAddr,
    /// Metrics listeners of this node's services, this one included, by name.
    pub scrapes: Vec<(&'static str, SocketAddr)>,
    /// Origins that browsers may call from; empty: any.
    pub allowed_origins: Vec<String>,
    /// How long who waits for what.
    pub patience: Patience,
}

/// How long a read may take that asks all nodes. Pages and claims are bounded, so only load makes it that long.
const UNION_MAX: Duration = Duration::from_secs(10);

/// How long who waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Silence of a store until the write also goes to a stand-in.
    pub hedge: Duration,
    /// Until a write that is durable on too few nodes is answered 202.
    pub write: Duration,
    /// Until a write that nobody confirmed is answered 503.
    pub maybe_stored: Duration,
    /// Until a read that asks all nodes is answered 503.
    pub union: Duration,
}

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Config {
        let loopback = settings.loopback();
        let [metrics, ..] = loopback.metrics;
        Config {
            node: settings.cluster.node_id.clone(),
            api: settings.cluster.api_addr,
            bind: settings.cluster.bind_addr,
            grpc: loopback.gateway,
            metrics,
            store: loopback.store,
            membership: loopback.membership,
            antientropy: loopback.antientropy,
            scrapes: SERVICES.into_iter().zip(loopback.metrics).collect(),
            allowed_origins: settings.allowed_origins.clone(),
            patience: Patience {
                hedge: settings.replication.hedge,
                write: settings.replication.write_deadline,
                maybe_stored: settings.replication.maybe_stored_deadline,
                union: UNION_MAX,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbours_are_found_from_one_port() {
        let variables = [
            ("STEMEDB_LOOPBACK_PORT", "20100"),
            ("STEMEDB_HEDGE_MS", "40"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::from_parts(None, variables.into_iter()).unwrap();
        let config = Config::from(&settings);
        let neighbours = [config.store, config.membership, config.antientropy];
        let ports = neighbours.map(|address| address.port());
        assert_eq!(ports, [20_101, 20_102, 20_103]);
        let scraped: Vec<(&str, u16)> = config
            .scrapes
            .iter()
            .map(|(name, at)| (*name, at.port()))
            .collect();
        assert_eq!(
            (scraped[0], scraped[3]),
            (("gateway", 20_104), ("antientropy", 20_107))
        );
        assert_eq!(config.patience.hedge, Duration::from_millis(40));
    }
}
