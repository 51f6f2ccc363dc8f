//! Ports that somebody else has, found before anything is started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use super::plan::NodePlan;
use crate::failure::Failure;

/// Binds every port of the nodes once and lets it go.
pub(crate) fn check<'a>(nodes: impl IntoIterator<Item = &'a NodePlan>) -> Result<(), Failure> {
    let taken: Vec<String> = nodes.into_iter().filter_map(taken).collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(Failure::Local(format!(
        "ports that the nodes need are taken:\n{}\n→ end what listens there (another `stemedb up`?), or choose others: --base-port 28180",
        taken.join("\n")
    )))
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
    use std::path::Path;

    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_node() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The listener sits where a node would have its API.
        let Ok(node) = NodePlan::new(1, port, Path::new("")) else {
            return assert!(port > 65_000);
        };
        let error = check([&node]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("node1: {port}/TCP")) && error.contains("--base-port"),
            "{error}"
        );
    }
}
