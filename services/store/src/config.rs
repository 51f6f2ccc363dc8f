//! What the service is told, read once from the settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sidecar::Settings;

/// Everything [`crate::run`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the node.
    pub node: String,
    /// Directory of the database; made when it is not there.
    pub data_dir: PathBuf,
    /// Free disk below which writes are refused.
    pub min_free_bytes: u64,
    /// Connections that read at a time.
    pub readers: u32,
    /// Between two scrubs; none: only when asked for.
    pub scrub_interval: Option<Duration>,
    /// Shards of the cluster; must be what the database was made with.
    pub num_shards: u32,
    /// Where peers reach `Store`.
    pub peers: SocketAddr,
    /// Where the node's own services reach `Store`, `StoreControl` and health.
    pub local: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
}

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Config {
        let loopback = settings.loopback();
        let [_, metrics, _, _] = loopback.metrics;
        Config {
            node: settings.cluster.node_id.clone(),
            data_dir: settings.storage.data_dir.clone(),
            min_free_bytes: settings.storage.min_free_bytes,
            readers: settings.storage.readers,
            scrub_interval: settings.storage.scrub_interval,
            num_shards: settings.cluster.num_shards,
            peers: settings.cluster.rpc_addr,
            local: loopback.store,
            metrics,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listeners_are_those_of_the_store() {
        let variables = [
            ("STEMEDB_LOOPBACK_PORT", "20100"),
            ("STEMEDB_RPC_ADDR", "127.0.0.1:20002"),
            ("STEMEDB_MIN_FREE_MIB", "3"),
            ("STEMEDB_SCRUB_INTERVAL_S", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::from_parts(None, variables.into_iter()).unwrap();
        let config = Config::from(&settings);
        let ports = [config.peers, config.local, config.metrics].map(|address| address.port());
        assert_eq!(ports, [20_002, 20_101, 20_105]);
        assert_eq!(config.min_free_bytes, 3 << 20);
        assert_eq!(config.scrub_interval, None);
    }
}
