//! A byte stream as lines: bounded memory, whatever comes.

use bytes::{Bytes, BytesMut};

/// Longest line that is looked at, the longest JSON of a record. Longer ones are skipped to their end.
pub const LINE_MAX: usize = assertion::limits::JSON_MAX;

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the newline.
    Whole(Bytes),
    /// Its length so far: more than [`LINE_MAX`] bytes, which are gone.
    TooLong(u64),
}

/// Cuts parts of a stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The start of a line whose end has not come.
    open: BytesMut,
    /// Bytes of a line that is too long, thrown away.
    skipped: u64,
    part: Bytes,
}

impl Lines {
    /// Takes the next part. What [`Lines::next_line`] still gives of the one before must have been taken.
    pub fn push(&mut self, part: Bytes) {
        self.part = part;
    }

    /// The next line that has ended, blank ones too. `None`: more input is needed.
    pub fn next_line(&mut self) -> Option<Line> {
        let end = self.part.iter().position(|byte| *byte == b'\n');
        let piece = match end {
            Some(end) => {
                let piece = self.part.split_to(end);
                let _newline = self.part.split_to(1);
                piece
            }
            None => std::mem::take(&mut self.part),
        };
        if self.skipped > 0 || self.open.len() + piece.len() > LINE_MAX {
            self.skipped += (self.open.len() + piece.len()) as u64;
            self.open = BytesMut::new();
        } else if end.is_some() && self.open.is_empty() {
            return Some(Line::Whole(piece));
        } else {
            self.open.extend_from_slice(&piece);
        }
        end.and_then(|_| self.close())
    }

    /// The last line, when it has no newline behind it.
    pub fn finish(&mut self) -> Option<Line> {
        if self.open.is_empty() && self.skipped == 0 {
            return None;
        }
        self.close()
    }

    fn close(&mut self) -> Option<Line> {
        match std::mem::take(&mut self.skipped) {
            0 => Some(Line::Whole(std::mem::take(&mut self.open).freeze())),
            skipped => Some(Line::TooLong(skipped)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(parts: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for part in parts {
            lines.push(Bytes::copy_from_slice(part));
            while let Some(line) = lines.next_line() {
                found.push(line);
            }
        }
        found.extend(lines.finish());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_are_found_across_parts() {
        let found = lines_of(&[b"one\ntw", b"o\n\nthr", b"", b"ee"]);
        assert_eq!(
            found,
            [whole("one"), whole("two"), whole(""), whole("three")]
        );
        assert_eq!(lines_of(&[b""]), []);
        assert_eq!(lines_of(&[b"\n"]), [whole("")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_is_found() {
        let part = vec![b'x'; 64 * 1024];
        let mut parts: Vec<&[u8]> = vec![b"first\n"];
        parts.extend(std::iter::repeat_n(&part[..], 160));
        parts.push(b"tail\nlast\n");
        let length = 160 * 64 * 1024 + 4;
        let found = lines_of(&parts);
        assert_eq!(
            found,
            [whole("first"), Line::TooLong(length), whole("last")]
        );
        let mut lines = Lines::default();
        for part in &parts {
            lines.push(Bytes::copy_from_slice(part));
            while lines.next_line().is_some() {}
            assert!(lines.open.capacity() <= 4 * LINE_MAX, "memory is bounded");
        }
    }

    #[test]
    fn the_longest_line_is_whole_and_one_more_byte_is_too_long() {
        let line = vec![b'x'; LINE_MAX];
        assert!(matches!(&lines_of(&[&line])[..], [Line::Whole(found)] if found.len() == LINE_MAX));
        let longer = vec![b'x'; LINE_MAX + 1];
        assert_eq!(
            lines_of(&[&longer, b"\n"]),
            [Line::TooLong(LINE_MAX as u64 + 1)]
        );
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "[a-c\n]{0,80}", cuts in prop::collection::vec(0_usize..80, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            parts.push(&text.as_bytes()[from..]);
            let mut expected: Vec<Line> = text.split('\n').map(whole).collect();
            // What is behind the last newline is a line only when there is something.
            if text.is_empty() || text.ends_with('\n') {
                expected.pop();
            }
            prop_assert_eq!(lines_of(&parts), expected);
        }
    }
}
