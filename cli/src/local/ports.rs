//! Ports that somebody else has, found before anything is started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use super::plan::NodePlan;
use crate::failure::Failure;

/// Binds every port of the nodes once and lets it go.
pub(crate) fn check<'a>(nodes: impl IntoIterator<Item = &'a NodePlan>) -> Result<(), Failure> {
    let mut taken = Vec::new();
    for node in nodes {
        for port in node.tcp_ports() {
            note(
                &mut taken,
                &node.name,
                port,
                "TCP",
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err(),
            );
        }
        let port = node.udp_port();
        note(
            &mut taken,
            &node.name,
            port,
            "UDP",
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).err(),
        );
    }
    if taken.is_empty() {
        return Ok(());
    }
    Err(Failure::Local(format!(
        "ports that the nodes need are taken:\n{}\n→ end what listens there (another `stemedb up`?), or choose others: --base-port 28180",
        taken.join("\n")
    )))
}

fn note(taken: &mut Vec<String>, node: &str, port: u16, kind: &str, error: Option<std::io::Error>) {
    match error {
        None => {}
        Some(error) if error.kind() == ErrorKind::AddrInUse => {
            taken.push(format!("  {port}/{kind} ({node})"))
        }
        Some(error) => taken.push(format!("  {port}/{kind} ({node}): {error}")),
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
            error.contains(&format!("{port}/TCP (node1)")) && error.contains("--base-port"),
            "{error}"
        );
    }
}
