//! The one form of a record: RFC 8785 (JCS) JSON. Field names are ASCII, so sorting them by UTF-16 code unit, as JCS asks, is
//! sorting them by byte; the order is written out below instead of computed.

use std::io::Write as _;

use crate::claim::Value;
use crate::model::{Assertion, Content, Epoch, Source, SourceRecord, Vote};
use crate::signature::Signature;

/// The canonical bytes of a record with these signatures.
pub(crate) fn record(content: &Content, signatures: &[Signature]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, content, signatures);
    out
}

/// Appends the canonical bytes of a record.
pub(crate) fn write(out: &mut Vec<u8>, content: &Content, signatures: &[Signature]) {
    let long = match content {
        Content::Assertion(claim) => claim.note.as_deref(),
        Content::Epoch(epoch) => epoch.reason.as_deref(),
        Content::Vote(_) | Content::Source(_) => None,
    };
    out.reserve(320 + long.map_or(0, str::len) + signatures.len() * SIGNATURE_BYTES);
    match content {
        Content::Assertion(content) => assertion(out, content, signatures),
        Content::Vote(content) => vote(out, content, signatures),
        Content::Epoch(content) => epoch(out, content, signatures),
        Content::Source(content) => source_record(out, content, signatures),
    }
}

/// Bytes of one signature with its names and braces.
const SIGNATURE_BYTES: usize = 224;

fn assertion(out: &mut Vec<u8>, claim: &Assertion, signatures: &[Signature]) {
    out.extend_from_slice(b"{\"asserted_at\":");
    integer(out, claim.asserted_at);
    out.extend_from_slice(b",\"confidence\":");
    number(out, claim.confidence);
    optional(out, "epoch", claim.epoch.as_deref());
    out.extend_from_slice(b",\"kind\":\"assertion\",\"lifecycle\":\"");
    out.extend_from_slice(claim.lifecycle.name().as_bytes());
    out.push(b'"');
    optional(out, "note", claim.note.as_deref());
    out.extend_from_slice(b",\"object\":");
    value(out, &Value::of(&claim.object));
    optional(out, "parent", claim.parent.as_deref());
    out.extend_from_slice(b",\"predicate\":");
    string(out, &claim.predicate);
    signed(out, signatures);
    out.extend_from_slice(b",\"source\":");
    source(out, &claim.source);
    out.extend_from_slice(b",\"subject\":");
    string(out, &claim.subject);
    out.extend_from_slice(b",\"v\":1}");
}

fn vote(out: &mut Vec<u8>, vote: &Vote, signatures: &[Signature]) {
    out.extend_from_slice(b"{\"assertion\":");
    string(out, &vote.assertion);
    out.extend_from_slice(b",\"kind\":\"vote\"");
    signed(out, signatures);
    out.extend_from_slice(b",\"subject\":");
    string(out, &vote.subject);
    out.extend_from_slice(b",\"v\":1,\"voted_at\":");
    integer(out, vote.voted_at);
    out.extend_from_slice(b",\"voter\":");
    string(out, &vote.voter);
    out.extend_from_slice(b",\"weight\":");
    number(out, vote.weight);
    out.push(b'}');
}

fn epoch(out: &mut Vec<u8>, epoch: &Epoch, signatures: &[Signature]) {
    out.extend_from_slice(b"{\"kind\":\"epoch\",\"name\":");
    string(out, &epoch.name);
    optional(out, "reason", epoch.reason.as_deref());
    signed(out, signatures);
    out.extend_from_slice(b",\"started_at\":");
    integer(out, epoch.started_at);
    list(out, "supersedes", &epoch.supersedes, |out, id| {
        string(out, id)
    });
    out.extend_from_slice(b",\"v\":1}");
}

fn source_record(out: &mut Vec<u8>, source: &SourceRecord, signatures: &[Signature]) {
    out.extend_from_slice(b"{\"class\":\"");
    out.extend_from_slice(source.class.name().as_bytes());
    out.extend_from_slice(b"\",\"kind\":\"source\",\"recorded_at\":");
    integer(out, source.recorded_at);
    match source.retracted {
        Some(true) => out.extend_from_slice(b",\"retracted\":true"),
        Some(false) => out.extend_from_slice(b",\"retracted\":false"),
        None => {}
    }
    signed(out, signatures);
    optional(out, "title", source.title.as_deref());
    out.extend_from_slice(b",\"uri\":");
    string(out, &source.uri);
    out.extend_from_slice(b",\"v\":1}");
}

fn signed(out: &mut Vec<u8>, signatures: &[Signature]) {
    list(out, "signatures", signatures, |out, signature| {
        out.extend_from_slice(b"{\"agent\":");
        string(out, &signature.agent);
        out.extend_from_slice(b",\"signature\":");
        string(out, &signature.signature);
        out.push(b'}');
    });
}

/// `{"type":…,"value":…}`.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value<'_>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\",\"value\":");
    match value {
        Value::Text(text) | Value::Reference(text) => string(out, text),
        Value::Number(value) => number(out, *value),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
    }
    out.push(b'}');
}

fn source(out: &mut Vec<u8>, source: &Source) {
    out.extend_from_slice(b"{\"class\":\"");
    out.extend_from_slice(source.class.name().as_bytes());
    out.push(b'"');
    optional(out, "hash", source.hash.as_deref());
    out.extend_from_slice(b",\"uri\":");
    string(out, &source.uri);
    out.push(b'}');
}

/// A list that is not empty; an empty one is left out.
fn list<T>(out: &mut Vec<u8>, name: &str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    for (position, item) in items.iter().enumerate() {
        if position == 0 {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":[");
        } else {
            out.push(b',');
        }
        write(out, item);
    }
    if !items.is_empty() {
        out.push(b']');
    }
}

fn integer(out: &mut Vec<u8>, value: i64) {
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
}

fn optional(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        string(out, value);
    }
}

/// A JSON string with the fewest escapes: `"`, `\`, and what is below U+0020 (short form where there is one).
pub fn string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain_from = 0;
    for (position, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0x00..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain_from..position]);
        plain_from = position + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 0xf)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

/// A number as ECMAScript prints it. What is not finite comes out as `NaN` or `Infinity`, which no reader takes for JSON.
pub fn number(out: &mut Vec<u8>, value: f64) {
    let mut buffer = ryu_js::Buffer::new();
    out.extend_from_slice(buffer.format(value).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_fewest_escapes() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\n\u{1}\u{7f}é\u{2028}");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"b\\\\c\\n\\u0001\u{7f}é\u{2028}\""
        );
    }

    #[test]
    fn numbers_are_printed_as_ecmascript_does() {
        // RFC 8785, appendix B.
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
        ] {
            let mut out = Vec::new();
            number(&mut out, f64::from_bits(bits));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
