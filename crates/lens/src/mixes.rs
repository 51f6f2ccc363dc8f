//! What an answer mixes, when its question does not name one subject and one predicate: how many different ones.

use std::collections::BTreeSet;

use assertion::Claim;

use crate::selection::Selection;

/// Predicates and subjects that are told apart, each; people want to know whether there is one, a few or very many. Names are
/// at most 512 bytes, so that this is less than a megabyte.
pub const MAX_MIXED: usize = 1_000;

/// The predicates and subjects of the claims considered, as many as are told apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mixes {
    predicates: BTreeSet<String>,
    subjects: BTreeSet<String>,
}

impl Mixes {
    /// `None`: the question names one of each.
    pub(crate) fn of(selection: &Selection) -> Option<Mixes> {
        let names_both = selection.subject.is_some() && selection.predicate.is_some();
        (!names_both).then(Mixes::default)
    }

    /// Takes a claim that is considered.
    pub(crate) fn note(&mut self, claim: &Claim<'_>) {
        note(&mut self.predicates, &claim.predicate);
        note(&mut self.subjects, &claim.subject);
    }

    /// Different predicates, up to [`MAX_MIXED`].
    pub(crate) fn predicates(&self) -> usize {
        self.predicates.len()
    }

    /// Different subjects, up to [`MAX_MIXED`].
    pub(crate) fn subjects(&self) -> usize {
        self.subjects.len()
    }
}

/// Which names are kept beyond the bound depends on the order; how many does not.
fn note(names: &mut BTreeSet<String>, name: &str) {
    if names.len() < MAX_MIXED && !names.contains(name) {
        names.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_up_to_the_bound() {
        let mut names = BTreeSet::new();
        for number in 0..MAX_MIXED + 5 {
            note(&mut names, &number.to_string());
            note(&mut names, "0");
        }
        assert_eq!(names.len(), MAX_MIXED);
    }
}
