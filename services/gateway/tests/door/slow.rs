//! Clients that send slowly on purpose, over sockets of their own.

use std::net::SocketAddr;

use stemedb_gateway::arrivals::ARRIVALS_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{Stage, claim};

const HEAD: &str = "POST /v1/assert HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n\
                    content-length: 1000\r\n\r\n{";

/// A request whose body begins and does not go on.
async fn begin(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(HEAD.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn slow_bodies_hold_up_no_read_and_give_way_to_writes() {
    let stage = Stage::calm().await;
    let mut slow = Vec::new();
    for _ in 0..ARRIVALS_MAX {
        slow.push(begin(stage.api).await);
    }
    let mut said = Vec::new();
    let mut number = 0;
    // Each write beyond the places ends the one that has been coming for longest, once that is long.
    while said.is_empty() {
        number += 1;
        let write = stage
            .post("/v1/assert", claim(f64::from(number), "u"))
            .await;
        if write.status != 201 {
            write.refused(503, "overloaded");
            assert_eq!(write.headers["retry-after"], "1");
        }
        let read = stage.get("/v1/query?subject=cas:7732-18-5").await;
        assert_eq!(read.status, 200, "{}", read.text());
        assert_eq!(stage.get("/v1/health").await.status, 200);
        let mut part = [0; 4096];
        if let Ok(read) = slow[0].try_read(&mut part) {
            said.extend_from_slice(&part[..read]);
        }
    }
    slow[0].read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(said.contains("retry-after: 1\r\n"), "{said}");
    assert!(said.contains("\"code\":\"overloaded\""), "{said}");

    // The youngest. It begins late, for a body has only so long to come, and the above may take that on a busy machine.
    slow.push(begin(stage.api).await);
    // With the places full of slow bodies, all but that older than a moment, every write gets through.
    for _ in 0..20 {
        number += 1;
        let write = stage
            .post("/v1/assert", claim(f64::from(number), "u"))
            .await;
        assert_eq!(write.status, 201, "{}", write.text());
    }
    let last = slow.last_mut().unwrap();
    let body = claim(0.5, "slow");
    let rest = format!("{}{}", &body[1..], " ".repeat(1_000 - body.len()));
    last.write_all(rest.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    last.read_exact(&mut said).await.unwrap();
    assert_eq!(
        &said, b"HTTP/1.1 201",
        "who was slow and is not overtaken is served"
    );
}
