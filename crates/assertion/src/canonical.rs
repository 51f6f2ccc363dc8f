//! The one form of a record: RFC 8785 (JCS) JSON. Field names are ASCII, so sorting them by UTF-16 code unit, as JCS asks, is
//! sorting them by byte; the order is written out below instead of computed.

use crate::model::{Assertion, Object, Source};

/// The canonical bytes of a claim.
pub(crate) fn assertion(claim: &Assertion) -> Vec<u8> {
    let mut out = Vec::with_capacity(320 + claim.note.as_ref().map_or(0, String::len));
    out.extend_from_slice(b"{\"asserted_at\":");
    out.extend_from_slice(claim.asserted_at.to_string().as_bytes());
    out.extend_from_slice(b",\"confidence\":");
    number(&mut out, claim.confidence);
    optional(&mut out, "epoch", claim.epoch.as_deref());
    out.extend_from_slice(b",\"kind\":\"assertion\",\"lifecycle\":\"");
    out.extend_from_slice(claim.lifecycle.name().as_bytes());
    out.push(b'"');
    optional(&mut out, "note", claim.note.as_deref());
    out.extend_from_slice(b",\"object\":");
    object(&mut out, &claim.object);
    optional(&mut out, "parent", claim.parent.as_deref());
    out.extend_from_slice(b",\"predicate\":");
    string(&mut out, &claim.predicate);
    out.extend_from_slice(b",\"source\":");
    source(&mut out, &claim.source);
    out.extend_from_slice(b",\"subject\":");
    string(&mut out, &claim.subject);
    out.extend_from_slice(b",\"v\":1}");
    out
}

/// `{"type":…,"value":…}`.
pub(crate) fn object(out: &mut Vec<u8>, value: &Object) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\",\"value\":");
    match value {
        Object::Text(text) | Object::Reference(text) => string(out, text),
        Object::Number(value) => number(out, *value),
        Object::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
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
