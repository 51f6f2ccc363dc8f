//! Ports that somebody else has, found before anything is started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;

use super::plan::{NODE_STRIDE, NodePlan};
use crate::failure::Failure;

/// Blocks of ports that are looked at before none is proposed: more clusters than this are on no machine.
const BLOCKS_MAX: u16 = 20;

/// Binds every port of the nodes once and lets it go. `elsewhere` names a first port to propose, where it can be chosen.
pub(crate) fn check<'a>(
    nodes: impl IntoIterator<Item = &'a NodePlan>,
    elsewhere: impl FnOnce() -> Option<u16>,
) -> Result<(), Failure> {
    let taken: Vec<String> = nodes.into_iter().filter_map(taken).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let others = elsewhere().map_or_else(String::new, |port| {
        format!(", or choose others: --base-port {port}")
    });
    Err(Failure::Local(format!(
        "ports that the nodes need are taken:\n{}\n→ end what listens there (another `stemedb up`?){others}",
        taken.join("\n")
    )))
}

/// Where the kernel says which ports it gives to outgoing connections.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A warning when ports of the nodes are among those that outgoing connections get: one of these may have a port just when a node
/// that was free to have it is started again.
pub(crate) fn warning<'a>(nodes: impl IntoIterator<Item = &'a NodePlan>) -> Option<String> {
    let range = std::fs::read_to_string(OUTGOING).ok()?;
    among_outgoing(nodes, &range)
}

fn among_outgoing<'a>(
    nodes: impl IntoIterator<Item = &'a NodePlan>,
    range: &str,
) -> Option<String> {
    let mut bounds = range.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    let ports = nodes.into_iter().flat_map(NodePlan::tcp_ports);
    let (lowest, highest) = ports.filter(|port| (first..=last).contains(port)).fold(
        None,
        |seen: Option<(u16, u16)>, port| {
            let (low, high) = seen.unwrap_or((port, port));
            Some((low.min(port), high.max(port)))
        },
    )?;
    Some(format!(
        "ports from {lowest} to {highest} are among those that this machine gives to outgoing connections ({first} to {last}, {OUTGOING}): \
         such a connection may hold one when a node starts; a --base-port below {first} is safe"
    ))
}

/// The next first port above this one at which nodes with these numbers would find all of theirs free.
pub(crate) fn free_above(base_port: u16, numbers: &[u16]) -> Option<u16> {
    let block = NODE_STRIDE.checked_mul(*numbers.iter().max()?)?;
    let is_free = |base_port: &u16| {
        numbers.iter().all(|number| {
            NodePlan::new(*number, *base_port, Path::new(""))
                .is_ok_and(|node| taken(&node).is_none())
        })
    };
    (1..=BLOCKS_MAX)
        .map_while(|blocks| base_port.checked_add(block.checked_mul(blocks)?))
        .find(is_free)
}

/// A line about the ports of a node that cannot be had, if there are any.
fn taken(node: &NodePlan) -> Option<String> {
    let tcp = node.tcp_ports().filter_map(|port| {
        let error = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err()?;
        Some(fault(port, "TCP", &error))
    });
    let port = node.udp_port();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
        .err()
        .map(|error| fault(port, "UDP", &error));
    let faults: Vec<String> = tcp.chain(udp).collect();
    (!faults.is_empty()).then(|| format!("  {}: {}", node.name, faults.join(", ")))
}

fn fault(port: u16, kind: &str, error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::AddrInUse {
        format!("{port}/{kind}")
    } else {
        format!("{port}/{kind} ({error})")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpStream};

    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_node() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The listener sits where a node would have its API.
        let Ok(node) = NodePlan::new(1, port, Path::new("")) else {
            return assert!(port > 65_000);
        };
        let error = check([&node], || Some(28_180)).unwrap_err().to_string();
        assert!(
            error.contains(&format!("node1: {port}/TCP")) && error.ends_with("--base-port 28180"),
            "{error}"
        );
        let error = check([&node], || None).unwrap_err().to_string();
        assert!(!error.contains("--base-port"), "{error}");
    }

    #[test]
    fn ports_that_outgoing_connections_get_are_warned_of_once() {
        let plan = |number, base| NodePlan::new(number, base, Path::new("")).unwrap();
        let range = "32768\t60999\n";
        assert_eq!(
            among_outgoing([&plan(1, 18_180), &plan(3, 18_180)], range),
            None
        );
        let said = among_outgoing([&plan(1, 32_700), &plan(2, 32_700)], range).unwrap();
        assert!(
            said.starts_with("ports from 32800 to 3281")
                && said.contains("(32768 to 60999, /proc/"),
            "{said}"
        );
        assert!(
            said.ends_with("below 32768 is safe") && !said.contains('\n'),
            "{said}"
        );
        for unknown in ["", "32768", "a b"] {
            assert_eq!(among_outgoing([&plan(1, 40_000)], unknown), None);
        }
    }

    #[test]
    fn a_port_that_only_ended_connections_are_left_of_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let (served, _) = listener.accept().unwrap();
        // The side that closes first keeps the connection in TIME_WAIT: here that of the listener's port.
        drop((served, listener));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        let Ok(node) = NodePlan::new(1, address.port(), Path::new("")) else {
            return assert!(address.port() > 65_000);
        };
        let line = taken(&node).unwrap_or_default();
        assert!(!line.contains(&format!("{}/TCP", address.port())), "{line}");
    }

    #[test]
    fn ports_that_are_proposed_are_free() {
        // Below the ports that outgoing connections get: a busy machine has no room among those.
        let found = (2_000..8_000).step_by(50).find_map(|port| {
            let _refused = TcpListener::bind(("127.0.0.1", port)).ok()?;
            // The block above is taken as well: by this, or by whoever had it before.
            let above = port.checked_add(2 * NODE_STRIDE)?;
            let _above = TcpListener::bind(("127.0.0.1", above));
            Some((port, above, free_above(port, &[1, 2])?))
        });
        let (port, above, found) = found.unwrap();
        assert!(
            found > above && (found - port).is_multiple_of(2 * NODE_STRIDE),
            "{port}: {found}"
        );
    }

    #[test]
    fn where_there_is_no_room_nothing_is_proposed() {
        assert_eq!(free_above(65_300, &[1, 2, 3]), None);
        assert_eq!(free_above(18_180, &[]), None);
    }
}
