//! `stemedb repair --dry-run`: what repair would move between a node and its peers.

use serde_json::{Value, json};

use super::text;
use crate::client::{Client, encode};
use crate::failure::{Failure, Problem};
use crate::output;

/// What repair would move in one shard with one peer.
#[derive(Debug, PartialEq, Eq)]
struct Move {
    peer: String,
    shard: u64,
    /// Records and bytes that come from the peer.
    fetched: (u64, u64),
    /// Those that go there.
    sent: (u64, u64),
}

/// Compares the node that answers with every other member, and moves nothing.
pub(super) async fn run(client: &Client, json: bool) -> Result<(), Failure> {
    let members = client.get_json("/cluster/members").await?;
    let node = text(&members["node"]);
    let mut peers = Vec::new();
    let mut away = Vec::new();
    for member in members["members"].as_array().into_iter().flatten() {
        let (peer, status) = (text(&member["id"]), text(&member["status"]));
        match status.as_str() {
            _ if peer == node => {}
            "LEFT" => {}
            "UP" | "SUSPECT" => peers.push(peer),
            _ => away.push(peer),
        }
    }
    let mut compared = Vec::new();
    for peer in &peers {
        let path = format!(
            "/cluster/diff?a={}&b={}&bytes=true",
            encode(&node),
            encode(peer)
        );
        match client.get_json(path).await {
            Ok(said) => compared.push(said),
            // One that has just gone is not known to be DOWN yet.
            Err(Failure::Refused(problem)) if problem.text("node") == Some(peer) => {
                away.push(peer.clone());
            }
            Err(Failure::Refused(problem)) if problem.text("node") == Some(&node) => {
                return Err(own_store_is_away(&node, &problem));
            }
            Err(failure) => return Err(failure),
        }
    }
    if json {
        output::json(&json!({ "node": node, "peers": compared, "not_compared": away }));
    } else {
        show(&node, &compared);
    }
    match away.as_slice() {
        [] => Ok(()),
        away => Err(Failure::Outcome(format!(
            "not compared, because they do not answer: {}\n→ stemedb members shows since when",
            away.join(", ")
        ))),
    }
}

/// Nothing can be said of any peer while the node that compares has nothing to compare.
fn own_store_is_away(node: &str, problem: &Problem) -> Failure {
    let why = problem.text("detail").unwrap_or("it does not answer");
    Failure::Outcome(format!(
        "nothing was compared: the store of {node} itself is away: {why}\n→ stemedb status shows how {node} is; or ask another node: --url"
    ))
}

fn show(node: &str, compared: &[Value]) {
    let moves: Vec<Move> = compared.iter().flat_map(moves).collect();
    if !moves.is_empty() {
        let mut table = output::table(["PEER", "SHARD", "TO FETCH", "BYTES", "TO SEND", "BYTES"]);
        for one in &moves {
            table.add_row([
                one.peer.clone(),
                one.shard.to_string(),
                one.fetched.0.to_string(),
                one.fetched.1.to_string(),
                one.sent.0.to_string(),
                one.sent.1.to_string(),
            ]);
        }
        output::print(&table);
    }
    let peers = compared.len();
    output::line(sum(node, peers, &moves));
    if compared.iter().any(|said| said["more"] == true) {
        output::line("and more: of each peer the first 10,000 records a side were counted");
    }
}

/// Of a comparison in which `a` is the node that was asked.
fn moves(said: &Value) -> impl Iterator<Item = Move> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let shards = said["by_shard"].as_array().into_iter().flatten();
    shards.map(move |shard| Move {
        peer: text(&said["b"]),
        shard: number(&shard["shard"]),
        fetched: (number(&shard["only_b"]), number(&shard["bytes_b"])),
        sent: (number(&shard["only_a"]), number(&shard["bytes_a"])),
    })
}

fn sum(node: &str, peers: usize, moves: &[Move]) -> String {
    let add = |of: fn(&Move) -> (u64, u64)| {
        moves
            .iter()
            .map(of)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (fetched, sent) = (add(|one| one.fetched), add(|one| one.sent));
    if fetched.0 + sent.0 == 0 {
        return format!(
            "nothing to move: {node} and {} hold the same in the shards that they share",
            output::count(peers as u64, "other")
        );
    }
    format!(
        "{node} would fetch {}, {}, and send {}, {}; nothing was moved",
        output::count(fetched.0, "record"),
        output::count(fetched.1, "byte"),
        output::count(sent.0, "record"),
        output::count(sent.1, "byte")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_own_store_is_away_names_itself() {
        let body = br#"{"code":"comparison_broken","detail":"node1 does not answer: refused","node":"node1"}"#;
        let said = own_store_is_away("node1", &Problem::read(503, body)).to_string();
        assert!(
            said.starts_with(
                "nothing was compared: the store of node1 itself is away: node1 does not answer"
            ),
            "{said}"
        );
        assert!(said.contains("\n→ "), "{said}");
    }

    #[test]
    fn what_would_be_moved_is_told_by_peer_and_shard() {
        let said = json!({ "a": "node1", "b": "node2", "by_shard": [
            { "shard": 3, "only_a": 2, "only_b": 0, "bytes_a": 500, "bytes_b": 0 },
            { "shard": 256, "only_a": 0, "only_b": 1, "bytes_a": 0, "bytes_b": 90 },
        ] });
        let found: Vec<Move> = moves(&said).collect();
        let expected = |shard, fetched, sent| Move {
            peer: "node2".to_owned(),
            shard,
            fetched,
            sent,
        };
        assert_eq!(
            found,
            [
                expected(3, (0, 0), (2, 500)),
                expected(256, (1, 90), (0, 0))
            ]
        );
        assert_eq!(
            sum("node1", 2, &found),
            "node1 would fetch 1 record, 90 bytes, and send 2 records, 500 bytes; nothing was moved"
        );
        assert!(sum("node1", 2, &[]).starts_with("nothing to move: node1 and 2 others"));
    }
}
