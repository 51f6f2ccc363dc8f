//! A record of the feed as its canonical bytes.

use assertion::RecordId;

use crate::failure::Failure;

/// What every public record begins with.
const ID: &str = "{\"id\":\"";
const ID_DIGITS: usize = 64;

/// The canonical bytes of a public record: without the id, which is its first member and has to be their hash.
pub(crate) fn canonical(public: &str) -> Result<Vec<u8>, Failure> {
    let (id, rest) = split(public).ok_or_else(|| misread("a record without id"))?;
    let bytes = format!("{{{rest}").into_bytes();
    if RecordId::of(&bytes).to_string() != id {
        return Err(misread(&format!("a record whose id is not its hash: {id}")));
    }
    Ok(bytes)
}

fn split(public: &str) -> Option<(&str, &str)> {
    let (id, rest) = public.strip_prefix(ID)?.split_at_checked(ID_DIGITS)?;
    Some((id, rest.strip_prefix("\",")?))
}

fn misread(detail: &str) -> Failure {
    Failure::Reply {
        url: "the feed".to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use assertion::Record;

    use super::*;

    fn record() -> Record {
        let json = br#"{"subject":"cas:7732-18-5","predicate":"boiling_point_k","object":{"type":"number","value":373.15},
            "source":{"uri":"https://example.org/kettle","class":"anecdotal"}}"#;
        Record::from_client_json(json, 1_700_000_000_000).unwrap()
    }

    #[test]
    fn the_id_is_taken_off_and_the_rest_is_what_it_hashes() {
        let record = record();
        let public = String::from_utf8(record.public_json()).unwrap();
        assert_eq!(canonical(&public).unwrap(), record.canonical());
    }

    #[test]
    fn what_is_not_its_id_is_not_written() {
        let public = String::from_utf8(record().public_json()).unwrap();
        let changed = public.replace("373.15", "373.16");
        let without = String::from_utf8(record().canonical().to_vec()).unwrap();
        for wrong in [changed.as_str(), &without, "{}", "{\"id\":\"ä"] {
            let failure = canonical(wrong).unwrap_err();
            assert!(matches!(failure, Failure::Reply { .. }), "{wrong}");
        }
    }
}
