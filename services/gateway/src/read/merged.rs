//! Pages of several nodes as one.

use std::collections::BTreeMap;

/// Rows by their place in the order of the pages.
#[derive(Debug)]
pub(super) struct Merged<K, V> {
    rows: BTreeMap<K, V>,
    /// Beyond this place some node has more than it showed.
    end: Option<K>,
}

impl<K: Ord + Clone, V> Merged<K, V> {
    pub(super) fn new() -> Merged<K, V> {
        Merged {
            rows: BTreeMap::new(),
            end: None,
        }
    }

    /// Takes the page of one node, which showed all it has up to `end`, or all. `join` makes one row of two at one place.
    pub(super) fn add(
        &mut self,
        rows: impl IntoIterator<Item = (K, V)>,
        end: Option<K>,
        join: impl Fn(&mut V, V),
    ) {
        for (place, row) in rows {
            match self.rows.get_mut(&place) {
                Some(known) => join(known, row),
                None => {
                    self.rows.insert(place, row);
                }
            }
        }
        self.end = [self.end.take(), end].into_iter().flatten().min();
    }

    /// The rows of the page in order, and where the next one starts.
    pub(super) fn page(self, limit: usize) -> (Vec<(K, V)>, Option<K>) {
        let mut page: Vec<(K, V)> = Vec::new();
        for (place, row) in self.rows {
            if self.end.as_ref().is_some_and(|end| place > *end) {
                return (page, self.end);
            }
            if page.len() == limit {
                let last = page.last().map(|(last, _)| last.clone());
                return (page, last);
            }
            page.push((place, row));
        }
        (page, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Page<'a> = (&'a [(u32, u64)], Option<u32>);

    fn merged(pages: &[Page<'_>]) -> Merged<u32, u64> {
        let mut merged = Merged::new();
        for (rows, end) in pages {
            let greater = |known: &mut u64, other: u64| *known = other.max(*known);
            merged.add(rows.iter().copied(), *end, greater);
        }
        merged
    }

    #[test]
    fn what_one_node_has_not_shown_yet_waits_for_the_next_page() {
        // The first node stopped at its second row, the other one showed all it has.
        let pages = merged(&[
            (&[(1, 1), (3, 2)], Some(3)),
            (&[(2, 1), (3, 5), (4, 1)], None),
        ]);
        let (page, end) = pages.page(10);
        assert_eq!(
            page,
            [(1, 1), (2, 1), (3, 5)],
            "4 may have something before"
        );
        assert_eq!(end, Some(3));
    }

    #[test]
    fn a_page_is_cut_at_its_limit_and_goes_on_there() {
        let all = || merged(&[(&[(1, 1), (2, 1)], None), (&[(3, 1)], None)]);
        assert_eq!(all().page(2), (vec![(1, 1), (2, 1)], Some(2)));
        assert_eq!(all().page(3).1, None);
        assert_eq!(merged(&[]).page(2), (vec![], None));
    }

    #[test]
    fn a_node_that_showed_nothing_of_much_still_says_where_it_is() {
        let (page, end) = merged(&[(&[], Some(7)), (&[(9, 1)], None)]).page(5);
        assert_eq!((page, end), (vec![], Some(7)));
    }
}
