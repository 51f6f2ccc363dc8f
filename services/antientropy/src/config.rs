//! What the service is told, read once from the settings.

use std::net::SocketAddr;
use std::time::Duration;

use sidecar::Settings;

/// Everything [`crate::run`] needs. Who this node is and which cluster it belongs to come with the view.
#[derive(Debug, Clone)]
pub struct Config {
    /// Mean time between sessions with a peer. Shorter heals sooner; longer idles cheaper.
    pub sync_interval: Duration,
    /// How long records stay that this node does not own any more.
    pub hold: Duration,
    /// Bytes of records per second that repair may move; 0: no limit.
    pub repair_bytes_per_s: u64,
    /// The own store's loopback listener.
    pub store: SocketAddr,
    /// The own membership's loopback listener.
    pub membership: SocketAddr,
    /// Where the `Antientropy` service listens.
    pub grpc: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
}

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Config {
        let loopback = settings.loopback();
        let [_, _, _, metrics] = loopback.metrics;
        Config {
            sync_interval: settings.replication.sync_interval,
            hold: settings.replication.hold,
            repair_bytes_per_s: settings.replication.repair_bytes_per_s.unwrap_or(0),
            store: loopback.store,
            membership: loopback.membership,
            grpc: loopback.antientropy,
            metrics,
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
            ("STEMEDB_SYNC_INTERVAL_MS", "250"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::from_parts(None, variables.into_iter()).unwrap();
        let config = Config::from(&settings);
        let ports = [config.store, config.membership, config.grpc, config.metrics]
            .map(|address| address.port());
        assert_eq!(ports, [20_101, 20_102, 20_103, 20_107]);
        assert_eq!(config.sync_interval, Duration::from_millis(250));
        assert_eq!(config.hold, Duration::from_secs(600));
        assert_eq!(config.repair_bytes_per_s, 0);
    }
}
