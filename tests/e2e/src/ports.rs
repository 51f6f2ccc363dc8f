//! Blocks of free ports below the range that the system gives to outgoing connections.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports of a node: four outward from 0, eight on loopback from 11.
pub const OFFSETS: [u16; 12] = [0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18];

/// Where loopback listeners start within a node's block.
pub const LOOPBACK: u16 = 11;

/// A node's block.
const BLOCK: u16 = 20;

const FIRST: u16 = 20_000;
const BLOCKS: u32 = 600;

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
        let base = FIRST + BLOCK * u16::try_from(number).expect("below 600");
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
/// When there is none.
pub fn base_for_up(nodes: u16) -> u16 {
    let start = std::process::id().wrapping_mul(13);
    for attempt in 0..100 {
        let number = start.wrapping_add(attempt * 7) % 100;
        // Above the blocks of single nodes, below the ports of outgoing connections.
        let base = 32_000 - 100 * nodes + u16::try_from(number).expect("below 100");
        if (0..nodes).all(|node| free(base + 100 * node)) {
            return base;
        }
    }
    panic!("no free ports for a cluster of {nodes}");
}
