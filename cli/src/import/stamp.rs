//! What a line gets before it is sent: its time, so that whatever has to be sent again is the same record, and a signature.

use assertion::{Invalid, Kind, Record, SigningKey};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What decides whether a line is stamped.
#[derive(Deserialize)]
struct Stamped<'a> {
    kind: Option<String>,
    #[serde(borrow)]
    asserted_at: Option<&'a RawValue>,
    #[serde(borrow)]
    voted_at: Option<&'a RawValue>,
    #[serde(borrow)]
    started_at: Option<&'a RawValue>,
    #[serde(borrow)]
    recorded_at: Option<&'a RawValue>,
    #[serde(borrow)]
    voter: Option<&'a RawValue>,
    #[serde(borrow)]
    signatures: Option<&'a RawValue>,
}

impl Stamped<'_> {
    fn kind(&self) -> Option<Kind> {
        match self.kind.as_deref() {
            None => Some(Kind::Assertion),
            Some(name) => name.parse().ok(),
        }
    }

    /// An empty list is none, as at the gateway's door.
    fn is_signed(&self) -> bool {
        self.signatures.is_some_and(|list| {
            let inside = list.get().strip_prefix('[');
            let inside = inside.and_then(|rest| rest.strip_suffix(']'));
            inside.is_none_or(|inside| !inside.trim().is_empty())
        })
    }

    fn is_dated(&self, kind: Kind) -> bool {
        let time = match kind {
            Kind::Assertion => self.asserted_at,
            Kind::Vote => self.voted_at,
            Kind::Epoch => self.started_at,
            Kind::Source => self.recorded_at,
        };
        time.is_some()
    }
}

/// The line with the time of its kind, when it has none, and for a vote that is signed here with its voter: spliced into the
/// text, so that nothing else of it changes. A line that is no JSON object or of no known kind is left to the gateway to
/// refuse, a signed one is complete by definition.
pub(crate) fn stamp(line: &[u8], now_ms: i64, voter: Option<&str>) -> Option<Vec<u8>> {
    let found: Stamped<'_> = serde_json::from_slice(line).ok()?;
    let kind = found.kind()?;
    if found.is_signed() {
        return None;
    }
    let mut members = Vec::new();
    if !found.is_dated(kind) {
        members.push(format!("\"{}\":{now_ms}", kind.time_field()));
    }
    if let (Kind::Vote, None, Some(agent)) = (kind, found.voter, voter) {
        members.push(format!("\"voter\":\"{agent}\""));
    }
    if members.is_empty() {
        return None;
    }
    splice(line, &members.join(","))
}

/// Members at the end of an object.
fn splice(line: &[u8], members: &str) -> Option<Vec<u8>> {
    let end = line.iter().rposition(|byte| !byte.is_ascii_whitespace())?;
    let inside = line[..end]
        .iter()
        .rfind(|byte| !byte.is_ascii_whitespace())?;
    if line[end] != b'}' {
        return None;
    }
    let comma = if *inside == b'{' { "" } else { "," };
    let mut out = line[..end].to_vec();
    out.extend_from_slice(format!("{comma}{members}}}").as_bytes());
    Some(out)
}

/// The line as the signed record's canonical bytes. Signatures that it has already stay beside the new one.
pub(crate) fn sign(line: &[u8], now_ms: i64, key: &SigningKey) -> Result<Vec<u8>, Invalid> {
    let record = Record::from_client_json(line, now_ms)?.sign(key)?;
    Ok(record.canonical().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn stamped(given: &str, voter: Option<&str>) -> String {
        let sent = stamp(given.as_bytes(), NOW_MS, voter);
        String::from_utf8(sent.unwrap_or(given.into())).unwrap()
    }

    #[test]
    fn only_lines_without_a_time_are_stamped() {
        let cases = [
            (
                r#"{"subject":"a"}"#,
                r#"{"subject":"a","asserted_at":1700000000000}"#,
            ),
            ("{}", r#"{"asserted_at":1700000000000}"#),
            (
                r#"{"n":0.1000}  "#,
                r#"{"n":0.1000,"asserted_at":1700000000000}"#,
            ),
            (r#"{"asserted_at":-5}"#, r#"{"asserted_at":-5}"#),
            (
                r#"{"subject":"a","signatures":[ ]}"#,
                r#"{"subject":"a","signatures":[ ],"asserted_at":1700000000000}"#,
            ),
            (
                r#"{"subject":"a","signatures":[{}]}"#,
                r#"{"subject":"a","signatures":[{}]}"#,
            ),
            ("[1,2]", "[1,2]"),
            ("{broken", "{broken"),
            ("7", "7"),
        ];
        for (given, sent) in cases {
            assert_eq!(stamped(given, None), sent);
        }
    }

    #[test]
    fn every_kind_has_its_own_time() {
        for (kind, time) in [
            ("assertion", "asserted_at"),
            ("vote", "voted_at"),
            ("epoch", "started_at"),
            ("source", "recorded_at"),
        ] {
            assert_eq!(
                stamped(&format!(r#"{{"kind":"{kind}"}}"#), None),
                format!(r#"{{"kind":"{kind}","{time}":1700000000000}}"#)
            );
        }
        let unknown = r#"{"kind":"opinion"}"#;
        assert_eq!(stamped(unknown, None), unknown);
    }

    #[test]
    fn a_vote_that_is_signed_here_is_the_signers() {
        let agent = SigningKey::from_seed(&[7; 32]).agent();
        assert_eq!(
            stamped(r#"{"kind":"vote","voted_at":1}"#, Some(&agent)),
            format!(r#"{{"kind":"vote","voted_at":1,"voter":"{agent}"}}"#)
        );
        let named = r#"{"kind":"vote","voted_at":1,"voter":"ann"}"#;
        assert_eq!(stamped(named, Some(&agent)), named);
    }

    #[test]
    fn a_line_is_signed_after_it_is_stamped() {
        let key = SigningKey::from_seed(&[7; 32]);
        let line = br#"{"subject":"a","predicate":"b","object":{"type":"number","value":1.50},"source":{"uri":"c","class":"expert"}}"#;
        let stamped = stamp(line, NOW_MS, None).unwrap();
        let signed = sign(&stamped, NOW_MS, &key).unwrap();
        let record = Record::from_canonical(&signed).unwrap();
        assert_eq!(record.at_ms(), NOW_MS);
        assert_eq!(record.signatures()[0].agent, key.agent());
        let other = SigningKey::from_seed(&[8; 32]);
        let twice = Record::from_canonical(&sign(&signed, NOW_MS, &other).unwrap()).unwrap();
        assert_eq!(twice.signatures().len(), 2);
        assert_eq!(sign(b"{}", NOW_MS, &key).unwrap_err().code, "missing_field");
    }
}
