//! Where to join: hosts from the settings, resolved anew at every try, so that a name may move.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use sidecar::settings::PORT_RPC;

/// A name server that takes longer is asked again in the next round.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Names resolved at once.
const RESOLVE_CONCURRENCY: usize = 8;

/// One seed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    host: String,
    port: u16,
}

/// Text that is not a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a seed: write host or host:port, as in STEMEDB_SEED_NODES=node1,node2:18183")]
pub struct NotASeed(String);

impl Seed {
    /// Reads `host`, `host:port`, `[v6]:port` or a bare v6 address. Without a port, or with the port of gRPC, it is
    /// `swim_port`, our own; any other port is the seed's SWIM port.
    ///
    /// # Errors
    /// For an empty host or a port that is not one.
    pub fn parse(text: &str, swim_port: u16) -> Result<Seed, NotASeed> {
        let fault = || NotASeed(text.chars().take(100).collect());
        let text_only = text.trim();
        if let Ok(ip) = text_only
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
        {
            return Ok(Seed {
                host: ip.to_string(),
                port: swim_port,
            });
        }
        let (host, port) = match text_only.rsplit_once(':') {
            Some((host, port)) => (host, port.parse::<u16>().map_err(|_| fault())?),
            None => (text_only, swim_port),
        };
        let host = host.trim_matches(['[', ']']);
        let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if !is_host || port == 0 {
            return Err(fault());
        }
        Ok(Seed {
            host: host.to_owned(),
            port: if port == PORT_RPC { swim_port } else { port },
        })
    }

    /// All its addresses now.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
            Err(_) => Err(format!("{self}: the name was not resolved in time")),
            Ok(Err(fault)) => Err(format!("{self}: {fault}")),
            Ok(Ok(addresses)) => Ok(addresses.collect()),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

/// All addresses of all seeds, and what went wrong with some.
pub async fn resolve_all(seeds: &[Seed]) -> (BTreeSet<SocketAddr>, Vec<String>) {
    let mut lookups = futures::stream::iter(seeds.to_vec())
        .map(|seed| async move { seed.resolve().await })
        .buffer_unordered(RESOLVE_CONCURRENCY);
    let mut addresses = BTreeSet::new();
    let mut faults = Vec::new();
    while let Some(outcome) = lookups.next().await {
        match outcome {
            Ok(found) => addresses.extend(found),
            Err(fault) => faults.push(fault),
        }
    }
    faults.sort();
    (addresses, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Seed::parse(text, 18183).ok().map(|seed| seed.to_string())
    }

    #[test]
    fn the_host_counts_on_default_ports_and_another_port_is_the_seeds_own() {
        assert_eq!(read("node2").as_deref(), Some("node2:18183"));
        assert_eq!(read("node2:18182").as_deref(), Some("node2:18183"));
        assert_eq!(read(" node2:18183 ").as_deref(), Some("node2:18183"));
        assert_eq!(read("127.0.0.1:18283").as_deref(), Some("127.0.0.1:18283"));
        assert_eq!(read("2001:db8::2").as_deref(), Some("[2001:db8::2]:18183"));
        assert_eq!(
            read("[2001:db8::2]:18283").as_deref(),
            Some("[2001:db8::2]:18283")
        );
        for bad in [
            "",
            ":18183",
            "node2:",
            "node2:x",
            "node2:0",
            "http://node2",
            "a b",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn names_resolve_and_faults_are_named() {
        let seeds = ["127.0.0.1:7", "localhost:8", "no-such-host.invalid:9"]
            .map(|text| Seed::parse(text, 18183).unwrap());
        let (addresses, faults) = resolve_all(&seeds).await;
        assert!(addresses.contains(&"127.0.0.1:7".parse().unwrap()));
        assert!(addresses.iter().any(|address| address.port() == 8));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("no-such-host"));
    }
}
