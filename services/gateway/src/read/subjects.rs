//! Subjects, put together from all live nodes: no node alone holds something of all of them.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proto::v1;
use serde_json::{Value, json};

use super::merged::Merged;
use super::union::{Asked, Heard, Said};
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
        let asked = Asked::now();
        let mut calls: FuturesUnordered<_> = self
            .stores(&route)
            .into_iter()
            .map(|(store, limit)| async move {
                let reply = store.list_subjects(request.clone(), caller, limit).await;
                (Name::clone(store.node()), reply)
            })
            .collect();
        let mut heard = Heard::new();
        let mut merged = Merged::new();
        while let Some((node, reply)) = calls.next().await {
            let said = reply.map(|reply| {
                let last = reply.subjects.last().filter(|_| reply.more);
                let end = last.map(|last| last.subject.clone());
                let found = reply.subjects.into_iter();
                let rows = found.map(|found| (found.subject, found.records));
                merged.add(rows, end, greatest);
                Said::unproved(reply.counts_as_absent)
            });
            self.note(&mut heard, node, said)?;
        }
        self.somebody(&heard)?;
        let (subjects, cursor) = merged.page(request.limit as usize);
        let subjects: Vec<Value> = subjects
            .into_iter()
            .map(|(subject, records)| json!({ "subject": subject, "records": records }))
            .collect();
        let page = json!({ "subjects": subjects, "cursor": cursor }).to_string();
        Ok(self.worth(page.into(), &heard, asked, &route))
    }
}

/// Owners hold all of it, stand-ins a part: the greatest count is nearest to the truth.
pub(super) fn greatest(known: &mut u64, other: u64) {
    *known = other.max(*known);
}
