//! The golden vectors: what other languages are held to.

use assertion::{Invalid, Record, RecordId, SigningKey};
use serde_json::{Value, json};

const ACCEPTED: &str = include_str!("../../vectors/accepted.json");
const SIGNED: &str = include_str!("../../vectors/signed.json");
const REFUSED: &str = include_str!("../../vectors/refused.json");

struct Vectors {
    now_ms: i64,
    list: Vec<Value>,
}

impl Vectors {
    /// The client door that a vector is for.
    fn client(&self, vector: &Value) -> Result<Record, Invalid> {
        let bytes = input(vector);
        match vector.get("as") {
            None => Record::from_client_json(&bytes, self.now_ms),
            Some(kind) => {
                let kind = kind.as_str().unwrap().parse().unwrap();
                Record::from_client_json_as(kind, &bytes, self.now_ms)
            }
        }
    }
}

fn read(file: &str) -> Vectors {
    let file: Value = serde_json::from_str(file).unwrap();
    Vectors {
        now_ms: file["now_ms"].as_i64().unwrap_or(crate::NOW_MS),
        list: file["vectors"].as_array().unwrap().clone(),
    }
}

/// A text of the vector, with what `<fill>` stands for.
fn text(vector: &Value, name: &str) -> String {
    let text = vector[name].as_str().unwrap();
    match vector.get("fill") {
        None => text.to_owned(),
        Some(fill) => {
            let times = usize::try_from(fill["times"].as_u64().unwrap()).unwrap();
            text.replace("<fill>", &fill["unit"].as_str().unwrap().repeat(times))
        }
    }
}

fn input(vector: &Value) -> Vec<u8> {
    let Some(hex) = vector.get("input_hex") else {
        return text(vector, "input").into_bytes();
    };
    assertion::hex::read(hex.as_str().unwrap()).unwrap()
}

#[test]
fn accepted_vectors_have_their_bytes_and_ids() {
    let vectors = read(ACCEPTED);
    for vector in &vectors.list {
        let name = &vector["name"];
        let record = vectors
            .client(vector)
            .unwrap_or_else(|refused| panic!("{name}: {refused}"));
        let canonical = text(vector, "canonical");
        assert_eq!(
            std::str::from_utf8(record.canonical()).unwrap(),
            canonical,
            "{name}"
        );
        assert_eq!(record.id().to_string(), vector["id"], "{name}");
        assert_eq!(
            RecordId::of(canonical.as_bytes()),
            record.id(),
            "{name}: hashed alone"
        );
        assert_eq!(
            Record::from_canonical(canonical.as_bytes()),
            Ok(record.clone()),
            "{name}: the peer door"
        );
        assert_eq!(
            Record::from_client_json(&record.public_json(), vectors.now_ms),
            Ok(record),
            "{name}: what the API returned is sent again"
        );
    }
}

/// From the seeds to the bytes: Ed25519 has no chance in it, so every signature has one form.
#[test]
fn signed_vectors_have_their_signatures_bytes_and_ids() {
    for vector in &read(SIGNED).list {
        let name = &vector["name"];
        let signing_bytes = text(vector, "signing_bytes");
        let unsigned = signing_bytes.strip_prefix("stemedb.sign.v1\n").unwrap();
        let record = vector["seeds"].as_array().unwrap().iter().fold(
            Record::from_canonical(unsigned.as_bytes()).unwrap(),
            |record, seed| {
                let key: SigningKey = seed.as_str().unwrap().parse().unwrap();
                record.sign(&key).unwrap()
            },
        );
        assert_eq!(record.signing_bytes(), signing_bytes.as_bytes(), "{name}");
        let signatures: Value = record
            .signatures()
            .iter()
            .map(|one| json!({"agent": one.agent, "signature": one.signature}))
            .collect();
        assert_eq!(signatures, vector["signatures"], "{name}");
        let canonical = text(vector, "canonical");
        assert_eq!(
            std::str::from_utf8(record.canonical()).unwrap(),
            canonical,
            "{name}"
        );
        assert_eq!(record.id().to_string(), vector["id"], "{name}");
        assert_eq!(
            Record::from_canonical(canonical.as_bytes()),
            Ok(record.clone()),
            "{name}: the peer door"
        );
        assert_eq!(
            Record::from_client_json(&record.public_json(), crate::NOW_MS),
            Ok(record),
            "{name}: what the API returned is sent again"
        );
    }
}

#[test]
fn refused_vectors_have_their_code_and_path() {
    let vectors = read(REFUSED);
    for vector in &vectors.list {
        let name = &vector["name"];
        let taken = match vector["door"].as_str().unwrap() {
            "client" => vectors.client(vector),
            "canonical" => Record::from_canonical(&input(vector)),
            other => panic!("{name}: no door {other}"),
        };
        let Err(refused) = taken else {
            panic!("{name}: was taken");
        };
        assert_eq!(refused.code, vector["code"], "{name}: {refused}");
        assert_eq!(refused.path, vector["path"], "{name}: {refused}");
        assert_eq!(
            refused.limit,
            vector.get("limit").and_then(Value::as_u64),
            "{name}: {refused}"
        );
        assert_is_short(&refused);
    }
}

/// An error repeats little of what was sent: that may be a mebibyte.
fn assert_is_short(refused: &Invalid) {
    assert!(refused.to_string().len() < 500, "{refused}");
}

#[test]
fn every_code_is_documented_and_shown_by_a_vector() {
    let page = include_str!("../../../../docs/canonical-form.md");
    let (_, table) = page.split_once("## Refusals").unwrap();
    let documented: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(code, _)| code)
        .collect();
    let vectors = read(REFUSED).list;
    let shown: Vec<&str> = vectors
        .iter()
        .map(|vector| vector["code"].as_str().unwrap())
        .collect();
    for code in &shown {
        assert!(documented.contains(code), "{code} is not on the page");
    }
    for code in &documented {
        assert!(shown.contains(code), "no vector shows {code}");
    }
}
