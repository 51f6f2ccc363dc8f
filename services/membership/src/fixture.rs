//! Members for tests.

use crate::book::Book;
use crate::metadata::{ClusterId, Metadata, Phase};
use crate::roster::{Now, Own, Roster};
use crate::swim::Peer;

pub(crate) const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);
pub(crate) const OTHER_CLUSTER: ClusterId = ClusterId::from_bytes([0x07; 16]);

pub(crate) const REBALANCE_DELAY_MS: u64 = 60_000;

pub(crate) fn metadata(name: &str, incarnation: u64) -> Metadata {
    Metadata {
        node_id: shard::node_id(name),
        cluster_id: None,
        num_shards: 256,
        incarnation,
        phase: Phase::Joining,
        record_version: 1,
        store_id: Some([1; 16]),
        host: "127.0.0.1".parse().unwrap(),
        api_port: 18180,
        admin_port: 18181,
        rpc_port: 18182,
        software: "0.1.0".into(),
        agreed: None,
        founders: None,
        told: None,
        replication_factor: Some(2),
        counted: None,
    }
}

pub(crate) fn peer(name: &str, incarnation: u64, alive: bool) -> Peer {
    peer_with(name, incarnation, alive, |_| {})
}

pub(crate) fn peer_with(
    name: &str,
    incarnation: u64,
    alive: bool,
    change: impl FnOnce(&mut Metadata),
) -> Peer {
    let mut metadata = metadata(name, incarnation);
    change(&mut metadata);
    Peer {
        name: name.into(),
        incarnation,
        address: format!("127.0.0.1:{}", 20_000 + incarnation % 1_000)
            .parse()
            .unwrap(),
        metadata: metadata.encode(),
        alive,
        kept_out: false,
    }
}

pub(crate) fn serving(name: &str, incarnation: u64) -> Peer {
    peer_with(name, incarnation, true, |metadata| {
        metadata.phase = Phase::Serving;
    })
}

pub(crate) fn at(seconds: u64) -> Now {
    Now {
        boot_ms: 1_000_000 + seconds * 1_000,
        unix_ms: 1_790_000_000_000 + seconds as i64 * 1_000,
    }
}

pub(crate) fn roster(name: &str, incarnation: u64, saved: Book) -> Roster {
    let own = Own {
        name: name.into(),
        num_shards: 256,
        rebalance_delay_ms: REBALANCE_DELAY_MS,
        previous: 0,
    };
    let address = "127.0.0.1:18183".parse().unwrap();
    Roster::new(own, metadata(name, incarnation), address, saved, at(0))
}
