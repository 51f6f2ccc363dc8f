//! Every message that peers send to a store, decoded and handled; and what a store answers, decoded and converted.

use std::sync::OnceLock;

use assertion::RecordId;
use bytes::Bytes;
use merkle::{Grain, Path};
use prost::Message;
use proto::view::ClusterView;
use proto::{convert, v1};
use tonic::{Code, Response, Status};

use crate::node::{self, Node, SHARDS};
use crate::{Target, records};

/// A store that is only asked and told records.
fn store() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(Node::start)
}

/// One that is told what to be as well; it may then be leaving, and refuse the rest.
fn steered() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(Node::start)
}

/// A target for a call: decodes, encodes again, and if it is a message sends it to a store.
macro_rules! call {
    ($node:ident . $door:ident . $call:ident ( $message:ident ) , $seeds:expr) => {
        Target {
            name: concat!("call_", stringify!($call)),
            seeds: || $seeds.iter().map(Message::encode_to_vec).collect(),
            check: |bytes| {
                let Some(request) = decoded::<v1::$message>(bytes) else {
                    return;
                };
                let mut door = $node().$door();
                let reply = $node().wait(async move { door.$call(request).await });
                let _ = answered(reply);
            },
            mutations: 300,
        }
    };
}

/// All of them.
pub fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "call_append",
            seeds: || appends().iter().map(Message::encode_to_vec).collect(),
            check: append,
            mutations: 500,
        },
        Target {
            name: "call_fetch",
            seeds: || fetches().iter().map(Message::encode_to_vec).collect(),
            check: fetch,
            mutations: 300,
        },
        Target {
            name: "call_follow",
            seeds: || follows().iter().map(Message::encode_to_vec).collect(),
            check: follow,
            mutations: 300,
        },
        call!(store.store.query(QueryRequest), queries()),
        call!(store.store.get(GetRequest), gets()),
        Target {
            name: "call_compare",
            seeds: || compares().iter().map(Message::encode_to_vec).collect(),
            check: compare,
            mutations: 300,
        },
        call!(store.store.descend(DescendRequest), descends()),
        call!(store.store.missing(MissingRequest), missings()),
        call!(store.store.list_ids(ListIdsRequest), listed_ids()),
        call!(store.store.confirm(ConfirmRequest), confirms()),
        call!(store.store.context(ContextRequest), contexts()),
        call!(store.store.list_subjects(ListSubjectsRequest), subjects()),
        call!(store.store.list(ListRequest), lists()),
        call!(
            steered.control.adopt_cluster(AdoptClusterRequest),
            adoptions()
        ),
        call!(
            steered.control.report_proofs(ReportProofsRequest),
            reports()
        ),
        call!(steered.control.release(ReleaseRequest), releases()),
        Target {
            name: "reply_descend",
            seeds: || vec![described().encode_to_vec()],
            check: descended,
            mutations: 2_000,
        },
        Target {
            name: "view",
            seeds: || vec![node::view().encode_to_vec()],
            check: view,
            mutations: 2_000,
        },
    ]
}

/// A message, when it is one. What is decoded encodes to the same again.
fn decoded<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let once = message.encode_to_vec();
    let again = M::decode(&once[..]).expect("what we encode is a message");
    assert_eq!(again.encode_to_vec(), once);
    Some(message)
}

/// An answer, or a refusal that finds the fault with the caller and says which.
fn answered<T>(reply: Result<Response<T>, Status>) -> Option<T> {
    match reply {
        Ok(reply) => Some(reply.into_inner()),
        Err(status) => {
            let callers = [Code::InvalidArgument, Code::FailedPrecondition];
            assert!(callers.contains(&status.code()), "{status}");
            assert!(!status.message().is_empty() && status.message().len() <= 4_096);
            None
        }
    }
}

/// A peer that saw more of this very store than it began with makes it end, and start again as another one, which tests of the store
/// hold. Here it has to go on, and libFuzzer finds its id out.
fn compare(bytes: &[u8]) {
    static ID: OnceLock<Bytes> = OnceLock::new();
    let Some(mut request) = decoded::<v1::CompareRequest>(bytes) else {
        return;
    };
    let own = ID.get_or_init(|| {
        let mut door = store().store();
        let described = store().wait(async move { door.describe(v1::DescribeRequest {}).await });
        described.expect("a description").into_inner().store_id
    });
    if request.seen_store_id == own {
        request.seen_sequence = 0;
    }
    let mut door = store().store();
    let reply = store().wait(async move { door.compare(request).await });
    let _ = answered(reply);
}

fn append(bytes: &[u8]) {
    let Some(request) = decoded::<v1::AppendRequest>(bytes) else {
        return;
    };
    let sent: Vec<Bytes> = request
        .records
        .iter()
        .map(|sent| sent.canonical.clone())
        .collect();
    let mut door = store().store();
    let reply = store().wait(async move { door.append(request).await });
    let Some(reply) = answered(reply) else { return };
    assert_eq!(
        reply.outcomes.len(),
        sent.len(),
        "one outcome for each record"
    );
    for (sent, outcome) in sent.iter().zip(&reply.outcomes) {
        let taken = assertion::Record::from_canonical(sent).is_ok();
        let invalid = outcome.status() == v1::AppendStatus::Invalid;
        assert_eq!(taken, !invalid, "the door judges as the crate does");
        assert_eq!(invalid, !outcome.reason.is_empty());
        if taken {
            let ids = vec![Bytes::copy_from_slice(RecordId::of(sent).as_bytes())];
            let get = v1::GetRequest {
                ids,
                provenance_only: false,
            };
            let mut door = store().store();
            let held = store().wait(async move { door.get(get).await });
            let held = held.expect("a record that was taken").into_inner();
            assert_eq!(held.records.len(), 1);
            assert_eq!(held.records[0].canonical, *sent, "kept as it came");
        }
    }
}

fn fetch(bytes: &[u8]) {
    let Some(request) = decoded::<v1::FetchRequest>(bytes) else {
        return;
    };
    let mut door = store().store();
    store().wait(async move {
        let Some(mut chunks) = answered(door.fetch(request).await) else {
            return;
        };
        while let Some(chunk) = chunks.message().await.expect("the stream goes to its end") {
            for held in chunk.records {
                assert_eq!(RecordId::of(&held.canonical).as_bytes()[..], held.id[..]);
            }
        }
    });
}

fn follow(bytes: &[u8]) {
    let Some(mut request) = decoded::<v1::FollowRequest>(bytes) else {
        return;
    };
    // Waiting for what does not come is what it is for.
    request.wait_ms %= 2;
    let (limit, after) = (request.limit, request.after);
    let mut door = store().store();
    let reply = store().wait(async move { door.follow(request).await });
    if let Some(reply) = answered(reply) {
        assert!(reply.records.len() <= limit.max(1) as usize || limit == 0);
        assert!(reply.records.iter().all(|held| held.sequence > after));
        assert!(reply.records.is_sorted_by_key(|held| held.sequence));
    }
}

fn descended(bytes: &[u8]) {
    let Some(reply) = decoded::<v1::DescendReply>(bytes) else {
        return;
    };
    for node in reply.nodes {
        let Ok((asked, shard, below)) = convert::below(node) else {
            continue;
        };
        let again = convert::described(asked, shard, below.clone());
        assert_eq!(
            convert::below(again).expect("our own form"),
            (asked, shard, below)
        );
    }
}

fn view(bytes: &[u8]) {
    let Some(mut message) = decoded::<v1::View>(bytes) else {
        return;
    };
    // Membership is next door and says how many; more are refused at its own door.
    message.num_shards = message.num_shards.clamp(1, 1_024);
    let view = ClusterView::new(message, None);
    let owners = view.placement().owners(0);
    assert!(owners.len() <= view.placement().members().len());
}

fn first_id() -> Bytes {
    let first = records::canonical().into_iter().next();
    Bytes::copy_from_slice(RecordId::of(&first.unwrap_or_default()).as_bytes())
}

fn salt() -> Bytes {
    Bytes::from_static(&[3; 16])
}

fn appends() -> Vec<v1::AppendRequest> {
    let record = |canonical: Vec<u8>| v1::AppendRecord {
        canonical: canonical.into(),
        ..v1::AppendRecord::default()
    };
    let all = records::canonical().into_iter().map(record).take(4);
    let mut told = record(b"{}".to_vec());
    told.trace_id = Bytes::from_static(&[7; 16]);
    told.origin = Some(v1::Origin {
        store_id: Bytes::from_static(&[8; 16]),
        sequence: 9,
    });
    let request = |records, arrival: v1::Arrival| v1::AppendRequest {
        records,
        traces: Vec::new(),
        arrival: arrival.into(),
    };
    let mut requests = vec![
        request(all.collect(), v1::Arrival::Push),
        request(vec![told], v1::Arrival::Repair),
    ];
    let each = records::canonical().into_iter();
    requests.extend(each.map(|canonical| request(vec![record(canonical)], v1::Arrival::Push)));
    requests
}

fn asked() -> v1::Selection {
    v1::Selection {
        subject: Some("cas:7732-18-5".into()),
        predicate: Some("boiling_point_k".into()),
        classes: vec!["clinical".into()],
        lifecycles: vec!["approved".into()],
        min_confidence: Some(0.5),
        as_of_ms: Some(records::NOW_MS),
        ..v1::Selection::default()
    }
}

fn queries() -> Vec<v1::QueryRequest> {
    let mut requests = Vec::new();
    for lens in lens::Lens::ALL {
        let lens = v1::LensCall {
            name: lens.name().into(),
            tolerance: Some(0.1),
            decay: true,
            evaluated_at_ms: Some(records::NOW_MS),
            inner: None,
        };
        requests.push(v1::QueryRequest {
            selection: Some(asked()),
            lens: Some(lens),
            ..v1::QueryRequest::default()
        });
    }
    requests.push(v1::QueryRequest {
        selection: Some(v1::Selection {
            subject_prefix: Some("c".into()),
            ..v1::Selection::default()
        }),
        limit: 2,
        include: vec![first_id()],
        ..v1::QueryRequest::default()
    });
    requests
}

fn gets() -> Vec<v1::GetRequest> {
    [true, false]
        .map(|provenance_only| v1::GetRequest {
            ids: vec![first_id(), Bytes::from_static(&[0; 32])],
            provenance_only,
        })
        .to_vec()
}

fn compares() -> Vec<v1::CompareRequest> {
    let all: Vec<u32> = (0..=SHARDS).collect();
    let shards = convert::shard_bits(&all);
    let bare = v1::CompareRequest {
        shards: shards.clone(),
        ..v1::CompareRequest::default()
    };
    let seen = v1::CompareRequest {
        expected: Bytes::from_static(&[1; 32]),
        seen_store_id: Bytes::from_static(&[2; 16]),
        seen_run: 3,
        seen_sequence: 4,
        ..bare.clone()
    };
    vec![bare, seen]
}

fn root(shard: u32) -> v1::TreeNode {
    convert::tree_node(shard, &Path::ROOT)
}

fn deep() -> v1::TreeNode {
    v1::TreeNode {
        shard: 1,
        depth: 3,
        prefix: Bytes::from_static(&[0x12, 0x30]),
    }
}

fn descends() -> Vec<v1::DescendRequest> {
    vec![v1::DescendRequest {
        nodes: vec![root(0), root(SHARDS), deep()],
        salt: salt(),
        ids: Bytes::from_static(&[0b101]),
    }]
}

fn listed() -> Vec<v1::FetchNode> {
    let node = |node| v1::FetchNode {
        node: Some(node),
        short_ids: Bytes::from_static(&[5; 16]),
    };
    vec![node(root(0)), node(root(3)), node(deep())]
}

fn missings() -> Vec<v1::MissingRequest> {
    vec![v1::MissingRequest {
        nodes: listed(),
        salt: salt(),
    }]
}

fn fetches() -> Vec<v1::FetchRequest> {
    let everything = (0..=SHARDS).map(|shard| v1::FetchNode {
        node: Some(root(shard)),
        short_ids: Bytes::new(),
    });
    vec![
        v1::FetchRequest {
            nodes: listed(),
            salt: salt(),
        },
        v1::FetchRequest {
            nodes: everything.collect(),
            salt: salt(),
        },
    ]
}

fn follows() -> Vec<v1::FollowRequest> {
    let request = v1::FollowRequest {
        limit: 3,
        kinds: vec!["assertion".into(), "vote".into()],
        ..v1::FollowRequest::default()
    };
    let chosen = v1::FollowRequest {
        after: 2,
        wait_ms: 1,
        selection: Some(asked()),
        ..request.clone()
    };
    vec![request, chosen]
}

fn listed_ids() -> Vec<v1::ListIdsRequest> {
    let request = |after: Bytes| v1::ListIdsRequest {
        shard: 3,
        max_sequence: u64::MAX,
        after,
        limit: 2,
    };
    vec![request(Bytes::new()), request(first_id())]
}

fn confirms() -> Vec<v1::ConfirmRequest> {
    vec![v1::ConfirmRequest {
        shard: 1,
        ids: [first_id(), first_id()].concat().into(),
    }]
}

fn contexts() -> Vec<v1::ContextRequest> {
    let sources = v1::ContextRequest {
        sources: vec!["https://example.org/a".into()],
        epochs: true,
        as_of_ms: Some(5),
        ..v1::ContextRequest::default()
    };
    let votes = v1::ContextRequest {
        votes_of: Some("cas:7732-18-5".into()),
        votes_on: vec![first_id()],
        epochs_of: vec![first_id()],
        ..v1::ContextRequest::default()
    };
    vec![sources, votes]
}

fn subjects() -> Vec<v1::ListSubjectsRequest> {
    vec![v1::ListSubjectsRequest {
        prefix: "c".into(),
        after: "ca".into(),
        limit: 2,
    }]
}

fn lists() -> Vec<v1::ListRequest> {
    [1, 2, 3, 4]
        .map(|kind| v1::ListRequest {
            kind,
            subject: "s".into(),
            assertion: String::new(),
            prefix: "h".into(),
            retracted: (kind == 2).then_some(false),
            after: Bytes::new(),
            limit: 2,
        })
        .to_vec()
}

fn adoptions() -> Vec<v1::AdoptClusterRequest> {
    vec![v1::AdoptClusterRequest {
        cluster_id: "another".into(),
        num_shards: SHARDS,
    }]
}

fn reports() -> Vec<v1::ReportProofsRequest> {
    let proof = v1::PeerProof {
        peer: "node2".into(),
        shards: vec![v1::ShardRange { first: 0, last: 3 }],
        proved_at_boot_ms: 7,
        peer_counts_as_absent: false,
    };
    let several = v1::ReportProofsRequest {
        known: vec!["node1".into(), "node2".into()],
        replication_factor: 2,
        counted_replication_factor: 0,
        proofs: vec![proof],
        ..node::proofs()
    };
    vec![node::proofs(), several]
}

fn releases() -> Vec<v1::ReleaseRequest> {
    vec![v1::ReleaseRequest {
        shard: 1,
        ids: first_id(),
        asked_at_boot_ms: 5,
        hold_ms: 1,
        view_incarnation: 1,
        view_version: 1,
    }]
}

fn described() -> v1::DescendReply {
    let tree: merkle::Tree = (0..2_000_u32)
        .map(|number| *RecordId::of(&number.to_be_bytes()).as_bytes())
        .collect();
    let nodes = tree.describe(&Path::ROOT, &[3; 16], Grain::Digests, 40);
    v1::DescendReply {
        nodes: nodes
            .into_iter()
            .map(|below| convert::described(0, 1, below))
            .collect(),
        roots: Bytes::copy_from_slice(&tree.root()),
        store_id: Bytes::from_static(&[8; 16]),
    }
}
