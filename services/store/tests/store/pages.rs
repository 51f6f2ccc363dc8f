//! Subjects of more claims than a lens reads at a time.

use assertion::Record;
use tempfile::tempdir;

use crate::kinds::as_at_hand;
use crate::node::Node;
use crate::records::{append, epoch, record, source, vote};

/// A lens reads 1,000 at a time, claims and ids of claims with votes alike.
const CLAIMS: i64 = 2_700;

/// Few of one value, many of one moment; one in fifty is longer than what is read together, and some are very long.
fn claim(number: i64, old: &Record) -> Record {
    let note = match number % 250 {
        0 => "é\\n".repeat(5_000),
        50 | 100 | 150 | 200 => "x".repeat(2_048),
        _ => String::new(),
    };
    let epoch = match number % 9 {
        0 => format!(r#""epoch":"{}","#, old.id()),
        _ => String::new(),
    };
    let value = match number % 4 {
        0 => format!(r#""type":"text","value":"a \"{}\" b""#, number % 31),
        1 => format!(r#""type":"boolean","value":{}"#, number % 3 == 0),
        2 => format!(r#""type":"reference","value":"s{}""#, number % 17),
        _ => format!(r#""type":"number","value":{}e-3"#, number % 53),
    };
    record(&format!(
        r#"{{"subject":"s","predicate":"p{}","object":{{{value}}},{epoch}"asserted_at":{},"note":"{note}",
        "confidence":0.{},"source":{{"uri":"u{}","class":"{}"}}}}"#,
        number % 100 / 95,
        number / 700,
        number % 7 + 1,
        number % 41,
        ["expert", "clinical", "anecdotal"][(number % 3) as usize],
    ))
}

#[tokio::test]
async fn many_claims_are_weighed_as_few_are() {
    let directory = tempdir().unwrap();
    let node = Node::start(directory.path()).await;
    let old = epoch("old", &[], 1);
    let mut records: Vec<Record> = (0..CLAIMS).map(|number| claim(number, &old)).collect();
    let voted: Vec<Record> = records.iter().step_by(60).cloned().collect();
    append(&node, &records).await;
    as_at_hand(&node, "s", Some("p0"), &records).await;
    as_at_hand(&node, "s", None, &records).await;

    // Few votes, so that what is voted on is looked up; on many claims; then on more that are not there than are.
    let few = voted.iter().map(|claim| vote(claim, "few", 0.5, 1));
    let all = records.iter().map(|claim| vote(claim, "all", 0.25, 2));
    let (few, all): (Vec<Record>, Vec<Record>) = (few.collect(), all.collect());
    let nowhere = (0..4_000).map(|number| {
        let id = assertion::RecordId::of(&i32::to_be_bytes(number));
        record(&format!(
            r#"{{"kind":"vote","subject":"s","assertion":"{id}","voter":"v","weight":1,"voted_at":1}}"#
        ))
    });
    let beside = vec![
        old.clone(),
        epoch("new", &[&old], 2),
        source("u3", true, 5),
        source("u4", false, 5),
    ];
    for more in [few, beside, all, nowhere.collect()] {
        append(&node, &more).await;
        records.extend(more);
        as_at_hand(&node, "s", Some("p0"), &records).await;
    }
    as_at_hand(&node, "s", None, &records).await;
    node.stop().await;
}
