//! What the service is told, read once from the settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::book::valid_name;
use crate::error::Error;
use crate::seeds::Seed;

/// Everything [`crate::run`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Node name (`STEMEDB_NODE_ID`).
    pub name: String,
    /// Packets of other cluster names are not read.
    pub cluster_name: String,
    /// SWIM is encrypted with a key derived from it, when given.
    pub secret: Option<String>,
    /// Where SWIM listens, UDP and TCP; port 0: any.
    pub swim: SocketAddr,
    /// Host name or address that others reach this node under.
    pub advertise_host: String,
    /// Port of the public API.
    pub api_port: u16,
    /// Port of the cluster and admin API.
    pub admin_port: u16,
    /// Port of the store for peers.
    pub rpc_port: u16,
    /// Where to join, as written.
    pub seeds: Vec<String>,
    /// Shards of the cluster.
    pub num_shards: u32,
    /// Copies every record shall have.
    pub replication_factor: u32,
    /// Nodes that must be UP before a cluster is made.
    pub bootstrap_expect: usize,
    /// How long a member that stopped serving keeps its shards.
    pub rebalance_delay: Duration,
    /// Where the member list is kept.
    pub directory: PathBuf,
    /// The own store's loopback listener.
    pub store: SocketAddr,
    /// Where the `Membership` service listens.
    pub grpc: SocketAddr,
    /// Where metrics are served.
    pub metrics: SocketAddr,
}

impl Config {
    /// The seeds, read.
    ///
    /// # Errors
    /// For a seed that is not one.
    pub fn parsed_seeds(&self) -> Result<Vec<Seed>, Error> {
        let port = self.swim.port();
        Ok(self
            .seeds
            .iter()
            .map(|text| Seed::parse(text, port))
            .collect::<Result<_, _>>()?)
    }

    /// Checks what the settings table cannot.
    ///
    /// # Errors
    /// For a node name that cannot stand in a SWIM id.
    pub fn check(&self) -> Result<(), Error> {
        if !valid_name(&self.name) {
            return Err(Error::Setting(format!(
                "STEMEDB_NODE_ID={:?} cannot be a node name: use one word without '/', at most {} bytes",
                self.name,
                crate::book::NAME_MAX
            )));
        }
        Ok(())
    }
}

/// The address of a host that a listener of the same family as `bind` can be reached under.
pub(crate) async fn resolve_host(host: &str, bind: IpAddr) -> Result<IpAddr, String> {
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), 0))
        .await
        .map_err(|fault| fault.to_string())?;
    found
        .map(|address| address.ip())
        .find(|ip| ip.is_ipv4() == bind.is_ipv4())
        .ok_or_else(|| {
            let family = if bind.is_ipv4() { "IPv4" } else { "IPv6" };
            format!("it has no {family} address, as STEMEDB_SWIM_ADDR needs")
        })
}
