//! Every setting there is. Code, documentation, compose and Kubernetes manifests are held against this table by tests.

/// Port of the public API.
pub const PORT_API: u16 = 18180;
/// Port of the gateway's public, cluster and admin API.
pub const PORT_ADMIN: u16 = 18181;
/// Port of the store for peers.
pub const PORT_RPC: u16 = 18182;
/// Port of SWIM, UDP and TCP.
pub const PORT_SWIM: u16 = 18183;
/// First of the eight ports on loopback.
pub const PORT_LOOPBACK: u16 = 18191;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Whole {
        /// Smallest accepted.
        min: u64,
        /// Largest accepted.
        max: u64,
    },
    /// `host:port`, the host an IP address.
    Address,
    /// Several texts: an array in TOML, comma-separated in a variable.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `section.name` in config.toml.
    pub key: &'static str,
    /// The environment variable, which wins over the file.
    pub env: &'static str,
    /// The default as text; empty: none.
    pub default: &'static str,
    /// What it must look like.
    pub kind: Kind,
    /// What it is, what larger and smaller cost.
    pub doc: &'static str,
}

const fn entry(
    key: &'static str,
    env: &'static str,
    default: &'static str,
    kind: Kind,
    doc: &'static str,
) -> Entry {
    Entry {
        key,
        env,
        default,
        kind,
        doc,
    }
}

const fn whole(min: u64, max: u64) -> Kind {
    Kind::Whole { min, max }
}

/// All settings, by section.
pub const TABLE: &[Entry] = &[
    entry(
        "cluster.node_id",
        "STEMEDB_NODE_ID",
        "",
        Kind::Text,
        "Name of this node, unique and lasting. Default: the host name.",
    ),
    entry(
        "cluster.enabled",
        "STEMEDB_CLUSTER_MODE",
        "true",
        Kind::Flag,
        "`false`: one node alone, one copy, no seeds.",
    ),
    entry(
        "cluster.name",
        "STEMEDB_CLUSTER_NAME",
        "stemedb",
        Kind::Text,
        "Label of the cluster: nodes with another label do not hear each other.",
    ),
    entry(
        "cluster.secret",
        "STEMEDB_CLUSTER_SECRET",
        "",
        Kind::Secret,
        "Secret that all nodes share. Membership traffic is encrypted with a key derived from it.",
    ),
    entry(
        "cluster.secret_file",
        "STEMEDB_CLUSTER_SECRET_FILE",
        "",
        Kind::Text,
        "File that holds the cluster secret, instead of `cluster.secret`.",
    ),
    entry(
        "cluster.api_addr",
        "STEMEDB_API_ADDR",
        "0.0.0.0:18180",
        Kind::Address,
        "Where the gateway serves the public API.",
    ),
    entry(
        "cluster.bind_addr",
        "STEMEDB_GATEWAY_ADDR",
        "0.0.0.0:18181",
        Kind::Address,
        "Where the gateway serves the public, cluster and admin API. Keep it inside your network.",
    ),
    entry(
        "cluster.rpc_addr",
        "STEMEDB_RPC_ADDR",
        "0.0.0.0:18182",
        Kind::Address,
        "Where the store serves gRPC to the other nodes.",
    ),
    entry(
        "cluster.swim_addr",
        "STEMEDB_SWIM_ADDR",
        "0.0.0.0:18183",
        Kind::Address,
        "Where membership speaks SWIM, UDP and TCP.",
    ),
    entry(
        "cluster.loopback_port",
        "STEMEDB_LOOPBACK_PORT",
        "18191",
        whole(1, 65_528),
        "First of eight ports on 127.0.0.1: gRPC of gateway, store, membership, antientropy, then their metrics in the same order.",
    ),
    entry(
        "cluster.advertise_host",
        "STEMEDB_ADVERTISE_HOST",
        "",
        Kind::Text,
        "Host that other nodes reach this one at. Default: the bind address, or when that is 0.0.0.0 the address of the host name.",
    ),
    entry(
        "cluster.seeds",
        "STEMEDB_SEED_NODES",
        "",
        Kind::List,
        "Nodes to join through, names or addresses; resolved again at every try. Port 18182, 18183 or none: only the host counts; any other port is the seed's SWIM port.",
    ),
    entry(
        "cluster.num_shards",
        "STEMEDB_NUM_SHARDS",
        "256",
        whole(1, 1_024),
        "Shards of the cluster, the same on all nodes, fixed for its life.",
    ),
    entry(
        "cluster.bootstrap_expect",
        "STEMEDB_BOOTSTRAP_EXPECT",
        "3",
        whole(1, 64),
        "Nodes that must be up before a new cluster forms. 1 when `cluster.enabled` is false.",
    ),
    entry(
        "replication.factor",
        "STEMEDB_REPLICATION_FACTOR",
        "2",
        whole(1, 16),
        "Nodes that hold each record. 1 when `cluster.enabled` is false.",
    ),
    entry(
        "replication.rebalance_delay_s",
        "STEMEDB_REBALANCE_DELAY_S",
        "60",
        whole(0, 86_400),
        "Seconds that a stopped node keeps its shards. Shorter: copies are back sooner; longer: a restart moves nothing.",
    ),
    entry(
        "replication.hold_s",
        "STEMEDB_HOLD_S",
        "600",
        whole(1, 86_400),
        "Seconds that a node keeps records of a shard that it does not own any more, before it gives up those that all owners confirm.",
    ),
    entry(
        "replication.sync_interval_ms",
        "STEMEDB_SYNC_INTERVAL_MS",
        "1000",
        whole(50, 60_000),
        "Milliseconds between repair sessions with a peer, jittered.",
    ),
    entry(
        "replication.repair_bytes_per_s",
        "STEMEDB_REPAIR_BYTES_PER_S",
        "0",
        whole(0, 1 << 40),
        "Bytes of records per second that repair may move; 0: no limit.",
    ),
    entry(
        "replication.write_deadline_ms",
        "STEMEDB_WRITE_DEADLINE_MS",
        "2000",
        whole(50, 60_000),
        "Milliseconds until a write that is durable on too few nodes is answered 202.",
    ),
    entry(
        "replication.maybe_stored_deadline_ms",
        "STEMEDB_MAYBE_STORED_DEADLINE_MS",
        "4000",
        whole(50, 120_000),
        "Milliseconds until a write that nobody confirmed is answered 503.",
    ),
    entry(
        "replication.hedge_ms",
        "STEMEDB_HEDGE_MS",
        "250",
        whole(5, 60_000),
        "Milliseconds of silence until a write also goes to a stand-in.",
    ),
    entry(
        "storage.data_dir",
        "STEMEDB_DATA_DIR",
        "./data",
        Kind::Text,
        "Directory of the database and of what membership remembers.",
    ),
    entry(
        "storage.min_free_mib",
        "STEMEDB_MIN_FREE_MIB",
        "256",
        whole(0, 1 << 30),
        "MiB of free disk below which the store takes no writes.",
    ),
    entry(
        "storage.readers",
        "STEMEDB_READERS",
        "4",
        whole(1, 64),
        "Connections that read the database at a time.",
    ),
    entry(
        "storage.scrub_interval_s",
        "STEMEDB_SCRUB_INTERVAL_S",
        "86400",
        whole(0, 31_536_000),
        "Seconds between scrubs, which look for damage in all rows. 0: only when asked for.",
    ),
    entry(
        "auth.mode",
        "STEMEDB_AUTH",
        "off",
        Kind::Choice(&["off"]),
        "`off`: no API keys are checked.",
    ),
    entry(
        "http.allowed_origins",
        "STEMEDB_ALLOWED_ORIGINS",
        "",
        Kind::List,
        "Origins that browsers may call from. Empty: any, while auth is off.",
    ),
    entry(
        "log.filter",
        "STEMEDB_LOG",
        "info",
        Kind::Text,
        "What to log, as `level` or `target=level,…`.",
    ),
    entry(
        "log.format",
        "STEMEDB_LOG_FORMAT",
        "auto",
        Kind::Choice(&["auto", "text", "json"]),
        "`auto`: text on a terminal, else JSON lines.",
    ),
];

/// Variables of no setting, which services and commands read.
pub const OTHER_VARIABLES: &[(&str, &str)] = &[(
    "STEMEDB_CONFIG",
    "Path of config.toml, when `--config` is not given.",
)];

/// Variables that commands read and services ignore.
pub const COMMAND_VARIABLES: &[(&str, &str)] = &[
    (
        "STEMEDB_URL",
        "URLs that the client commands talk to, comma-separated.",
    ),
    ("STEMEDB_API_KEY", "Key that the client commands send."),
];
