//! What the service is told, read once from the settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sidecar::Settings;

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

impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Config {
        let cluster = &settings.cluster;
        let loopback = settings.loopback();
        let [_, _, metrics, _] = loopback.metrics;
        Config {
            name: cluster.node_id.clone(),
            cluster_name: cluster.name.clone(),
            secret: cluster.secret.clone(),
            swim: cluster.swim_addr,
            advertise_host: advertise_host(cluster),
            api_port: cluster.api_addr.port(),
            admin_port: cluster.bind_addr.port(),
            rpc_port: cluster.rpc_addr.port(),
            seeds: cluster.seeds.clone(),
            num_shards: cluster.num_shards,
            replication_factor: settings.replication.factor,
            bootstrap_expect: cluster.bootstrap_expect,
            rebalance_delay: settings.replication.rebalance_delay,
            directory: settings.storage.data_dir.join("membership"),
            store: loopback.store,
            grpc: loopback.membership,
            metrics,
        }
    }
}

/// What was set, else the address SWIM is bound to, else the name of this host.
fn advertise_host(cluster: &sidecar::settings::Cluster) -> String {
    cluster.advertise_host.clone().unwrap_or_else(|| {
        if cluster.swim_addr.ip().is_unspecified() {
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned()
        } else {
            cluster.swim_addr.ip().to_string()
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from(&Settings::from_parts(None, variables).unwrap())
    }

    #[test]
    fn others_are_told_what_was_set_or_bound() {
        let bound = config(&[("STEMEDB_SWIM_ADDR", "10.0.1.51:18183")]);
        assert_eq!(bound.advertise_host, "10.0.1.51");
        let set = config(&[
            ("STEMEDB_SWIM_ADDR", "10.0.1.51:18183"),
            ("STEMEDB_ADVERTISE_HOST", "node1"),
        ]);
        assert_eq!(set.advertise_host, "node1");
        assert!(!config(&[]).advertise_host.is_empty());
    }

    #[test]
    fn seeds_without_a_port_speak_swim_where_this_node_does() {
        let config = config(&[
            ("STEMEDB_NODE_ID", "node1"),
            ("STEMEDB_SWIM_ADDR", "127.0.0.1:20003"),
            ("STEMEDB_SEED_NODES", "node2,node3:18182"),
            ("STEMEDB_LOOPBACK_PORT", "20011"),
        ]);
        assert!(config.check().is_ok());
        let seeds = config.parsed_seeds().unwrap();
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["node2:20003", "node3:20003"]);
        let ports = [config.store, config.grpc, config.metrics].map(|address| address.port());
        assert_eq!(ports, [20_012, 20_013, 20_017]);
    }
}
