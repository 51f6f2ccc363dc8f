//! Votes on the claims of a subject: of each voter on a claim the one that counts, which is the latest.

use std::collections::BTreeMap;

use assertion::Record;
use futures::TryStreamExt as _;
use proto::listing::{self, VotePlace};
use proto::v1;
use sqlx::{Row as _, SqlitePool};

use super::{Found, Page};
use crate::error::CallError;
use crate::held::{self, canonical_of};
use crate::prefix;

/// Votes on one claim that a page looks through: who voted last is known at the end of them.
const VOTES_MAX: usize = 100_000;

/// In the order of the index.
const VOTES: &str = concat!(
    "SELECT t.at_ms, t.sequence, r.id_head, ",
    canonical_of!("t.sequence"),
    ", t.predicate
    FROM topic t LEFT JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 1 AND t.subject = ?1 AND t.predicate >= ?2 AND t.predicate < ?3
    ORDER BY t.predicate, t.at_ms, t.sequence",
);

pub(super) async fn list(
    readers: &SqlitePool,
    request: &v1::ListRequest,
) -> Result<Found, CallError> {
    let (first, behind) = match listing::vote_place(&request.after)? {
        VotePlace::First => (request.assertion.clone(), None),
        VotePlace::Voter(claim, voter) => (claim.to_owned(), Some((claim, voter))),
        VotePlace::Claim(claim) => (prefix::next(claim), None),
    };
    let only = Some(&request.assertion).filter(|claim| !claim.is_empty());
    let query = sqlx::query(VOTES).bind(request.subject.clone()).bind(first);
    let below = only.map(|claim| prefix::next(claim));
    let mut rows = prefix::bind(query, below.as_deref()).fetch(readers);
    let mut page = Page::new(request);
    let mut present: Option<Claim> = None;
    while let Some(row) = rows.try_next().await? {
        let about: &str = row.try_get(4)?;
        if let Some(before) = present.take_if(|claim| claim.id != about)
            && let Some(through) = before.put(&mut page)
        {
            return Ok(page.end_at(through));
        }
        let claim = present.get_or_insert_with(|| Claim {
            id: about.to_owned(),
            behind: behind
                .filter(|(claim, _)| *claim == about)
                .map(|(_, voter)| voter.to_owned()),
            latest: BTreeMap::new(),
            votes: 0,
        });
        let fits = |record: &Record| {
            let vote = record.vote();
            vote.is_some_and(|vote| vote.subject == request.subject && vote.assertion == claim.id)
        };
        if let Some(record) = held::record_of_line(&row, fits)? {
            // One more than there is room for, to know whether there is one.
            claim.offer(record, page.room() + 1)?;
        }
        page.looked_at += 1;
        tokio::task::consume_budget().await;
    }
    let more = present.and_then(|last| last.put_last(&mut page));
    Ok(match more {
        Some(through) => page.end_at(through),
        None => page.found,
    })
}

/// A claim, and of each of its first voters the latest vote so far.
struct Claim {
    id: String,
    /// Voters up to this one were on an earlier page.
    behind: Option<String>,
    latest: BTreeMap<String, Record>,
    votes: usize,
}

impl Claim {
    /// Keeps so many voters: one that falls out has as many before it, and never comes back.
    fn offer(&mut self, record: Record, kept: usize) -> Result<(), CallError> {
        self.votes += 1;
        if self.votes > VOTES_MAX {
            return Err(CallError::TooLarge(
                "the claim has more than 100,000 votes; ask lens=votes for their weight, or follow GET /v1/feed?kind=vote",
            ));
        }
        let Some(vote) = record.vote() else {
            return Ok(());
        };
        if self
            .behind
            .as_ref()
            .is_some_and(|behind| vote.voter <= *behind)
        {
            return Ok(());
        }
        let time = |record: &Record| (record.at_ms(), record.id());
        match self.latest.get_mut(&vote.voter) {
            Some(known) if time(known) < time(&record) => *known = record,
            Some(_) => {}
            None => {
                let voter = vote.voter.clone();
                self.latest.insert(voter, record);
            }
        }
        if self.latest.len() > kept {
            self.latest.pop_last();
        }
        Ok(())
    }

    /// Puts the votes on the page. Where the next one starts, when this one is full: there are votes on another claim.
    fn put(self, page: &mut Page) -> Option<bytes::Bytes> {
        let done = listing::after_votes_on(&self.id);
        let rest = self.put_last(page);
        rest.or_else(|| page.is_full().then_some(done))
    }

    /// The same, when there are no others.
    fn put_last(self, page: &mut Page) -> Option<bytes::Bytes> {
        let mut last = None;
        for (voter, record) in self.latest {
            if page.room() == 0 || page.bytes >= super::PAGE_BYTES {
                return last;
            }
            let key = listing::vote_key(&self.id, &voter);
            page.add(v1::ListedRow {
                key: key.clone(),
                record: Some(held::found(&record)),
                ..v1::ListedRow::default()
            });
            last = Some(key);
        }
        None
    }
}
