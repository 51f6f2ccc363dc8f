//! One page of records: newest first, ties by id ascending.
//!
//! Rows come by time, or by time and the first four bytes of the id; whole ids are not in their order. So the rows of one
//! stretch, that is of one moment or of one such beginning within it, are gathered, of which only as many are kept as the page
//! still takes, and put into the page when a later row shows that the stretch is through.

use std::collections::BTreeMap;

use assertion::{Record, RecordId};
use bytes::Bytes;
use proto::cursor::Position;
use proto::v1;

/// Canonical bytes of a page; a message holds no more. A page of long records is shorter than asked for.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<v1::FoundRecord>,
    /// Where the next page starts, when there may be more.
    pub(crate) next: Option<Position>,
    limit: usize,
    bytes: usize,
    from: Option<Position>,
    stretch: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    /// After all its ids.
    through: Position,
    rows: BTreeMap<RecordId, Bytes>,
    bytes: usize,
    /// Rows were left out that belong on the next page.
    cut: bool,
}

impl Page {
    pub(crate) fn new(limit: usize, from: Option<Position>) -> Page {
        Page {
            records: Vec::new(),
            next: None,
            limit,
            bytes: 0,
            from,
            stretch: None,
        }
    }

    /// A row of the stretch that ends here comes next. True: the page is done without it. With `tired` it is done at the next
    /// stretch.
    pub(crate) fn turn(&mut self, through: Position, tired: bool) -> bool {
        if self
            .stretch
            .as_ref()
            .is_some_and(|stretch| stretch.through == through)
        {
            return false;
        }
        let before = self.stretch.replace(Stretch {
            through,
            rows: BTreeMap::new(),
            bytes: 0,
            cut: false,
        });
        let Some(before) = before else {
            return false;
        };
        let through = before.through;
        self.take(before);
        if self.next.is_some() {
            return true;
        }
        let full = self.records.len() >= self.limit || self.bytes >= PAGE_BYTES;
        if full || tired {
            self.next = Some(through);
        }
        self.next.is_some()
    }

    /// A row of the present stretch that matches.
    pub(crate) fn offer(&mut self, record: &Record) {
        let id = record.id();
        let Some(stretch) = &mut self.stretch else {
            return;
        };
        let at = stretch.through.at;
        if self.from.is_some_and(|from| Position { at, id } <= from) {
            return;
        }
        stretch.bytes += record.canonical().len();
        stretch
            .rows
            .insert(id, Bytes::copy_from_slice(record.canonical()));
        let rows_left = self.limit.saturating_sub(self.records.len());
        let bytes_left = PAGE_BYTES.saturating_sub(self.bytes);
        while let Some((_, last)) = stretch.rows.last_key_value() {
            let beyond = stretch.rows.len() > rows_left || stretch.bytes - last.len() >= bytes_left;
            if !beyond || stretch.rows.len() == 1 {
                return;
            }
            stretch.bytes -= last.len();
            stretch.rows.pop_last();
            stretch.cut = true;
        }
    }

    /// No more rows.
    pub(crate) fn end(&mut self) {
        if let Some(last) = self.stretch.take() {
            self.take(last);
        }
    }

    fn take(&mut self, stretch: Stretch) {
        let mut last = None;
        for (id, canonical) in stretch.rows {
            self.bytes += canonical.len();
            self.records.push(v1::FoundRecord {
                id: Bytes::copy_from_slice(id.as_bytes()),
                canonical,
            });
            last = Some(Position {
                at: stretch.through.at,
                id,
            });
        }
        if stretch.cut {
            self.next = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32, at: i64) -> Record {
        let json = format!(
            r#"{{"subject":"s","predicate":"p","object":{{"type":"number","value":{number}}},"asserted_at":{at},
            "source":{{"uri":"u","class":"expert"}}}}"#
        );
        Record::from_client_json(json.as_bytes(), 1_000).unwrap()
    }

    /// After all ids of a moment.
    const LAST: RecordId = RecordId::from_bytes([0xff; 32]);

    fn through(record: &Record) -> Position {
        Position {
            at: record.at_ms(),
            id: LAST,
        }
    }

    /// Pages through records as the store does: by time, in no order of ids.
    fn all_pages(records: &[Record], limit: usize) -> Vec<RecordId> {
        let mut from = None;
        let mut seen = Vec::new();
        loop {
            let mut page = Page::new(limit, from);
            let latest = from.map_or(i64::MAX, |from: Position| from.at);
            let rows = records.iter().filter(|record| record.at_ms() <= latest);
            let done = rows.into_iter().any(|record| {
                page.turn(through(record), false) || {
                    page.offer(record);
                    false
                }
            });
            if !done {
                page.end();
            }
            assert!(page.records.len() <= limit);
            seen.extend(
                page.records
                    .iter()
                    .map(|found| RecordId::try_from(&found.id[..]).unwrap()),
            );
            from = page.next;
            if from.is_none() {
                return seen;
            }
        }
    }

    #[test]
    fn every_record_is_on_exactly_one_page_newest_first() {
        let mut records: Vec<Record> = (0..60)
            .map(|number| record(number, i64::from(number / 20)))
            .collect();
        records.sort_by_key(|record| -record.at_ms());
        let mut expected: Vec<(i64, RecordId)> = records
            .iter()
            .map(|record| (-record.at_ms(), record.id()))
            .collect();
        expected.sort_unstable();
        let expected: Vec<RecordId> = expected.into_iter().map(|(_, id)| id).collect();
        for limit in [1, 7, 20, 59, 60, 61] {
            assert_eq!(all_pages(&records, limit), expected, "limit {limit}");
        }
        assert!(all_pages(&[], 5).is_empty());
    }

    #[test]
    fn a_tired_page_ends_between_two_stretches() {
        let mut page = Page::new(10, None);
        let at = |at| Position { at, id: LAST };
        assert!(!page.turn(at(5), true));
        page.offer(&record(1, 5));
        assert!(!page.turn(at(5), true));
        assert!(page.turn(at(4), true));
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.next, Some(at(5)));
    }
}
