//! What is small and comes from afar: descriptions and books of members, config.toml, tokens and cursors.

use std::collections::BTreeMap;

use assertion::RecordId;
use lens::Selection;
use proto::listing::{self, VotePlace};
use proto::{convert, cursor};
use sidecar::Settings;
use sidecar::settings::{Origin, SettingsError, TABLE};
use stemedb_gateway::feed::token::Token;
use stemedb_membership::book::{BOOK_BYTES_MAX, Book, Entry, MEMBERS_MAX};
use stemedb_membership::metadata::{ClusterId, METADATA_MAX, Metadata, Phase};

use crate::Target;

/// A token goes into a URL.
const TOKEN_MAX: usize = 4_200;

/// All of them.
pub fn targets() -> Vec<Target> {
    let target = |name, seeds, check| Target {
        name,
        seeds,
        check,
        mutations: 10_000,
    };
    vec![
        target("metadata", descriptions, metadata),
        target("book", books, book),
        target("config", configurations, config),
        target("feed_token", tokens, feed_token),
        target("cursor", cursors, cursor_of_page),
    ]
}

fn description() -> Metadata {
    Metadata {
        node_id: [7; 16],
        cluster_id: Some(ClusterId::from_bytes([9; 16])),
        num_shards: 256,
        incarnation: 1_790_000_000_123,
        phase: Phase::Serving,
        record_version: 1,
        store_id: Some([3; 16]),
        host: "2001:db8::17".parse().expect("an address"),
        api_port: 1,
        admin_port: 2,
        rpc_port: 3,
        software: "0.1.0".into(),
        agreed: Some(u64::MAX),
        founders: Some(3),
        told: Some(u64::MAX - 1),
        replication_factor: Some(16),
        counted: Some(15),
    }
}

fn descriptions() -> Vec<Vec<u8>> {
    let bare = Metadata {
        cluster_id: None,
        store_id: None,
        agreed: None,
        founders: None,
        told: None,
        replication_factor: None,
        counted: None,
        host: "10.1.2.3".parse().expect("an address"),
        ..description()
    };
    let newer = [description().encode(), vec![200, 3, 1, 2, 3]].concat();
    vec![description().encode(), bare.encode(), newer]
}

fn metadata(bytes: &[u8]) {
    let Ok(read) = Metadata::decode(bytes) else {
        return;
    };
    let again = read.encode();
    assert!(bytes.len() <= METADATA_MAX && again.len() <= METADATA_MAX);
    assert_eq!(Metadata::decode(&again), Ok(read));
}

fn books() -> Vec<Vec<u8>> {
    let entry = Entry {
        incarnation: 7,
        metadata: description(),
        address: "10.1.2.3:4".parse().expect("an address"),
        gone: None,
        served: true,
        stopped_for_ms: Some(5),
    };
    let gone = ["left", "forgotten"].map(|word| format!("\"gone\":\"{word}\""));
    let book = Book {
        writer: "node1".into(),
        cluster_id: Some(ClusterId::from_bytes([9; 16])),
        num_shards: 256,
        members: BTreeMap::from([("node1".into(), entry.clone()), ("node2".into(), entry)]),
    };
    let text = String::from_utf8(book.to_json()).expect("JSON is text");
    let went = gone.map(|gone| text.replacen("\"gone\":null", &gone, 1));
    [vec![text], went.to_vec()]
        .concat()
        .into_iter()
        .map(String::into_bytes)
        .collect()
}

fn book(bytes: &[u8]) {
    let Ok(read) = Book::from_json(bytes) else {
        return;
    };
    assert!(bytes.len() <= BOOK_BYTES_MAX);
    assert!(read.members.len() <= 2 * MEMBERS_MAX);
    let again = read.to_json();
    assert_eq!(Book::from_json(&again).expect("our own form"), read);
}

fn configurations() -> Vec<Vec<u8>> {
    let text = "[cluster]\nnode_id = \"node1\"\nenabled = true\nname = \"c\"\nnum_shards = 4\nseeds = \"a,b:1\"\n\
                [replication]\nfactor = 2\nhedge_ms = 250\n[storage]\ndata_dir = \"d\"\nmin_free_mib = 1\n\
                [http]\nallowed_origins = \"https://a.example\"\n[auth]\nmode = \"off\"\n";
    let dotted = "cluster.node_id = 'n'\nreplication.factor = 99999999999\n";
    let unknown = "[cluster]\ncolour = 1\n[[storage]]\n";
    [text, dotted, unknown, ""]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // A secret is read from the disk, wherever the file says; that is for its owner to say.
    if text.contains("secret") {
        return;
    }
    let settings = match Settings::from_parts(Some(text), std::iter::empty()) {
        Ok(settings) => settings,
        Err(SettingsError::Faults(faults)) => {
            assert!(!faults.is_empty());
            return assert!(faults.iter().all(|fault| !fault.problem.is_empty()));
        }
        Err(error) => panic!("nothing is read from the disk: {error}"),
    };
    assert!((1..=1_024).contains(&settings.cluster.num_shards));
    assert!(settings.replication.factor >= 1 && settings.cluster.bootstrap_expect >= 1);
    assert!(!settings.cluster.node_id.is_empty());
    assert_eq!(settings.explain().len(), TABLE.len());
    // Every setting has both forms: what the file says, said by variables, comes to the same.
    let said = settings.explain().iter();
    let said = said.filter(|said| said.origin == Origin::File);
    let variables = said.map(|said| (said.env.to_owned(), said.value.clone()));
    let same = Settings::from_parts(None, variables).expect("the same by variables");
    for (file, variable) in settings.explain().iter().zip(same.explain()) {
        assert_eq!(file.value, variable.value, "{}", file.key);
    }
}

fn tokens() -> Vec<Vec<u8>> {
    let entry = |store: u8| [vec![store; 16], vec![0; 7], vec![9], vec![0; 8]].concat();
    let of = |stores: &[u8]| {
        [
            vec![2],
            stores.iter().flat_map(|store| entry(*store)).collect(),
        ]
        .concat()
    };
    vec![
        of(&[]),
        of(&[1]),
        of(&[1, 2, 3]),
        of(&[1, 1]),
        b"now".to_vec(),
    ]
}

/// The text as it is, and as what is told by a token: with the check that a forger can add as well.
fn feed_token(bytes: &[u8]) {
    let id = RecordId::of(bytes);
    let forged = base64([bytes, &id.as_bytes()[..4]].concat());
    let texts = [String::from_utf8_lossy(bytes).into_owned(), forged];
    for token in texts.iter().filter_map(|text| Token::read(text).ok()) {
        let text = token.write();
        assert!(text.len() <= TOKEN_MAX);
        assert_eq!(Token::read(&text).expect("our own form"), token);
    }
}

/// As URLs have it, without padding.
fn base64(bytes: Vec<u8>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut bits = three
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        bits <<= 8 * (3 - three.len());
        let digits = (0..=three.len()).map(|place| DIGITS[bits >> (18 - 6 * place) & 63]);
        text.extend(digits.map(char::from));
    }
    text
}

fn asked() -> Selection {
    Selection {
        subject: Some("s".into()),
        ..Selection::default()
    }
}

fn cursors() -> Vec<Vec<u8>> {
    let place = cursor::Position {
        at: -5,
        id: RecordId::from_bytes([3; 32]),
    };
    let id = "0".repeat(64);
    vec![
        cursor::write(&asked(), place).to_vec(),
        listing::epoch_key(place).to_vec(),
        listing::vote_key(&id, "ann").to_vec(),
        listing::after_votes_on(&id).to_vec(),
    ]
}

fn cursor_of_page(bytes: &[u8]) {
    if let Ok(Some(place)) = cursor::read(&asked(), bytes) {
        assert_eq!(cursor::write(&asked(), place), bytes);
    }
    if let Ok(Some(place)) = listing::epoch_place(bytes) {
        assert_eq!(listing::epoch_key(place), bytes);
    }
    match listing::vote_place(bytes) {
        Ok(VotePlace::Voter(assertion, voter)) => {
            assert_eq!(listing::vote_key(assertion, voter), bytes);
        }
        Ok(VotePlace::Claim(assertion)) => assert_eq!(listing::after_votes_on(assertion), bytes),
        Ok(VotePlace::First) => assert!(bytes.is_empty()),
        Err(_) => {}
    }
    if let Ok(shards) = convert::shards_of_bits(bytes, 256) {
        assert_eq!(convert::shard_bits(&shards), bytes);
    }
}
