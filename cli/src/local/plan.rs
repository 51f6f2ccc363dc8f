//! Which processes a local cluster has, on which ports, with which settings.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sidecar::settings::{PORT_ADMIN, PORT_API, PORT_LOOPBACK, PORT_RPC, PORT_SWIM};

/// Ports of two neighbouring nodes are this far apart.
pub(crate) const NODE_STRIDE: u16 = 100;

/// Ports of a node lie as far above its first one as those of a node alone lie above 18180.
const ADMIN_OFFSET: u16 = PORT_ADMIN - PORT_API;
const RPC_OFFSET: u16 = PORT_RPC - PORT_API;
const SWIM_OFFSET: u16 = PORT_SWIM - PORT_API;
const LOOPBACK_OFFSET: u16 = PORT_LOOPBACK - PORT_API;

/// Four gRPC listeners and four metrics listeners.
const LOOPBACK_COUNT: u16 = 8;

/// More nodes than this on one machine teach nothing; each is four processes.
pub(crate) const NODES_MAX: u16 = 9;

/// Every node is on this machine.
const HOST: &str = "127.0.0.1";

/// One of the four processes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Service {
    /// Clients.
    Gateway,
    /// Data.
    Store,
    /// The view.
    Membership,
    /// Repair.
    Antientropy,
}

impl Service {
    /// All four, in the order in which people read them.
    pub(crate) const ALL: [Service; 4] = [
        Service::Gateway,
        Service::Store,
        Service::Membership,
        Service::Antientropy,
    ];

    /// The order of a graceful end: first who takes work, last who keeps the data.
    pub(crate) const STOP_ORDER: [&'static [Service]; 3] = [
        &[Service::Gateway],
        &[Service::Antientropy, Service::Membership],
        &[Service::Store],
    ];

    /// Name of the process, and of the subcommand that runs it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Gateway => "gateway",
            Service::Store => "store",
            Service::Membership => "membership",
            Service::Antientropy => "antientropy",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Service, String> {
        let found = Service::ALL
            .into_iter()
            .find(|service| service.name() == text);
        found.ok_or_else(|| {
            format!("{text:?} is no service: gateway, store, membership, antientropy")
        })
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodePlan {
    /// `node1` and so on.
    pub(crate) name: String,
    /// First port: the public API.
    base: u16,
    /// Its data and its logs.
    directory: PathBuf,
}

impl NodePlan {
    /// The node with a 1-based number. `Err` when its ports are beyond the last one there is.
    pub(crate) fn new(number: u16, base_port: u16, data_dir: &Path) -> Result<NodePlan, String> {
        let name = format!("node{number}");
        let base = (number - 1)
            .checked_mul(NODE_STRIDE)
            .and_then(|offset| base_port.checked_add(offset))
            .filter(|base| base.checked_add(LOOPBACK_OFFSET + LOOPBACK_COUNT).is_some())
            .ok_or_else(|| format!("--base-port {base_port} leaves no room for {name}"))?;
        let directory = data_dir.join(&name);
        Ok(NodePlan {
            name,
            base,
            directory,
        })
    }

    /// The number in a name that [`NodePlan::new`] gives.
    pub(crate) fn number(name: &str) -> Option<u16> {
        let number = name.strip_prefix("node")?.parse().ok()?;
        (1..=NODES_MAX).contains(&number).then_some(number)
    }

    /// Public API.
    pub(crate) fn api(&self) -> String {
        address(self.base)
    }

    /// Cluster and admin API, and the public one.
    pub(crate) fn admin(&self) -> String {
        address(self.base + ADMIN_OFFSET)
    }

    /// The store, for peers.
    pub(crate) fn rpc(&self) -> String {
        address(self.base + RPC_OFFSET)
    }

    /// SWIM.
    pub(crate) fn swim(&self) -> String {
        address(self.base + SWIM_OFFSET)
    }

    /// First of the loopback listeners.
    pub(crate) fn loopback_port(&self) -> u16 {
        self.base + LOOPBACK_OFFSET
    }

    /// Every port that the node listens on with TCP.
    pub(crate) fn tcp_ports(&self) -> impl Iterator<Item = u16> {
        (self.base..=self.base + SWIM_OFFSET)
            .chain(self.loopback_port()..self.loopback_port() + LOOPBACK_COUNT)
    }

    /// The port that it listens on with UDP.
    pub(crate) fn udp_port(&self) -> u16 {
        self.base + SWIM_OFFSET
    }

    /// Where the node keeps its data.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a service writes its log.
    pub(crate) fn log(&self, service: Service) -> PathBuf {
        self.directory.join("log").join(format!("{service}.log"))
    }

    /// Where a service answers the gRPC health check.
    pub(crate) fn health(&self, service: Service) -> SocketAddr {
        let loopback = sidecar::Loopback::from_port(self.loopback_port());
        match service {
            Service::Gateway => loopback.gateway,
            Service::Store => loopback.store,
            Service::Membership => loopback.membership,
            Service::Antientropy => loopback.antientropy,
        }
    }

    /// The settings that make this node this node; everything else comes from the environment of `up`.
    pub(crate) fn settings(
        &self,
        seeds: &[String],
        bootstrap_expect: usize,
    ) -> Vec<(&'static str, String)> {
        vec![
            ("STEMEDB_NODE_ID", self.name.clone()),
            ("STEMEDB_API_ADDR", self.api()),
            ("STEMEDB_GATEWAY_ADDR", self.admin()),
            ("STEMEDB_RPC_ADDR", self.rpc()),
            ("STEMEDB_SWIM_ADDR", self.swim()),
            ("STEMEDB_LOOPBACK_PORT", self.loopback_port().to_string()),
            ("STEMEDB_ADVERTISE_HOST", HOST.to_owned()),
            ("STEMEDB_SEED_NODES", seeds.join(",")),
            ("STEMEDB_BOOTSTRAP_EXPECT", bootstrap_expect.to_string()),
            ("STEMEDB_DATA_DIR", self.directory.display().to_string()),
        ]
    }
}

fn address(port: u16) -> String {
    format!("{HOST}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_lie_a_hundred_ports_apart() {
        let data = Path::new("stemedb-data");
        let first = NodePlan::new(1, 18_180, data).unwrap();
        let third = NodePlan::new(3, 18_180, data).unwrap();
        assert_eq!(
            (first.api().as_str(), first.admin().as_str()),
            ("127.0.0.1:18180", "127.0.0.1:18181")
        );
        assert_eq!(
            (third.rpc().as_str(), third.swim().as_str()),
            ("127.0.0.1:18382", "127.0.0.1:18383")
        );
        assert_eq!(third.loopback_port(), 18_391);
        assert_eq!(third.tcp_ports().count(), 12);
        assert_eq!(third.log(Service::Store), data.join("node3/log/store.log"));
    }

    #[test]
    fn a_name_says_which_node_it_is() {
        let numbers = [
            "node1", "node9", "node0", "node10", "nodeX", "pod-1", "node",
        ];
        let read: Vec<Option<u16>> = numbers.into_iter().map(NodePlan::number).collect();
        assert_eq!(read, [Some(1), Some(9), None, None, None, None, None]);
    }

    #[test]
    fn ports_beyond_the_last_are_refused() {
        assert!(NodePlan::new(1, 65_520, Path::new("")).is_err());
        assert!(NodePlan::new(9, 65_000, Path::new("")).is_err());
        assert!(NodePlan::new(1, 65_500, Path::new("")).is_ok());
    }

    #[test]
    fn every_service_is_stopped_once() {
        let mut stopped: Vec<Service> = Service::STOP_ORDER.concat();
        stopped.sort_unstable();
        assert_eq!(stopped, Service::ALL);
    }
}
