//! The whole loop over fakes.

use std::path::Path;
use std::time::Duration;

use proto::v1;

use super::*;
use crate::disk::Disk;
use crate::fixture::{CLUSTER, OTHER_CLUSTER};
use crate::metadata::Phase;
use crate::node::{COMMANDS_MAX, NodeConfig};
use crate::roster::{CannotForget, CannotLeave};
use crate::seeds::Seed;
use crate::store::fake::FakeStore;
use crate::store::{Health, keep_asking};
use crate::swim::fake::FakeNetwork;

/// Time within which anything here has to happen. Some of it takes eight saves, each of which a busy disk may hold up for seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(10);

struct Running {
    address: SocketAddr,
    store: Arc<FakeStore>,
    view: watch::Receiver<Arc<v1::View>>,
    commands: mpsc::Sender<Command>,
    task: tokio::task::JoinHandle<()>,
    asking: tokio::task::JoinHandle<()>,
    telling: tokio::task::JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
    directory: Arc<tempfile::TempDir>,
    /// Held by the node, and by each write of its under way, too.
    path: Arc<Path>,
}

struct Plan<'a> {
    name: &'a str,
    port: u16,
    seeds: &'a [u16],
    expect: usize,
    store: Arc<FakeStore>,
    directory: Arc<tempfile::TempDir>,
}

fn plan<'a>(name: &'a str, port: u16, seeds: &'a [u16]) -> Plan<'a> {
    Plan {
        name,
        port,
        seeds,
        expect: 3,
        store: Arc::new(FakeStore::new(port as u8)),
        directory: Arc::new(tempfile::tempdir().unwrap()),
    }
}

fn start(network: &FakeNetwork, plan: Plan<'_>) -> Running {
    let address = SocketAddr::from(([127, 0, 0, 1], plan.port));
    let config = NodeConfig {
        name: plan.name.into(),
        num_shards: 256,
        replication_factor: 2,
        rebalance_delay: Duration::from_secs(60),
        bootstrap_expect: plan.expect,
        seeds: plan
            .seeds
            .iter()
            .map(|port| Seed::parse(&format!("127.0.0.1:{port}"), plan.port).unwrap())
            .collect(),
        host: address.ip(),
        api_port: 1,
        admin_port: 2,
        rpc_port: 3,
    };
    let (view_sender, view) = watch::channel(Arc::default());
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (health_sender, health) = watch::channel(Health::Silent("not asked yet".into()));
    let again = Arc::new(Notify::new());
    let asking = tokio::spawn(keep_asking(
        Arc::clone(&plan.store),
        health_sender,
        Arc::clone(&again),
    ));
    let telling = tokio::spawn(tell_store(view.clone(), Arc::clone(&plan.store)));
    let path: Arc<Path> = plan.directory.path().into();
    let disk = Disk::new(Arc::clone(&path), plan.name);
    let mut node = Node::load(config, disk, view_sender, received, health).unwrap();
    let (stop, stopped) = oneshot::channel();
    let network = network.clone();
    let store = Arc::clone(&plan.store);
    let task = tokio::spawn(async move {
        let mut stopped = stopped;
        let mut above = 0;
        loop {
            let incarnation = node.next_incarnation(above).await.unwrap();
            let metadata = node.metadata(incarnation, None);
            let peer = Peer {
                name: node.config.name.clone(),
                incarnation,
                address,
                metadata: metadata.encode(),
                alive: true,
                kept_out: false,
            };
            let roster = node.roster(incarnation, address);
            let swim = Arc::new(network.start(peer, roster.requirements()));
            let session = Session::new(
                &mut node,
                swim,
                incarnation,
                Arc::clone(&store),
                Arc::clone(&again),
            );
            match session.run(async { _ = (&mut stopped).await }).await {
                End::Again(used) => above = used,
                End::Shutdown | End::ForeignStore { .. } => return,
                End::Broken(task) => panic!("{task} ended"),
            }
        }
    });
    Running {
        address,
        store: plan.store,
        view,
        commands,
        task,
        asking,
        telling,
        stop: Some(stop),
        directory: plan.directory,
        path,
    }
}

/// What repair does: tells the store whom the view knows.
async fn tell_store(mut view: watch::Receiver<Arc<v1::View>>, store: Arc<FakeStore>) {
    loop {
        let shown = view.borrow_and_update().clone();
        let known = shown.members.iter();
        let known = known.filter(|member| member.status() != v1::Status::Left);
        if !shown.cluster_id.is_empty()
            && let Some(answer) = store.answer.lock().unwrap().as_mut()
        {
            answer.told = Some(telling::digest(known.map(|member| member.name.as_str())));
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

impl Running {
    async fn sees(&mut self, what: &str, condition: impl FnMut(&Arc<v1::View>) -> bool) {
        let seen = tokio::time::timeout(DEADLINE, self.view.wait_for(condition)).await;
        let ok = matches!(seen, Ok(Ok(_)));
        drop(seen);
        assert!(ok, "{what}; the view is {:#?}", self.view.borrow());
    }

    async fn sees_status(&mut self, name: &str, status: v1::Status) {
        self.sees(&format!("{name} {status:?}"), |view| {
            member(view, name).is_some_and(|member| member.status() == status)
        })
        .await;
    }

    async fn sees_cluster(&mut self) -> String {
        self.sees("a cluster", |view| !view.cluster_id.is_empty())
            .await;
        self.view.borrow().cluster_id.clone()
    }

    /// As kill -9: nothing is written after it. A write under way cannot be stopped, only waited for.
    async fn kill(&self, network: &FakeNetwork) {
        network.kill(self.address);
        self.task.abort();
        self.asking.abort();
        self.telling.abort();
        self.held_by(1).await;
    }

    /// Waits until nobody but so many, the test among them, has to do with the directory.
    async fn held_by(&self, most: usize) {
        let held = async {
            let mut look = tokio::time::interval(LOOK);
            while Arc::strong_count(&self.path) > most {
                look.tick().await;
            }
        };
        let held = tokio::time::timeout(DEADLINE, held).await;
        assert!(held.is_ok(), "writes do not end");
    }

    async fn forget(&self, name: &str) -> Result<(), CannotForget> {
        let (reply, outcome) = oneshot::channel();
        let command = Command::Forget(name.into(), reply);
        self.commands.send(command).await.unwrap();
        outcome.await.unwrap()
    }

    fn admissions(&self) -> Vec<bool> {
        self.store.admitted.lock().unwrap().clone()
    }

    async fn leave(&self, force: bool) -> Result<Vec<String>, Refusal> {
        let (reply, outcome) = oneshot::channel();
        let command = Command::Leave(force, reply);
        self.commands.send(command).await.unwrap();
        outcome.await.unwrap()
    }

    async fn depart(&self) -> Result<(), Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send(Command::Depart(reply)).await.unwrap();
        outcome.await.unwrap()
    }

    async fn sees_phase(&mut self, name: &str, phase: v1::Phase) {
        self.sees(&format!("{name} {phase:?}"), |view| {
            member(view, name).is_some_and(|member| member.phase() == phase)
        })
        .await;
    }
}

/// The node of a directory, started again with its database.
fn restart(network: &FakeNetwork, name: &'static str, before: &Running, port: u16) -> Running {
    start(
        network,
        Plan {
            store: Arc::clone(&before.store),
            directory: Arc::clone(&before.directory),
            ..plan(name, port, &[])
        },
    )
}

fn member<'a>(view: &'a v1::View, name: &str) -> Option<&'a v1::Member> {
    view.members.iter().find(|member| member.name == name)
}

/// Three nodes whose seed lists leave themselves out, formed.
async fn three(network: &FakeNetwork) -> [Running; 3] {
    let mut nodes = [
        start(network, plan("node1", 1, &[2, 3])),
        start(network, plan("node2", 2, &[1, 3])),
        start(network, plan("node3", 3, &[1, 2])),
    ];
    for node in &mut nodes {
        node.sees("all placed", |view| view.placement.len() == 3)
            .await;
    }
    nodes
}

#[tokio::test]
async fn three_nodes_that_leave_themselves_out_of_their_seeds_become_one_cluster() {
    let network = FakeNetwork::default();
    let mut nodes = three(&network).await;
    let id = nodes[0].sees_cluster().await;
    for node in &mut nodes {
        assert_eq!(node.sees_cluster().await, id);
        let view = node.view.borrow().clone();
        assert_eq!(view.placement, ["node1", "node2", "node3"]);
        assert_eq!(view.waiting_for, "");
        assert!(view.members.iter().all(|m| m.phase() == v1::Phase::Serving));
        assert_eq!(node.store.adopted.lock().unwrap().len(), 1, "bound once");
    }
}

#[tokio::test]
async fn two_nodes_of_three_wait_and_say_for_whom() {
    let network = FakeNetwork::default();
    let mut first = start(&network, plan("node1", 1, &[2, 3]));
    let second = start(&network, plan("node2", 2, &[1, 3]));
    first
        .sees("why it waits", |view| {
            view.waiting_for.contains("2 answer") && view.waiting_for.contains("127.0.0.1:3")
        })
        .await;
    assert!(second.store.adopted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_node_that_expects_nobody_makes_its_cluster_at_once() {
    let network = FakeNetwork::default();
    let mut alone = start(
        &network,
        Plan {
            expect: 1,
            ..plan("node1", 1, &[])
        },
    );
    alone.sees_cluster().await;
    alone
        .sees("itself placed", |view| view.placement == ["node1"])
        .await;
}

#[tokio::test]
async fn a_fourth_node_joins_the_cluster_and_never_makes_its_own() {
    let network = FakeNetwork::default();
    let mut nodes = three(&network).await;
    let id = nodes[0].sees_cluster().await;
    // Its name is the smallest and it expects nobody: all the same it finds the cluster first.
    let mut fourth = start(
        &network,
        Plan {
            expect: 1,
            ..plan("node0", 4, &[3])
        },
    );
    assert_eq!(fourth.sees_cluster().await, id);
    nodes[1]
        .sees("four placed", |view| view.placement.len() == 4)
        .await;
}

#[tokio::test]
async fn a_killed_node_is_down_and_comes_back_under_its_name_at_a_new_address() {
    let network = FakeNetwork::default();
    let [mut first, _second, third] = three(&network).await;
    let old = member(&first.view.borrow(), "node3").unwrap().incarnation;
    third.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    let mut again = start(
        &network,
        Plan {
            port: 33,
            store: Arc::clone(&third.store),
            directory: Arc::clone(&third.directory),
            ..plan("node3", 33, &[])
        },
    );
    first.sees_status("node3", v1::Status::Up).await;
    let now = member(&first.view.borrow(), "node3").unwrap().clone();
    assert!(now.incarnation > old);
    assert_eq!(now.swim_addr, "127.0.0.1:33");
    // It had no seeds: it found the others by what was on its disk.
    again
        .sees("the others", |view| view.members.len() == 3)
        .await;
}

#[tokio::test]
async fn a_split_heals_by_itself() {
    let network = FakeNetwork::default();
    let [mut first, mut second, mut third] = three(&network).await;
    for other in [first.address, second.address] {
        network.cut(third.address, other, true);
    }
    first.sees_status("node3", v1::Status::Down).await;
    third.sees_status("node1", v1::Status::Down).await;
    for other in [first.address, second.address] {
        network.cut(third.address, other, false);
    }
    for node in [&mut first, &mut second, &mut third] {
        node.sees("all up", |view| {
            view.members.iter().all(|m| m.status() == v1::Status::Up)
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_is_forgotten_everywhere_and_joins_anew_when_it_was_alive_after_all() {
    let network = FakeNetwork::default();
    let [mut first, mut second, mut third] = three(&network).await;
    assert_eq!(
        first.forget("node3").await,
        Err(CannotForget::Up("node3".into()))
    );
    for other in [first.address, second.address] {
        network.cut(third.address, other, true);
    }
    first.sees_status("node3", v1::Status::Down).await;
    second.sees_status("node3", v1::Status::Down).await;
    let before = third.view.borrow().incarnation;
    assert_eq!(first.forget("node3").await, Ok(()));
    for node in [&mut first, &mut second] {
        node.sees("node3 forgotten", |view| member(view, "node3").is_none())
            .await;
    }
    for other in [first.address, second.address] {
        network.cut(third.address, other, false);
    }
    third
        .sees("a new incarnation", |view| view.incarnation > before)
        .await;
    first.sees_status("node3", v1::Status::Up).await;
}

#[tokio::test]
async fn a_stopping_node_is_down_at_once_and_not_gone_for_good() {
    let network = FakeNetwork::default();
    let [mut first, _second, mut third] = three(&network).await;
    third.stop.take().unwrap().send(()).unwrap();
    (&mut third.task).await.unwrap();
    first.sees_status("node3", v1::Status::Down).await;
    let view = first.view.borrow().clone();
    assert_eq!(view.placement.len(), 3, "it keeps its shards");
    assert_eq!(
        member(&view, "node3").unwrap().phase(),
        Phase::Draining.message()
    );
}

#[tokio::test]
async fn a_goodbye_does_not_wait_for_the_disk() {
    let network = FakeNetwork::default();
    let [mut first, _second, mut third] = three(&network).await;
    // Nothing has been news for a while, so that the goodbye is what is written next.
    let written = third.path.join("members.json");
    let mut look = tokio::time::interval(LOOK);
    let last = || std::fs::metadata(&written).unwrap().modified().unwrap();
    while last().elapsed().unwrap_or_default() < 4 * TICK {
        look.tick().await;
    }
    third.held_by(2).await;
    // Whoever opens this to write waits until somebody reads.
    let stuck = third.path.join("members.json.new");
    let made = std::process::Command::new("mkfifo").arg(&stuck).status();
    assert!(made.unwrap().success());
    third.stop.take().unwrap().send(()).unwrap();
    first.sees_status("node3", v1::Status::Down).await;
    assert!(!third.task.is_finished(), "it still writes that it drains");
    let _reader = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&stuck)
        .unwrap();
    (&mut third.task).await.unwrap();
}

#[tokio::test]
async fn a_draining_node_says_so_and_keeps_its_shards() {
    let network = FakeNetwork::default();
    let [mut first, second, _third] = three(&network).await;
    let (reply, drained) = oneshot::channel();
    second.commands.send(Command::Drain(reply)).await.unwrap();
    drained.await.unwrap();
    first
        .sees("node2 draining", |view| {
            member(view, "node2").is_some_and(|m| m.phase() == v1::Phase::Draining)
        })
        .await;
    assert_eq!(first.view.borrow().placement.len(), 3);
}

#[tokio::test]
async fn a_store_that_dies_makes_its_node_stop_serving_and_lose_its_shards_after_the_delay() {
    let network = FakeNetwork::default();
    let [mut first, second, _third] = three(&network).await;
    second.store.answer.lock().unwrap().take();
    first
        .sees("node2 stopping", |view| {
            member(view, "node2").is_some_and(|m| m.phase() == v1::Phase::Stopping)
        })
        .await;
    assert_eq!(first.view.borrow().placement.len(), 3);
    assert_eq!(
        member(&first.view.borrow(), "node2").unwrap().status(),
        v1::Status::Up,
        "membership still answers"
    );
}

#[tokio::test]
async fn the_choice_on_disk_outlives_a_crash_before_the_store_took_it() {
    let network = FakeNetwork::default();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let saved = Saved {
        incarnation: 7,
        cluster_id: Some(CLUSTER),
        ..Saved::default()
    };
    Disk::new(directory.path(), "node1").save(&saved).unwrap();
    let mut node = start(
        &network,
        Plan {
            directory,
            ..plan("node1", 1, &[])
        },
    );
    assert_eq!(node.sees_cluster().await, CLUSTER.to_string());
    assert_eq!(*node.store.adopted.lock().unwrap(), [CLUSTER]);
}

#[tokio::test]
async fn a_node_with_the_database_of_another_cluster_ends_instead_of_serving_it() {
    let network = FakeNetwork::default();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let saved = Saved {
        incarnation: 7,
        cluster_id: Some(CLUSTER),
        ..Saved::default()
    };
    Disk::new(directory.path(), "node1").save(&saved).unwrap();
    let plan = Plan {
        directory,
        expect: 1,
        ..plan("node1", 1, &[])
    };
    if let Some(described) = plan.store.answer.lock().unwrap().as_mut() {
        described.cluster_id = Some(OTHER_CLUSTER);
    }
    let node = start(&network, plan);
    let ended = tokio::time::timeout(DEADLINE, node.task).await;
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
}

#[tokio::test]
async fn two_processes_of_one_name_raise_the_alarm_in_the_older_one() {
    let network = FakeNetwork::default();
    let [mut first, _second, _third] = three(&network).await;
    let _newer = start(&network, plan("node1", 11, &[2]));
    first.sees("superseded", |view| view.superseded).await;
}

#[tokio::test]
async fn a_leaving_node_owns_nothing_and_is_known_until_everything_is_handed_over() {
    let network = FakeNetwork::default();
    let [mut first, mut second, mut third] = three(&network).await;
    assert_eq!(third.depart().await, Err(Refusal::NotLeaving));
    let staying = third.leave(false).await;
    assert_eq!(staying, Ok(vec!["node1".to_owned(), "node2".to_owned()]));
    for node in [&mut first, &mut second, &mut third] {
        node.sees_phase("node3", v1::Phase::Leaving).await;
        let view = node.view.borrow().clone();
        assert_eq!(view.placement, ["node1", "node2"]);
        assert_eq!(
            member(&view, "node3").map(v1::Member::status),
            Some(v1::Status::Up)
        );
    }
    assert_eq!(third.depart().await, Ok(()));
    for node in [&mut first, &mut second, &mut third] {
        node.sees_status("node3", v1::Status::Left).await;
    }
    assert_eq!(third.depart().await, Ok(()), "again");
    // What it says while it stops changes nothing.
    third.stop.take().unwrap().send(()).unwrap();
    (&mut third.task).await.unwrap();
    first.sees_status("node3", v1::Status::Left).await;
}

#[tokio::test]
async fn a_node_that_restarts_in_the_middle_goes_on_leaving_and_is_down_meanwhile() {
    let network = FakeNetwork::default();
    let [mut first, _second, third] = three(&network).await;
    third.leave(false).await.unwrap();
    first.sees_phase("node3", v1::Phase::Leaving).await;
    third.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    let mut again = restart(&network, "node3", &third, 33);
    first.sees_status("node3", v1::Status::Up).await;
    again.sees_phase("node3", v1::Phase::Leaving).await;
    assert_eq!(first.view.borrow().placement, ["node1", "node2"]);
    assert_eq!(again.depart().await, Ok(()));
    first.sees_status("node3", v1::Status::Left).await;
}

#[tokio::test]
async fn a_node_that_left_joins_anew_when_it_is_started_again() {
    let network = FakeNetwork::default();
    let [mut first, _second, mut third] = three(&network).await;
    third.leave(false).await.unwrap();
    third.depart().await.unwrap();
    third.sees_status("node3", v1::Status::Left).await;
    let before = third.view.borrow().incarnation;
    third.stop.take().unwrap().send(()).unwrap();
    (&mut third.task).await.unwrap();
    let mut again = restart(&network, "node3", &third, 33);
    again.sees_phase("node3", v1::Phase::Serving).await;
    first
        .sees("node3 placed", |view| view.placement.len() == 3)
        .await;
    assert!(again.view.borrow().incarnation > before);
}

#[tokio::test]
async fn a_departure_that_nobody_hears_is_no_departure_yet() {
    let network = FakeNetwork::default();
    let [mut first, second, mut third] = three(&network).await;
    third.leave(false).await.unwrap();
    first.sees_phase("node3", v1::Phase::Leaving).await;
    for other in [first.address, second.address] {
        network.cut(third.address, other, true);
    }
    third.sees_status("node1", v1::Status::Down).await;
    third.sees_status("node2", v1::Status::Down).await;
    {
        let departing = third.depart();
        tokio::pin!(departing);
        let early = tokio::time::timeout(2 * RETRY, &mut departing).await;
        assert!(early.is_err(), "{early:?}");
        for other in [first.address, second.address] {
            network.cut(third.address, other, false);
        }
        assert_eq!(departing.await, Ok(()));
    }
    first.sees_status("node3", v1::Status::Left).await;
}

#[tokio::test]
async fn who_cannot_leave_says_why() {
    let network = FakeNetwork::default();
    let waiting = start(&network, plan("node2", 2, &[]));
    assert_eq!(waiting.leave(true).await, Err(Refusal::NotFormed));
    let mut alone = start(
        &network,
        Plan {
            expect: 1,
            ..plan("node1", 1, &[])
        },
    );
    alone.sees_cluster().await;
    alone
        .sees("itself placed", |view| view.placement.len() == 1)
        .await;
    let last = CannotLeave::Last("node1".into());
    assert_eq!(alone.leave(true).await, Err(Refusal::Leave(last)));
}

#[tokio::test]
async fn a_new_member_owns_nothing_before_the_others_stores_know_of_it() {
    let network = FakeNetwork::default();
    let [mut first, second, third] = three(&network).await;
    assert!(first.admissions().is_empty(), "a founder");
    // The repair of one is slow.
    third.telling.abort();
    let mut fourth = start(&network, plan("node4", 4, &[1]));
    fourth
        .sees("for whom it waits", |view| {
            view.waiting_for.contains("the store of node3")
        })
        .await;
    assert!(fourth.admissions().is_empty());
    first
        .sees("node4, not placed", |view| {
            member(view, "node4").is_some_and(|m| m.phase() == v1::Phase::Joining)
                && view.placement.len() == 3
        })
        .await;
    let _telling = tokio::spawn(tell_store(third.view.clone(), Arc::clone(&third.store)));
    for node in [&mut first, &mut fourth] {
        node.sees("node4 placed", |view| view.placement.len() == 4)
            .await;
    }
    assert_eq!(fourth.admissions(), [true], "fresh");
    assert!(second.admissions().is_empty());
}

#[tokio::test]
async fn whoever_forgets_is_told_when_it_is_not_on_the_disk() {
    let network = FakeNetwork::default();
    let [mut first, _second, third] = three(&network).await;
    third.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    // It writes nothing now, and gets no turn before this is done.
    first.held_by(2).await;
    let directory = first.directory.path();
    std::fs::remove_dir_all(directory).unwrap();
    std::fs::write(directory, "in the way").unwrap();
    let told = first.forget("node3").await;
    assert_eq!(told, Err(CannotForget::Disk("node3".into())));
    std::fs::remove_file(directory).unwrap();
    std::fs::create_dir(directory).unwrap();
}

#[tokio::test]
async fn a_node_that_was_forgotten_is_admitted_anew_when_it_comes_back_with_its_disk() {
    let network = FakeNetwork::default();
    let [mut first, mut second, third] = three(&network).await;
    third.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    assert_eq!(first.forget("node3").await, Ok(()));
    second
        .sees("node3 forgotten", |view| member(view, "node3").is_none())
        .await;
    let mut again = restart(&network, "node3", &third, 33);
    again.sees_phase("node3", v1::Phase::Serving).await;
    assert_eq!(again.admissions(), [true], "the others were two");
    // A mere restart is none.
    again.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    let mut once_more = restart(&network, "node3", &again, 34);
    once_more.sees_phase("node3", v1::Phase::Serving).await;
    assert_eq!(once_more.admissions(), [true]);
}

#[tokio::test]
async fn a_member_that_lost_its_disk_is_not_fresh_and_neither_is_the_second_of_two() {
    let network = FakeNetwork::default();
    let [mut first, second, third] = three(&network).await;
    third.kill(&network).await;
    first.sees_status("node3", v1::Status::Down).await;
    // Its name is on record as that of a member, and its disk is empty.
    let mut wiped = start(&network, plan("node3", 33, &[1]));
    wiped.sees_phase("node3", v1::Phase::Serving).await;
    assert_eq!(wiped.admissions(), [false]);
    drop(second);

    let network = FakeNetwork::default();
    let mut alone = start(
        &network,
        Plan {
            expect: 1,
            ..plan("node1", 1, &[])
        },
    );
    alone.sees_cluster().await;
    let mut two = start(&network, plan("node2", 2, &[1]));
    two.sees_phase("node2", v1::Phase::Serving).await;
    assert_eq!(two.admissions(), [false], "records had one copy until now");
}
