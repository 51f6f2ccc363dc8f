//! Whole membership services over real sockets, with stores that only say who they are. Each node has its own runtime, so
//! that killing it is what kill -9 is to the others: everything stops, nothing is said.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod node;
mod stalls;
mod store;

use std::time::{Duration, Instant};

use node::{Plan, TestNode, free_port};
use proto::v1;
use stalls::Stalls;

/// From the kill to DOWN in every view (quality.md, row 14), on a machine that does not stand still meanwhile.
const DOWN_WITHIN: Duration = Duration::from_secs(5);
/// From the end of a node that said goodbye to DOWN in every view, likewise.
const DOWN_AT_ONCE: Duration = Duration::from_secs(2);
/// A stopping node waits so long for its notice to be passed on.
const NOTICE: Duration = Duration::from_millis(300);

fn member<'a>(view: &'a v1::View, name: &str) -> Option<&'a v1::Member> {
    view.members.iter().find(|member| member.name == name)
}

fn has(view: &v1::View, name: &str, status: v1::Status) -> bool {
    member(view, name).is_some_and(|member| member.status() == status)
}

/// Three nodes whose seed lists leave themselves out.
fn three(change: impl Fn(&mut Plan)) -> [TestNode; 3] {
    let ports = [free_port(), free_port(), free_port()];
    let nodes = [0, 1, 2].map(|index| {
        let mut plan = Plan::new(&format!("node{}", index + 1), ports[index]);
        plan.seeds = (0..3)
            .filter(|other| *other != index)
            .map(|other| format!("127.0.0.1:{}", ports[other]))
            .collect();
        change(&mut plan);
        TestNode::start(plan)
    });
    for node in &nodes {
        node.sees("three placed members", |view| view.placement.len() == 3);
    }
    nodes
}

#[test]
fn three_nodes_form_one_cluster_and_a_killed_one_comes_back_on_another_port() {
    let [first, second, mut third] = three(|_| {});
    let view = first.view();
    assert_eq!(view.cluster_id.len(), 32);
    for node in [&second, &third] {
        assert_eq!(node.view().cluster_id, view.cluster_id);
        assert_eq!(node.store().cluster_id(), view.cluster_id);
    }
    assert_eq!(view.placement, ["node1", "node2", "node3"]);
    let old = member(&view, "node3").unwrap().clone();

    let stalls = Stalls::watch();
    third.kill();
    let killed = Instant::now();
    for node in [&first, &second] {
        node.sees("node3 DOWN", |view| has(view, "node3", v1::Status::Down));
    }
    let (took, stalled) = (killed.elapsed(), stalls.end());
    assert!(
        took <= DOWN_WITHIN + stalled,
        "DOWN after {took:?}, {stalled:?} of it the machine's"
    );
    assert_eq!(first.view().placement.len(), 3, "it keeps its shards");

    third.plan.swim_port = free_port();
    third.restart();
    for node in [&first, &second, &third] {
        node.sees("node3 UP on its new port", |view| {
            has(view, "node3", v1::Status::Up)
                && member(view, "node3").is_some_and(|member| {
                    member.swim_addr != old.swim_addr && member.phase() == v1::Phase::Serving
                })
        });
    }
    let new = first.view();
    let new = member(&new, "node3").unwrap();
    assert!(new.incarnation > old.incarnation);
    assert_eq!(new.store_id, old.store_id);
    third.sees("its cluster", |seen| seen.cluster_id == view.cluster_id);
}

#[test]
fn a_stopped_node_is_down_at_once_and_a_node_that_is_down_can_be_forgotten() {
    let [first, second, mut third] = three(|_| {});
    let refusal = first.forget("node3").unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::FailedPrecondition);
    assert_eq!(
        first.forget("node9").unwrap_err().code(),
        tonic::Code::NotFound
    );

    let stalls = Stalls::watch();
    third.stop();
    let stopped = Instant::now();
    for node in [&first, &second] {
        node.sees("node3 DOWN", |view| has(view, "node3", v1::Status::Down));
    }
    let (took, stalled) = (stopped.elapsed(), stalls.end());
    assert!(
        took < DOWN_AT_ONCE + stalled,
        "said goodbye, yet {took:?}, {stalled:?} of it the machine's"
    );
    for node in [&first, &second] {
        let view = node.view();
        let stopped = member(&view, "node3").unwrap();
        if stalled < NOTICE {
            assert_eq!(stopped.phase(), v1::Phase::Draining, "told before goodbye");
        }
        assert_eq!(view.placement.len(), 3, "it keeps its shards");
    }

    let warning = first.forget("node3").unwrap();
    assert!(warning.contains("node3"), "{warning}");
    for node in [&first, &second] {
        node.sees("node3 forgotten", |view| member(view, "node3").is_none());
    }
    third.restart();
    first.sees("node3 back", |view| has(view, "node3", v1::Status::Up));
}

#[test]
fn all_restarted_with_new_addresses_find_each_other_with_no_seed_but_one() {
    let mut nodes = three(|_| {});
    let cluster = nodes[0].view().cluster_id;
    for node in &mut nodes {
        node.kill();
    }
    // Nobody is where the member lists on disk say; one address is enough.
    let port = free_port();
    for (index, node) in nodes.iter_mut().enumerate() {
        node.plan.swim_port = if index == 2 { port } else { free_port() };
        node.plan.seeds = vec![format!("127.0.0.1:{port}")];
        node.restart();
    }
    for node in &nodes {
        node.sees("all UP again", |view| {
            ["node1", "node2", "node3"]
                .iter()
                .all(|name| has(view, name, v1::Status::Up))
        });
        node.sees("its cluster", |view| view.cluster_id == cluster);
    }
}

#[test]
fn a_lone_first_node_remembers_the_others_and_does_not_take_everything() {
    let mut nodes = three(|_| {});
    for node in &mut nodes {
        node.kill();
    }
    nodes[0].restart();
    nodes[0].sees("itself UP, the others DOWN", |view| {
        has(view, "node1", v1::Status::Up)
            && has(view, "node2", v1::Status::Down)
            && has(view, "node3", v1::Status::Down)
            && !view.cluster_id.is_empty()
    });
    assert_eq!(nodes[0].view().placement, ["node1", "node2", "node3"]);
}

#[test]
fn another_number_of_shards_is_refused_by_both_with_both_values() {
    let ports = [free_port(), free_port()];
    let mut plan = Plan::new("node1", ports[0]);
    plan.bootstrap_expect = 1;
    let first = TestNode::start(plan);
    first.sees("a cluster", |view| !view.cluster_id.is_empty());
    let mut plan = Plan::new("node2", ports[1]);
    plan.num_shards = 64;
    plan.seeds = vec![format!("127.0.0.1:{}", ports[0])];
    let second = TestNode::start(plan);
    for node in [&first, &second] {
        node.sees("the refusal", |view| {
            view.refused
                .iter()
                .any(|reason| reason.contains("256") && reason.contains("64"))
        });
        assert_eq!(node.view().members.len(), 1);
    }
    assert_eq!(second.view().cluster_id, "", "it joined nothing");
}

#[test]
fn another_cluster_is_refused_by_both_with_both_ids() {
    let ports = [free_port(), free_port()];
    let alone = |name: &str, port| {
        let mut plan = Plan::new(name, port);
        plan.bootstrap_expect = 1;
        plan
    };
    let mut first = TestNode::start(alone("node1", ports[0]));
    let second = TestNode::start(alone("node2", ports[1]));
    for node in [&first, &second] {
        node.sees("a cluster", |view| !view.cluster_id.is_empty());
    }
    first.kill();
    first.plan.seeds = vec![format!("127.0.0.1:{}", ports[1])];
    // What was killed may hold its port for a moment.
    first.plan.swim_port = free_port();
    first.restart();
    let ids = [&first, &second].map(|node| node.store().cluster_id());
    assert_ne!(ids[0], ids[1]);
    for node in [&first, &second] {
        node.sees("the refusal", |view| {
            view.refused
                .iter()
                .any(|reason| ids.iter().all(|id| reason.contains(id)))
        });
        assert_eq!(node.view().members.len(), 1);
    }
}

#[test]
fn the_secret_and_the_name_of_the_cluster_keep_others_out() {
    let first_port = free_port();
    let mut plan = Plan::new("node1", first_port);
    plan.bootstrap_expect = 1;
    plan.secret = Some("liquid water boils at 373.124 K".into());
    let first = TestNode::start(plan);
    first.sees("a cluster", |view| !view.cluster_id.is_empty());
    let joining = |name: &str, secret: Option<&str>, cluster: &str| {
        let mut plan = Plan::new(name, free_port());
        plan.seeds = vec![format!("127.0.0.1:{first_port}")];
        plan.secret = secret.map(str::to_owned);
        plan.cluster_name = cluster.into();
        TestNode::start(plan)
    };
    let right = Some("liquid water boils at 373.124 K");
    let strangers = [
        joining("node2", Some("at 373.15 K"), "stemedb"),
        joining("node3", None, "stemedb"),
        joining("node4", right, "another"),
    ];
    for stranger in &strangers {
        stranger.sees("why it is alone", |view| {
            view.waiting_for.contains("last tries")
        });
        assert_eq!(stranger.view().members.len(), 1);
    }
    let friend = joining("node5", right, "stemedb");
    let cluster = first.view().cluster_id;
    friend.sees("the cluster", |view| view.cluster_id == cluster);
    let names: Vec<String> = first.view().members.into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["node1", "node5"]);
}

#[test]
fn a_join_by_hand_brings_two_groups_together() {
    let ports = [free_port(), free_port()];
    let plan = |name: &str, port| {
        let mut plan = Plan::new(name, port);
        plan.bootstrap_expect = 2;
        TestNode::start(plan)
    };
    let first = plan("node1", ports[0]);
    let second = plan("node2", ports[1]);
    first.sees("itself", |view| {
        view.waiting_for.contains("bootstrap_expect")
    });
    let joined = first.joins(&format!("127.0.0.1:{}", ports[1]));
    assert_eq!(joined, [format!("127.0.0.1:{}", ports[1])]);
    for node in [&first, &second] {
        node.sees("two placed members", |view| view.placement.len() == 2);
    }
    assert_eq!(first.join("127.0.0.1:1"), Vec::<String>::new());
}

#[test]
fn of_five_nodes_two_that_die_one_after_the_other_are_each_down_in_time() {
    let ports: Vec<u16> = (0..5).map(|_| free_port()).collect();
    let seeds: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let mut nodes: Vec<TestNode> = (1..)
        .zip(&ports)
        .map(|(number, port)| {
            let mut plan = Plan::new(&format!("node{number}"), *port);
            plan.bootstrap_expect = 5;
            plan.seeds.clone_from(&seeds);
            TestNode::start(plan)
        })
        .collect();
    for node in &nodes {
        node.sees("five placed members", |view| view.placement.len() == 5);
    }
    for name in ["node5", "node4"] {
        let stalls = Stalls::watch();
        nodes.pop().unwrap().kill();
        let killed = Instant::now();
        for node in &nodes {
            node.sees("DOWN", |view| has(view, name, v1::Status::Down));
        }
        let (took, stalled) = (killed.elapsed(), stalls.end());
        assert!(
            took <= DOWN_WITHIN + stalled,
            "{name} DOWN after {took:?}, {stalled:?} of it the machine's"
        );
    }
}
