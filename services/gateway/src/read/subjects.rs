//! Subjects, put together from all live nodes: no node alone holds something of all of them.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proto::v1;
use serde_json::{Value, json};
use sidecar::clock;

use super::union::{Heard, Said};
use super::{Answer, Reader};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Name;

impl Reader {
    /// A page of subjects that start with a prefix, after one of them.
    ///
    /// # Errors
    /// 503 while no store can be asked.
    pub async fn subjects(
        &self,
        request: &v1::ListSubjectsRequest,
        caller: &Caller,
    ) -> Result<Answer, Problem> {
        let route = self.readiness.formed()?;
        let _turn = self.turn().await?;
        let asked_at = clock::unix_ms();
        let mut calls: FuturesUnordered<_> = self
            .stores(&route)
            .into_iter()
            .map(|(store, limit)| async move {
                let reply = store.list_subjects(request.clone(), caller, limit).await;
                (Name::clone(store.node()), reply)
            })
            .collect();
        let mut heard = Heard::new();
        let mut merged = Merged::default();
        while let Some((node, reply)) = calls.next().await {
            let said = reply.map(|reply| {
                merged.add(reply.subjects, reply.more);
                Said::unproved(reply.counts_as_absent)
            });
            self.note(&mut heard, node, said)?;
        }
        self.somebody(&heard)?;
        let page = merged.page(request.limit as usize).to_string();
        Ok(self.worth(page.into(), &heard, asked_at, &route))
    }
}

/// Pages of several nodes as one.
#[derive(Debug, Default)]
struct Merged {
    subjects: BTreeMap<String, u64>,
    /// Beyond this subject some node has more than it showed.
    end: Option<String>,
}

impl Merged {
    fn add(&mut self, subjects: Vec<v1::FoundSubject>, more: bool) {
        if let Some(last) = subjects.last().filter(|_| more)
            && self.end.as_ref().is_none_or(|end| last.subject < *end)
        {
            self.end = Some(last.subject.clone());
        }
        for found in subjects {
            // Owners hold all of it, stand-ins a part: the greatest count is nearest to the truth.
            let count = self.subjects.entry(found.subject).or_default();
            *count = found.records.max(*count);
        }
    }

    fn page(self, limit: usize) -> Value {
        let end = self.end;
        let total = self.subjects.len();
        let shown: Vec<(String, u64)> = self
            .subjects
            .into_iter()
            .take_while(|(subject, _)| end.as_ref().is_none_or(|end| subject <= end))
            .take(limit)
            .collect();
        let more = end.is_some() || shown.len() < total;
        let cursor = shown.last().filter(|_| more).map(|(last, _)| last.clone());
        let subjects: Vec<Value> = shown
            .into_iter()
            .map(|(subject, records)| json!({ "subject": subject, "records": records }))
            .collect();
        json!({ "subjects": subjects, "cursor": cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(subjects: &[(&str, u64)]) -> Vec<v1::FoundSubject> {
        let found = |(subject, records): &(&str, u64)| v1::FoundSubject {
            subject: (*subject).to_owned(),
            records: *records,
        };
        subjects.iter().map(found).collect()
    }

    fn shown(page: &Value) -> Vec<&str> {
        let subjects = page["subjects"].as_array().unwrap();
        subjects
            .iter()
            .map(|subject| subject["subject"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn what_one_node_has_not_shown_yet_waits_for_the_next_page() {
        let mut merged = Merged::default();
        merged.add(found(&[("a", 1), ("c", 2)]), true);
        merged.add(found(&[("b", 1), ("c", 5), ("d", 1)]), false);
        let page = merged.page(10);
        assert_eq!(shown(&page), ["a", "b", "c"], "d may have something before");
        assert_eq!(page["subjects"][2]["records"], 5);
        assert_eq!(page["cursor"], "c");
    }

    #[test]
    fn a_page_is_cut_at_its_limit_and_the_last_one_says_so() {
        let all = || {
            let mut merged = Merged::default();
            merged.add(found(&[("a", 1), ("b", 1)]), false);
            merged
        };
        let page = all().page(1);
        assert_eq!((shown(&page), &page["cursor"]), (vec!["a"], &json!("a")));
        let page = all().page(2);
        assert_eq!(
            (shown(&page), &page["cursor"]),
            (vec!["a", "b"], &json!(null))
        );
        assert_eq!(Merged::default().page(2)["cursor"], json!(null));
    }
}
