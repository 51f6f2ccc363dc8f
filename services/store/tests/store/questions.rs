//! Lenses and pages.

use assertion::Record;
use bytes::Bytes;
use lens::{Lens, Options, Parameters, Selection, resolve};
use proto::convert::{lens_call, selection_to_wire, shard_ranges};
use proto::v1;
use tempfile::tempdir;

use crate::node::{Node, SHARDS};
use crate::records::{about, append, claims};

const WATER: [(&str, &str, f64, &str); 6] = [
    ("chemicals:HEOS", "clinical", 0.95, "373.124295848"),
    ("chemicals:CRC_INORG", "expert", 0.8, "373.124"),
    (
        "chemicals:COMMON_CHEMISTRY",
        "observational",
        0.85,
        "373.15",
    ),
    ("chemicals:WEBBOOK", "regulatory", 0.9, "373.17"),
    ("chemicals:YAWS", "expert", 0.7, "373.15"),
    ("chemicals:WIKIDATA", "community", 0.5, "373.1339"),
];

fn water() -> Vec<Record> {
    let claim = |(uri, class, confidence, value), at: i64| {
        let json = format!(
            r#"{{"subject":"cas:7732-18-5","predicate":"boiling_point_k","asserted_at":{at},
            "object":{{"type":"number","value":{value}}},"lifecycle":"approved",
            "source":{{"uri":"{uri}","class":"{class}"}},"confidence":{confidence}}}"#
        );
        Record::from_client_json(json.as_bytes(), 1_800_000_000_000).unwrap()
    };
    WATER
        .into_iter()
        .zip(1_700_000_000_000..)
        .map(|(source, at)| claim(source, at))
        .collect()
}

fn of_water(lens: Lens, tolerance: Option<f64>) -> Parameters {
    let selection = Selection {
        subject: Some("cas:7732-18-5".into()),
        predicate: Some("boiling_point_k".into()),
        ..Selection::default()
    };
    of(lens, tolerance, selection)
}

fn of(lens: Lens, tolerance: Option<f64>, selection: Selection) -> Parameters {
    let options = Options {
        tolerance,
        ..Options::default()
    };
    Parameters::new(lens, options, selection).unwrap()
}

pub(crate) fn asked(parameters: &Parameters) -> v1::QueryRequest {
    v1::QueryRequest {
        selection: Some(selection_to_wire(parameters.selection())),
        lens: Some(lens_call(parameters)),
        ..v1::QueryRequest::default()
    }
}

#[tokio::test]
async fn every_lens_says_of_water_what_the_records_say() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &claims(0..300)).await;
    append(&node, &water()).await;
    for lens in Lens::ALL {
        for tolerance in [None, Some(0.001)] {
            let parameters = of_water(lens, tolerance);
            let reply = node
                .store()
                .query(asked(&parameters))
                .await
                .unwrap()
                .into_inner();
            let expected = resolve(parameters, &water()).unwrap();
            assert_eq!(
                reply.result_json,
                expected.to_json(),
                "{lens} {tolerance:?}"
            );
            assert_eq!(expected.candidates(), 6);
        }
    }
    // Without a predicate all that is said of the subject is looked at; of another subject nothing.
    let all_of = |subject: &str| {
        let selection = Selection {
            subject: Some(subject.into()),
            ..Selection::default()
        };
        of(Lens::Recency, None, selection)
    };
    let parameters = all_of("cas:7732-18-5");
    let reply = node
        .store()
        .query(asked(&parameters))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        reply.result_json,
        resolve(parameters.clone(), &water()).unwrap().to_json()
    );
    let parameters = all_of("cas:none");
    let reply = node
        .store()
        .query(asked(&parameters))
        .await
        .unwrap()
        .into_inner();
    assert!(
        std::str::from_utf8(&reply.result_json)
            .unwrap()
            .contains("\"winner\":null")
    );
    node.stop().await;
}

fn page_of(subject: &str, limit: u32) -> v1::QueryRequest {
    v1::QueryRequest {
        selection: Some(v1::Selection {
            subject: Some(subject.into()),
            ..v1::Selection::default()
        }),
        limit,
        ..v1::QueryRequest::default()
    }
}

#[tokio::test]
async fn pages_hold_every_record_once_newest_first() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records: Vec<Record> = (0..250)
        .map(|number| {
            let predicate = if number % 2 == 0 { "even" } else { "odd" };
            about("cas:1", predicate, number, i64::from(number / 50))
        })
        .collect();
    append(&node, &records).await;
    append(&node, &claims(0..100)).await;
    let mut expected: Vec<(i64, Bytes)> = records
        .iter()
        .map(|record| (-record.at_ms(), Bytes::copy_from_slice(record.canonical())))
        .collect();
    expected.sort_by_key(|(at, canonical)| (*at, assertion::RecordId::of(canonical)));

    for limit in [7, 50, 1_000] {
        let mut found = Vec::new();
        let mut request = page_of("cas:1", limit);
        loop {
            let reply = node
                .store()
                .query(request.clone())
                .await
                .unwrap()
                .into_inner();
            assert!(reply.records.len() <= limit as usize);
            found.extend(reply.records.into_iter().map(|record| record.canonical));
            if reply.cursor.is_empty() {
                break;
            }
            request.cursor = reply.cursor;
            // What comes in between is newer than the page, and does not shift it.
            append(
                &node,
                &[about(
                    "cas:1",
                    "even",
                    10_000 + found.len() as u32,
                    1_000 + i64::from(limit),
                )],
            )
            .await;
        }
        let times = |canonical: &Bytes| Record::from_canonical(canonical).unwrap().at_ms();
        found.retain(|canonical| times(canonical) < 1_000);
        let expected: Vec<&Bytes> = expected.iter().map(|(_, canonical)| canonical).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "limit {limit}");
    }

    let mut odd = page_of("cas:1", 1_000);
    odd.selection.as_mut().unwrap().predicate = Some("odd".into());
    odd.selection.as_mut().unwrap().as_of_ms = Some(3);
    let reply = node.store().query(odd).await.unwrap().into_inner();
    assert_eq!(reply.records.len(), 100);
    node.stop().await;
}

#[tokio::test]
async fn what_an_answer_is_to_contain_is_named_when_it_is_not_here() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let records = water();
    append(&node, &records[..3]).await;
    let id = |record: &Record| Bytes::copy_from_slice(record.id().as_bytes());
    let mut request = page_of("cas:7732-18-5", 10);
    request.include = vec![id(&records[1]), id(&records[4])];
    let reply = node
        .store()
        .query(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.missing, [id(&records[4])]);
    node.stop().await;
    let node = Node::start(directory.path()).await;
    let reply = node.store().query(request).await.unwrap().into_inner();
    assert_eq!(reply.missing, [id(&records[4])], "from the rows, too");
    node.stop().await;
}

pub(crate) fn report(known: &[&str], proofs: Vec<v1::PeerProof>) -> v1::ReportProofsRequest {
    let owned: Vec<u32> = (0..=SHARDS).collect();
    v1::ReportProofsRequest {
        known: known.iter().map(|name| (*name).to_owned()).collect(),
        replication_factor: 2,
        counted_replication_factor: 0,
        owned: shard_ranges(&owned),
        proofs,
        node: "node1".into(),
        ..v1::ReportProofsRequest::default()
    }
}

fn proof(peer: &str, at: u64, absent: bool) -> v1::PeerProof {
    let shards: Vec<u32> = (0..=SHARDS).collect();
    v1::PeerProof {
        peer: peer.into(),
        shards: shard_ranges(&shards),
        proved_at_boot_ms: at,
        peer_counts_as_absent: absent,
    }
}

#[tokio::test]
async fn a_new_store_counts_once_it_has_what_all_others_had_and_after_a_restart() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let known = ["node1", "node2", "node3"];
    let now = sidecar::clock::boot_ms();
    let mut control = node.control();
    let first = report(&known, vec![proof("node2", now, false)]);
    assert!(
        control
            .report_proofs(first)
            .await
            .unwrap()
            .into_inner()
            .counts_as_absent
    );
    let reply = node
        .store()
        .query(page_of("cas:1", 1))
        .await
        .unwrap()
        .into_inner();
    assert!(!reply.complete && reply.counts_as_absent && reply.proved_through_ms == 0);
    node.stop().await;

    // Still absent after a restart; the peer that counts as absent itself has to be contained too.
    let node = Node::start(directory.path()).await;
    let now = sidecar::clock::boot_ms();
    let now_unix_ms = sidecar::clock::unix_ms();
    let all = report(
        &known,
        vec![proof("node2", now, false), proof("node3", now, true)],
    );
    let mut control = node.control();
    assert!(
        !control
            .report_proofs(all)
            .await
            .unwrap()
            .into_inner()
            .counts_as_absent
    );
    let reply = node
        .store()
        .query(page_of("cas:1", 1))
        .await
        .unwrap()
        .into_inner();
    assert!(reply.complete && !reply.counts_as_absent);
    // The clocks do not stand to each other as exactly as they are read.
    let off = now_unix_ms - reply.proved_through_ms;
    assert!(off.abs() < 1_000, "{off} ms");
    let described = node.describe().await;
    assert!(!described.counts_as_absent && described.proved_through_ms > 0);
    node.stop().await;

    let node = Node::start(directory.path()).await;
    let described = node.describe().await;
    assert!(!described.counts_as_absent, "durable");
    assert_eq!(
        described.proved_through_ms, 0,
        "proofs are lost at a restart"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_store_alone_is_complete() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let alone = report(&["node1"], Vec::new());
    assert!(
        !node
            .control()
            .report_proofs(alone)
            .await
            .unwrap()
            .into_inner()
            .counts_as_absent
    );
    let get = v1::GetRequest {
        ids: vec![Bytes::from_static(&[1; 32])],
        provenance_only: false,
    };
    let reply = node.store().get(get).await.unwrap().into_inner();
    assert!(reply.complete && reply.records.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_damaged_row_is_never_an_answer() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    append(&node, &water()).await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("store.db"));
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("UPDATE record SET canonical = CAST(replace(CAST(canonical AS TEXT), '373.17', '373.18') AS BLOB)")
        .execute(&mut connection)
        .await
        .unwrap();
    let parameters = of_water(Lens::Authority, None);
    let failed = node.store().query(asked(&parameters)).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::DataLoss);
    sqlx::Connection::close(connection).await.unwrap();
    node.stop().await;
}
