//! One page of records: newest first, ties by id ascending.
//!
//! Rows come by time; ids are not in their order. So the rows of one moment are gathered, of which only as many are kept as
//! the page still takes, and put into the page when a later row shows that the moment is through.

use std::collections::BTreeMap;

use assertion::{Record, RecordId};
use bytes::Bytes;
use proto::cursor::Position;
use proto::v1;

/// After all ids of a moment.
const LAST: RecordId = RecordId::from_bytes([0xff; 32]);

/// Canonical bytes of a page; a message holds no more. A page of long records is shorter than asked for.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<v1::FoundRecord>,
    /// Where the next page starts, when there may be more.
    pub(super) next: Option<Position>,
    limit: usize,
    bytes: usize,
    from: Option<Position>,
    moment: Option<Moment>,
}

#[derive(Debug)]
struct Moment {
    at: i64,
    rows: BTreeMap<RecordId, Bytes>,
    bytes: usize,
    /// Rows were left out that belong on the next page.
    cut: bool,
}

impl Page {
    pub(super) fn new(limit: usize, from: Option<Position>) -> Page {
        Page {
            records: Vec::new(),
            next: None,
            limit,
            bytes: 0,
            from,
            moment: None,
        }
    }

    /// A row of this time comes next. True: the page is done without it. With `tired` it is done at the next moment.
    pub(super) fn turn(&mut self, at: i64, tired: bool) -> bool {
        if self.moment.as_ref().is_some_and(|moment| moment.at == at) {
            return false;
        }
        let before = self.moment.replace(Moment {
            at,
            rows: BTreeMap::new(),
            bytes: 0,
            cut: false,
        });
        let Some(before) = before else {
            return false;
        };
        let through = Position {
            at: before.at,
            id: LAST,
        };
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

    /// A row of the present moment that matches.
    pub(super) fn offer(&mut self, record: &Record) {
        let id = record.id();
        let Some(moment) = &mut self.moment else {
            return;
        };
        if self
            .from
            .is_some_and(|from| from.at == moment.at && id <= from.id)
        {
            return;
        }
        moment.bytes += record.canonical().len();
        moment
            .rows
            .insert(id, Bytes::copy_from_slice(record.canonical()));
        let rows_left = self.limit.saturating_sub(self.records.len());
        let bytes_left = PAGE_BYTES.saturating_sub(self.bytes);
        while let Some((_, last)) = moment.rows.last_key_value() {
            let beyond = moment.rows.len() > rows_left || moment.bytes - last.len() >= bytes_left;
            if !beyond || moment.rows.len() == 1 {
                return;
            }
            moment.bytes -= last.len();
            moment.rows.pop_last();
            moment.cut = true;
        }
    }

    /// No more rows.
    pub(super) fn end(&mut self) {
        if let Some(last) = self.moment.take() {
            self.take(last);
        }
    }

    fn take(&mut self, moment: Moment) {
        let mut last = None;
        for (id, canonical) in moment.rows {
            self.bytes += canonical.len();
            self.records.push(v1::FoundRecord {
                id: Bytes::copy_from_slice(id.as_bytes()),
                canonical,
            });
            last = Some(Position { at: moment.at, id });
        }
        if moment.cut {
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

    /// Pages through records as the store does: by time, in no order of ids.
    fn all_pages(records: &[Record], limit: usize) -> Vec<RecordId> {
        let mut from = None;
        let mut seen = Vec::new();
        loop {
            let mut page = Page::new(limit, from);
            let latest = from.map_or(i64::MAX, |from: Position| from.at);
            let rows = records
                .iter()
                .filter(|record| record.assertion().asserted_at <= latest);
            let done = rows.into_iter().any(|record| {
                page.turn(record.assertion().asserted_at, false) || {
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
        records.sort_by_key(|record| -record.assertion().asserted_at);
        let mut expected: Vec<(i64, RecordId)> = records
            .iter()
            .map(|record| (-record.assertion().asserted_at, record.id()))
            .collect();
        expected.sort_unstable();
        let expected: Vec<RecordId> = expected.into_iter().map(|(_, id)| id).collect();
        for limit in [1, 7, 20, 59, 60, 61] {
            assert_eq!(all_pages(&records, limit), expected, "limit {limit}");
        }
        assert!(all_pages(&[], 5).is_empty());
    }

    #[test]
    fn a_tired_page_ends_between_two_moments() {
        let mut page = Page::new(10, None);
        assert!(!page.turn(5, true));
        page.offer(&record(1, 5));
        assert!(page.turn(4, true));
        assert_eq!(page.records.len(), 1);
        assert_eq!(page.next, Some(Position { at: 5, id: LAST }));
    }
}
