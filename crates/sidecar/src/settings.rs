//! Settings: defaults, then config.toml, then `STEMEDB_*` variables. All four services read the same.

mod layers;
mod page;
mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

pub use layers::{Fault, Origin};
pub use page::markdown;
pub use table::{
    COMMAND_VARIABLES, Entry, Kind, OTHER_VARIABLES, PORT_ADMIN, PORT_API, PORT_LOOPBACK, PORT_RPC,
    PORT_SWIM, TABLE,
};

use layers::Layers;

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Values are wrong; all of them.
    #[error("the configuration has {} fault(s):\n  {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Faults(Vec<Fault>),
}

/// The cluster and where this node is in it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Name of this node.
    pub node_id: String,
    /// Several nodes, or one alone.
    pub enabled: bool,
    /// Label of the cluster.
    pub name: String,
    /// Shared secret.
    pub secret: Option<String>,
    /// Public API.
    pub api_addr: SocketAddr,
    /// Cluster and admin API.
    pub bind_addr: SocketAddr,
    /// gRPC for peers.
    pub rpc_addr: SocketAddr,
    /// SWIM.
    pub swim_addr: SocketAddr,
    /// First loopback port.
    pub loopback_port: u16,
    /// Host that others reach this node at, when it was set.
    pub advertise_host: Option<String>,
    /// Where to join.
    pub seeds: Vec<String>,
    /// Shards of the cluster.
    pub num_shards: u32,
    /// Nodes that must be up before it forms.
    pub bootstrap_expect: usize,
}

/// How records are copied.
#[derive(Debug, Clone)]
pub struct Replication {
    /// Nodes that hold each record.
    pub factor: u32,
    /// How long a stopped node keeps its shards.
    pub rebalance_delay: Duration,
    /// How long rows that others own are kept after this node stopped owning them.
    pub hold: Duration,
    /// Between repair sessions with a peer.
    pub sync_interval: Duration,
    /// Limit of repair, none when `None`.
    pub repair_bytes_per_s: Option<u64>,
    /// Until 202.
    pub write_deadline: Duration,
    /// Until 503.
    pub maybe_stored_deadline: Duration,
    /// Until a stand-in is asked.
    pub hedge: Duration,
}

/// The disk.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Everything a node keeps.
    pub data_dir: PathBuf,
    /// Below this the store takes no writes.
    pub min_free_bytes: u64,
    /// Reading connections.
    pub readers: u32,
    /// Between two scrubs, none when `None`.
    pub scrub_interval: Option<Duration>,
}

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[replication]`
    pub replication: Replication,
    /// `[storage]`
    pub storage: Storage,
    /// `auth.mode`
    pub auth_mode: String,
    /// `http.allowed_origins`
    pub allowed_origins: Vec<String>,
    /// `log.filter`
    pub log_filter: String,
    /// `log.format`
    pub log_format: String,
    explained: Vec<Explained>,
}

/// One line of `stemedb config check`.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Key in the file.
    pub key: &'static str,
    /// Variable.
    pub env: &'static str,
    /// Value as text; secrets are not shown.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The loopback listeners of one node.
#[derive(Debug, Clone, Copy)]
pub struct Loopback {
    /// gRPC of the gateway.
    pub gateway: SocketAddr,
    /// gRPC of the store.
    pub store: SocketAddr,
    /// gRPC of membership.
    pub membership: SocketAddr,
    /// gRPC of antientropy.
    pub antientropy: SocketAddr,
    /// Metrics over HTTP, in the same order.
    pub metrics: [SocketAddr; 4],
}

/// The services of a node, in the order of their loopback ports.
pub const SERVICES: [&str; 4] = ["gateway", "store", "membership", "antientropy"];

impl Loopback {
    /// The eight listeners from the first port on.
    pub fn from_port(first: u16) -> Loopback {
        let at = |offset: u16| {
            SocketAddr::new(
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                first.saturating_add(offset),
            )
        };
        Loopback {
            gateway: at(0),
            store: at(1),
            membership: at(2),
            antientropy: at(3),
            metrics: [at(4), at(5), at(6), at(7)],
        }
    }

    /// gRPC listener of a service by its name.
    pub fn grpc_of(&self, service: &str) -> Option<SocketAddr> {
        let all = [self.gateway, self.store, self.membership, self.antientropy];
        SERVICES
            .iter()
            .position(|name| *name == service)
            .map(|index| all[index])
    }
}

impl Settings {
    /// Reads the file (if any), then the process's environment.
    pub fn load(config_file: Option<&Path>) -> Result<Settings, SettingsError> {
        let from_variable = std::env::var_os("STEMEDB_CONFIG").map(PathBuf::from);
        let path = config_file.map(Path::to_path_buf).or(from_variable);
        let text = match path {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(source) => return Err(SettingsError::Read { path, source }),
            },
        };
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        });
        Settings::from_parts(text.as_deref(), environment)
    }

    /// The same from given parts.
    pub fn from_parts(
        toml_text: Option<&str>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsError> {
        let mut layers = Layers::merge(toml_text, environment);
        let secret = secret(&mut layers);
        let node_id = node_id(&mut layers);
        if !layers.faults.is_empty() {
            return Err(SettingsError::Faults(layers.faults));
        }
        Ok(build(&layers, node_id, secret))
    }

    /// Every setting with its value and origin, in the order of the table.
    pub fn explain(&self) -> &[Explained] {
        &self.explained
    }

    /// The loopback listeners of this node.
    pub fn loopback(&self) -> Loopback {
        Loopback::from_port(self.cluster.loopback_port)
    }
}

/// The text was checked by `Layers`; what is not an address any more is port 0 of any interface.
fn address(layers: &Layers, key: &str) -> SocketAddr {
    layers
        .text(key)
        .parse()
        .unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

fn build(layers: &Layers, node_id: String, secret: Option<String>) -> Settings {
    let enabled = layers.text("cluster.enabled") == "true";
    let alone = |given: u64| if enabled { given } else { 1 };
    let milliseconds = |key: &str| Duration::from_millis(layers.whole(key));
    Settings {
        cluster: Cluster {
            enabled,
            name: layers.text("cluster.name").to_owned(),
            secret,
            api_addr: address(layers, "cluster.api_addr"),
            bind_addr: address(layers, "cluster.bind_addr"),
            rpc_addr: address(layers, "cluster.rpc_addr"),
            swim_addr: address(layers, "cluster.swim_addr"),
            loopback_port: bounded(layers.whole("cluster.loopback_port")),
            advertise_host: given(layers.text("cluster.advertise_host")),
            seeds: if enabled {
                list(layers.text("cluster.seeds"))
            } else {
                Vec::new()
            },
            num_shards: bounded(layers.whole("cluster.num_shards")),
            bootstrap_expect: bounded(alone(layers.whole("cluster.bootstrap_expect"))),
            node_id,
        },
        replication: Replication {
            factor: bounded(alone(layers.whole("replication.factor"))),
            rebalance_delay: Duration::from_secs(layers.whole("replication.rebalance_delay_s")),
            hold: Duration::from_secs(layers.whole("replication.hold_s")),
            sync_interval: milliseconds("replication.sync_interval_ms"),
            repair_bytes_per_s: Some(layers.whole("replication.repair_bytes_per_s"))
                .filter(|rate| *rate > 0),
            write_deadline: milliseconds("replication.write_deadline_ms"),
            maybe_stored_deadline: milliseconds("replication.maybe_stored_deadline_ms"),
            hedge: milliseconds("replication.hedge_ms"),
        },
        storage: Storage {
            data_dir: PathBuf::from(layers.text("storage.data_dir")),
            min_free_bytes: layers.whole("storage.min_free_mib") << 20,
            readers: bounded(layers.whole("storage.readers")),
            scrub_interval: Some(layers.whole("storage.scrub_interval_s"))
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        },
        auth_mode: layers.text("auth.mode").to_owned(),
        allowed_origins: list(layers.text("http.allowed_origins")),
        log_filter: layers.text("log.filter").to_owned(),
        log_format: layers.text("log.format").to_owned(),
        explained: explain(layers),
    }
}

fn explain(layers: &Layers) -> Vec<Explained> {
    let shown = |entry: &Entry| match (entry.kind, layers.text(entry.key)) {
        (Kind::Secret, text) if !text.is_empty() => "(set, not shown)".to_owned(),
        (_, text) => text.to_owned(),
    };
    TABLE
        .iter()
        .map(|entry| Explained {
            key: entry.key,
            env: entry.env,
            value: shown(entry),
            origin: layers.origin(entry.key),
        })
        .collect()
}

/// A checked number in a smaller type; the table's bounds make it fit.
fn bounded<T: TryFrom<u64> + Default>(value: u64) -> T {
    T::try_from(value).unwrap_or_default()
}

fn given(text: &str) -> Option<String> {
    Some(text.trim())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter_map(given).collect()
}

/// Node names end up in file names, metadata (512 bytes in all), metrics labels and URLs.
const NODE_NAME_MAX: usize = 63;

fn node_id(layers: &mut Layers) -> String {
    let name = given(layers.text("cluster.node_id"))
        .or_else(|| given(&rustix::system::uname().nodename().to_string_lossy()))
        .unwrap_or_default();
    let fits = !name.is_empty()
        && name.len() <= NODE_NAME_MAX
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !fits {
        layers.fault(
            "cluster.node_id / STEMEDB_NODE_ID",
            format!("`{name}` is not a node name: use 1–{NODE_NAME_MAX} of a-z A-Z 0-9 - _ ."),
        );
    }
    name
}

fn secret(layers: &mut Layers) -> Option<String> {
    let path = given(layers.text("cluster.secret_file"));
    let inline = given(layers.text("cluster.secret"));
    match (path, inline) {
        (Some(_), Some(_)) => {
            layers.fault(
                "cluster.secret_file",
                "is given together with cluster.secret; give one of them",
            );
            None
        }
        (Some(path), None) => match std::fs::read_to_string(&path) {
            Ok(text) => {
                let secret = given(&text);
                if secret.is_none() {
                    layers.fault(
                        "cluster.secret_file",
                        format!("{path} holds no secret; without one, do not set it"),
                    );
                }
                secret
            }
            Err(error) => {
                layers.fault(
                    "cluster.secret_file",
                    format!("cannot read {path}: {error}"),
                );
                None
            }
        },
        (None, inline) => inline,
    }
}

#[cfg(test)]
#[path = "settings/tests.rs"]
mod tests;
