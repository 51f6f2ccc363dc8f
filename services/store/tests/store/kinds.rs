//! Claims, votes, epochs and sources: where they lie, and what lenses make of them.

use assertion::{Kind, Record, SigningKey};
use bytes::Bytes;
use lens::{Lens, Options, Parameters, Selection, resolve};
use proto::v1;
use tempfile::tempdir;

use crate::node::{Node, SHARDS};
use crate::questions::asked;
use crate::records::{append, claims, epoch, id, push, pushed, record, said, source, vote};
use crate::writes::{ids, roots};

fn one_of_each() -> [Record; 4] {
    let claim = said("s", "u", 1, "");
    let vote = vote(&claim, "v", 0.5, 2);
    [claim, vote, epoch("e", &[], 3), source("u", true, 4)]
}

#[tokio::test]
async fn each_kind_lies_in_its_shard_and_comes_back_as_it_was() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let (node, twin) = (
        Node::start(one.path()).await,
        Node::start(other.path()).await,
    );
    let mut records = one_of_each();
    let of_subject = shard::shard_of("s", SHARDS);
    let stored = [v1::AppendStatus::Stored; 4];
    assert_eq!(append(&node, &records).await, stored);
    assert_eq!(
        append(&node, &records).await,
        [v1::AppendStatus::Present; 4]
    );
    records.reverse();
    assert_eq!(append(&twin, &records).await, stored);
    records.reverse();
    assert_eq!(roots(&node).await, roots(&twin).await);
    twin.stop().await;
    node.stop().await;

    let node = Node::start(one.path()).await;
    let get = v1::GetRequest {
        ids: records.iter().map(id).collect(),
        provenance_only: false,
    };
    let held = node.store().get(get).await.unwrap().into_inner().records;
    let expected: Vec<(Bytes, u32)> = records
        .iter()
        .zip([of_subject, of_subject, SHARDS, SHARDS])
        .map(|(record, shard)| (Bytes::copy_from_slice(record.canonical()), shard))
        .collect();
    let found: Vec<(Bytes, u32)> = held
        .into_iter()
        .map(|held| (held.canonical, held.shard))
        .collect();
    assert_eq!(found, expected);
    let mut global = [records[2].id().to_bytes(), records[3].id().to_bytes()];
    global.sort_unstable();
    assert_eq!(ids(&node, SHARDS, 10).await, global);
    // Votes, epochs and sources are no claims: pages do not show them.
    let page = v1::QueryRequest {
        selection: Some(v1::Selection {
            subject: Some("s".into()),
            ..v1::Selection::default()
        }),
        limit: 10,
        ..v1::QueryRequest::default()
    };
    let page = node.store().query(page).await.unwrap().into_inner();
    assert_eq!(page.records.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_signature_is_verified_at_this_door() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let (key, other) = (
        SigningKey::from_seed(&[7; 32]),
        SigningKey::from_seed(&[8; 32]),
    );
    let signed: Vec<Record> = one_of_each()
        .into_iter()
        .filter(|record| record.kind() != Kind::Vote)
        .map(|record| record.sign(&key).unwrap().sign(&other).unwrap())
        .collect();
    let vote = vote(&signed[0], &key.agent(), 1.0, 5).sign(&key).unwrap();
    let changed = |record: &Record, from: &str, to: &str| {
        let text = String::from_utf8(record.canonical().to_vec()).unwrap();
        assert!(text.contains(from));
        pushed(text.replacen(from, to, 1).as_bytes())
    };
    let mut request = push(&signed);
    request.records.push(pushed(vote.canonical()));
    // Signed, and then changed; somebody else's vote.
    request
        .records
        .push(changed(&signed[0], "\"value\":1", "\"value\":2"));
    request.records.push(changed(
        &signed[2],
        "\"retracted\":true",
        "\"retracted\":false",
    ));
    let voter = format!("\"voter\":\"{}\"", key.agent());
    request
        .records
        .push(changed(&vote, &voter, "\"voter\":\"somebody\""));
    let outcomes = node
        .store()
        .append(request)
        .await
        .unwrap()
        .into_inner()
        .outcomes;
    let statuses: Vec<v1::AppendStatus> = outcomes.iter().map(v1::AppendOutcome::status).collect();
    assert_eq!(statuses[..4], [v1::AppendStatus::Stored; 4]);
    assert_eq!(statuses[4..], [v1::AppendStatus::Invalid; 3]);
    assert!(outcomes[4].reason.contains("signature"), "{outcomes:?}");
    assert!(outcomes[6].reason.contains("voter"), "{outcomes:?}");
    assert_eq!(node.describe().await.records, 4);
    // What was verified when it came is read again without.
    let parameters = about("s", Some("p"), Lens::Votes, Options::default());
    let reply = node.store().query(asked(&parameters)).await.unwrap();
    let all: Vec<Record> = signed.into_iter().chain([vote]).collect();
    let expected = resolve(parameters, &all).unwrap().to_json();
    assert_eq!(reply.into_inner().result_json, expected);
    node.stop().await;
}

fn about(subject: &str, predicate: Option<&str>, lens: Lens, options: Options) -> Parameters {
    let selection = Selection {
        subject: Some(subject.into()),
        predicate: predicate.map(str::to_owned),
        ..Selection::default()
    };
    Parameters::new(lens, options, selection).unwrap()
}

/// Asks every lens, with everything that can be asked beside it, and holds the answers to those over the same records at hand.
pub(crate) async fn as_at_hand(
    node: &Node,
    subject: &str,
    predicate: Option<&str>,
    records: &[Record],
) {
    let decayed = Options {
        decay: true,
        evaluated_at: Some(1_700_000_000_000),
        ..Options::default()
    };
    let inner = |lens| Options {
        inner: Some(lens),
        ..Options::default()
    };
    let plain = Lens::ALL.map(|lens| (lens, Options::default()));
    let more = [
        (Lens::Epoch, inner(Lens::Votes)),
        (Lens::Epoch, inner(Lens::Skeptic)),
        (Lens::Skeptic, decayed),
    ];
    for (lens, options) in plain.into_iter().chain(more) {
        let parameters = about(subject, predicate, lens, options);
        let reply = node.store().query(asked(&parameters)).await.unwrap();
        let expected = resolve(parameters, records).unwrap().to_json();
        let given = reply.into_inner().result_json;
        assert_eq!(
            String::from_utf8_lossy(&given),
            String::from_utf8_lossy(&expected),
            "{lens} {options:?}"
        );
    }
}

async fn winner(node: &Node, parameters: &Parameters) -> Bytes {
    let reply = node.store().query(asked(parameters)).await.unwrap();
    reply.into_inner().result_json
}

#[tokio::test]
async fn a_retraction_is_seen_by_every_lens_and_can_be_taken_back() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let mut records = vec![
        said("s", "good", 1, ""),
        said("s", "bad", 2, ""),
        said("other", "bad", 2, ""),
    ];
    append(&node, &records).await;
    append(&node, &claims(0..100)).await;
    as_at_hand(&node, "s", Some("p"), &records).await;
    let recency = about("s", Some("p"), Lens::Recency, Options::default());
    let before = winner(&node, &recency).await;

    let mut add = async |record: Record| {
        append(&node, std::slice::from_ref(&record)).await;
        records.push(record);
        as_at_hand(&node, "s", Some("p"), &records).await;
        as_at_hand(&node, "s", None, &records).await;
        winner(&node, &recency).await
    };
    let retracted = add(source("bad", true, 10)).await;
    let text = String::from_utf8_lossy(&retracted);
    assert!(text.contains(r#""retracted":1"#) && text.contains(r#""candidates":1"#));
    assert_ne!(retracted, before);
    // An older word changes nothing; of two of one moment the greater id decides, whichever came first.
    assert_eq!(add(source("bad", false, 9)).await, retracted);
    let restored = add(source("bad", false, 11)).await;
    assert!(String::from_utf8_lossy(&restored).contains(r#""candidates":2"#));
    add(source("bad", true, 11)).await;

    let mut earlier = asked(&recency);
    earlier.selection.as_mut().unwrap().as_of_ms = Some(9);
    let reply = node.store().query(earlier).await.unwrap().into_inner();
    assert!(String::from_utf8_lossy(&reply.result_json).contains(r#""candidates":2"#));
    node.stop().await;
}

#[tokio::test]
async fn votes_and_epochs_are_what_the_records_say() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let old = epoch("old", &[], 1);
    let new = epoch("new", &[&old], 2);
    let of = |epoch: &Record| format!(r#""epoch":"{}","#, epoch.id());
    let claims = [
        said("s", "a", 1, &of(&old)),
        said("s", "b", 2, &of(&new)),
        said("s", "c", 3, ""),
    ];
    let mut records = claims.to_vec();
    for number in 0..40 {
        let on = &claims[number % 3];
        let weight = 1.0 / (1.0 + number as f64);
        records.push(vote(
            on,
            &format!("v{}", number % 11),
            weight,
            number as i64,
        ));
    }
    // Of another subject, although it names the claim: it lies elsewhere and counts for nobody.
    records.push(record(&format!(
        r#"{{"kind":"vote","subject":"t","assertion":"{}","voter":"w","weight":1,"voted_at":1}}"#,
        claims[0].id()
    )));
    // What nobody has voted and superseded, and a chain that leads to what a claim names, its end first.
    let absent = said("s", "nobody has it", 9, "");
    records.extend((0..5).map(|number| vote(&absent, &format!("v{number}"), 1.0, 1)));
    let foreign = epoch("foreign", &[], 3);
    let newest = epoch("newest", &[&new], 4);
    records.extend([epoch("later than that", &[&newest], 5), newest]);
    records.extend([epoch("of foreign", &[&foreign], 3), foreign, old, new]);
    append(&node, &records).await;
    as_at_hand(&node, "s", Some("p"), &records).await;
    as_at_hand(&node, "s", None, &records).await;
    node.stop().await;
    let node = Node::start(directory.path()).await;
    as_at_hand(&node, "s", Some("p"), &records).await;
    node.stop().await;
}

#[tokio::test]
async fn sources_are_looked_up_for_claims_of_many_pages() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    // Several pages; the predicates change within them, and a source returns on a later one.
    let mut records: Vec<Record> = (0..2_700)
        .map(|number| {
            let (predicate, uri) = (number % 4, number % 1_900);
            record(&format!(
                r#"{{"subject":"s","predicate":"p{predicate}","asserted_at":{},"object":{{"type":"number","value":{}}},
                "source":{{"uri":"urn:\u00e9\u0000{uri}","class":"expert"}},"note":"{number}"}}"#,
                number / 3,
                number % 50
            ))
        })
        .collect();
    records.extend((0..1_900).step_by(7).map(|uri| {
        let uri = format!("urn:\\u00e9\\u0000{uri}");
        source(&uri, true, 10)
    }));
    append(&node, &records).await;
    as_at_hand(&node, "s", None, &records).await;
    as_at_hand(&node, "s", Some("p1"), &records).await;
    node.stop().await;
}
