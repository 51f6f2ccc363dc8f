//! Blocks of free ports below the range that the system gives to outgoing connections.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports of a node: four outward from 0, eight on loopback from 11.
pub const OFFSETS: [u16; 12] = [0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18];

/// Where loopback listeners start within a node's block.
pub const LOOPBACK: u16 = 11;

/// A node's block.
const BLOCK: u16 = 20;

/// Above the ports that other tests of this repository have for themselves, the last of them 23,180 and what follows it.
const FIRST: u16 = 24_000;

/// Ends below the lowest port of [`base_for_up`], whatever its nodes.
const BLOCKS: u32 = 370;

/// Nodes that `stemedb up` has at most in a test.
const NODES_OF_UP: u16 = 5;

/// Below it lie all bases for `stemedb up`; the ports of its last node end below those of outgoing connections.
const UP_END: u16 = 32_000;
const _: () = assert!(FIRST as u32 + BLOCK as u32 * BLOCKS <= (UP_END - 100 * NODES_OF_UP) as u32);

/// The first port of a block in which everything a node needs is free. Blocks are handed out once per test process; another
/// process that runs the same tests starts elsewhere.
///
/// # Panics
/// When no block is free.
pub fn block() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(7);
    for _ in 0..BLOCKS {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
        let base = FIRST + BLOCK * u16::try_from(number).expect("below 370");
        if free(base) {
            return base;
        }
    }
    panic!("no {BLOCK} free ports in a row above {FIRST}");
}

fn free(base: u16) -> bool {
    let tcp = OFFSETS
        .iter()
        .all(|offset| TcpListener::bind((Ipv4Addr::LOCALHOST, base + offset)).is_ok());
    tcp && UdpSocket::bind((Ipv4Addr::LOCALHOST, base + 3)).is_ok()
}

/// A base for `stemedb up` with so many nodes, whose nodes lie 100 ports apart.
///
/// # Panics
/// When there is none, or a test wants more nodes than there is room for.
pub fn base_for_up(nodes: u16) -> u16 {
    assert!(nodes <= NODES_OF_UP, "room for {NODES_OF_UP} nodes");
    let start = std::process::id().wrapping_mul(13);
    for attempt in 0..100 {
        let number = start.wrapping_add(attempt * 7) % 100;
        let base = UP_END - 100 * nodes + u16::try_from(number).expect("below 100");
        if (0..nodes).all(|node| free(base + 100 * node)) {
            return base;
        }
    }
    panic!("no free ports for a cluster of {nodes}");
}
