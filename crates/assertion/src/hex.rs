//! Bytes as lowercase hex digits, two for each.

/// Bytes as text.
pub fn write(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|half| char::from(DIGITS[usize::from(half)]))
        .collect()
}

/// The bytes of a text that [`write()`] writes; `None` for any other.
pub fn read(text: &str) -> Option<Vec<u8>> {
    let half = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| Some(half(*high)? << 4 | half(*low)?))
        .collect()
}

/// Whether the text is so many lowercase hex digits.
pub(crate) fn is(text: &str, count: usize) -> bool {
    text.len() == count
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_are_written_and_in_no_other_way() {
        let all: Vec<u8> = (0..=255).collect();
        let text = write(&all);
        assert!(text.starts_with("000102") && text.ends_with("fdfeff"));
        assert_eq!(read(&text), Some(all));
        assert_eq!(read(""), Some(Vec::new()));
        for other in ["0", "0g", "FF", "+1", "é"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert!(is("0f", 2) && !is("0f", 4) && !is("0F", 2));
    }
}
