//! A lens over the claims about a subject, with what it looks at beside them.

mod page;

use std::collections::{BTreeMap, HashSet};

use assertion::{Claim, Kind, Record};
use futures::TryStreamExt as _;
use lens::{Ballot, Match, Parameters, Resolver, Selection};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::claims::Sqlite;
use crate::context::{self, lines};
use crate::error::CallError;
use page::{Page, Place};

/// Uris that are remembered as looked up, 16 bytes each. Beyond, they are forgotten and looked up again: a lens takes what it
/// learned a second time.
const LOOKED_UP_MAX: usize = 100_000;

/// Rows of one look along a chain of epochs. Of longer ones each epoch is asked about: a look that finds too much was in vain.
const CHAIN_MAX: u32 = 1_000;

/// Looks at everything that bears on one question. `global`: the number of the global shard when it holds records at all; when it
/// does not, nothing is looked up in it.
///
/// # Errors
/// When the question covers more than one answer can weigh, or the database cannot be read.
pub(super) async fn fold(
    readers: &SqlitePool,
    parameters: Parameters,
    global: Option<u32>,
) -> Result<Ballot, CallError> {
    let selection = parameters.selection().clone();
    let fold = Fold {
        votes: parameters.considers(Kind::Vote),
        epochs: global.filter(|_| parameters.considers(Kind::Epoch)),
        sources: global.is_some() && parameters.considers(Kind::Source),
        selection: selection.clone(),
        resolver: Resolver::new(parameters),
        looked_up: HashSet::new(),
    };
    let mut connection = readers.acquire().await?;
    let first = || Place::first(&selection);
    if !fold.votes && !fold.sources {
        let page = Page::read(&mut connection, &selection, first()).await?;
        if page.is_whole() {
            return fold.run(&mut connection, page).await;
        }
    }
    // One moment for all statements: no effect is seen without its cause.
    let mut snapshot = connection.begin().await?;
    let page = Page::read(&mut snapshot, &selection, first()).await?;
    fold.run(&mut snapshot, page).await
}

struct Fold {
    votes: bool,
    /// Where epochs lie, when they are looked at; sources are then, too.
    epochs: Option<u32>,
    sources: bool,
    selection: Selection,
    resolver: Resolver,
    looked_up: HashSet<[u8; 16]>,
}

impl Fold {
    async fn run(
        mut self,
        connection: &mut SqliteConnection,
        mut page: Page,
    ) -> Result<Ballot, CallError> {
        loop {
            // While SQLite's thread reads the next page, this one is looked at.
            let (next, claims) = match page.next.take() {
                Some(place) => {
                    let selection = self.selection.clone();
                    let next = Page::read(connection, &selection, place);
                    let weighed = async { self.weigh_alone(&page) };
                    let (next, claims) = futures::join!(next, weighed);
                    (Some(next?), claims?)
                }
                None => (None, self.weigh_alone(&page)?),
            };
            self.weigh(connection, &claims).await?;
            for heads in page.long() {
                let records = page.read_long(connection, &heads).await?;
                let claims: Vec<Claim<'_>> = records.iter().filter_map(Record::claim).collect();
                self.weigh(connection, &claims).await?;
            }
            match next {
                Some(next) => page = next,
                None => break,
            }
        }
        let latest = self.latest();
        let mut ballot = self.resolver.ballot();
        if self.votes {
            count(connection, &mut ballot, latest).await?;
        }
        Ok(ballot)
    }

    fn latest(&self) -> i64 {
        self.selection.as_of.unwrap_or(i64::MAX)
    }

    /// Learns the records of a statement, each by its row. Says how many rows it had.
    async fn learn(
        &mut self,
        connection: &mut SqliteConnection,
        query: Sqlite<'static>,
        read: impl Fn(&SqliteRow) -> Result<Option<Record>, CallError>,
    ) -> Result<u32, CallError> {
        let mut rows = query.fetch(connection);
        let mut number = 0;
        while let Some(row) = rows.try_next().await? {
            number += 1;
            if let Some(record) = read(&row)? {
                self.resolver.learn(&record)?;
            }
            tokio::task::consume_budget().await;
        }
        Ok(number)
    }

    /// Pushes the short claims of a page when nothing has to be looked up for them; else they are returned.
    fn weigh_alone<'a>(&mut self, page: &'a Page) -> Result<Vec<Claim<'a>>, CallError> {
        let claims = page.short()?;
        if self.sources && (self.epochs.is_some() || !self.unknown(&claims).is_empty()) {
            return Ok(claims);
        }
        self.push(&claims)?;
        Ok(Vec::new())
    }

    /// Pushes claims, once what is known of their sources and epochs was learned.
    async fn weigh(
        &mut self,
        connection: &mut SqliteConnection,
        claims: &[Claim<'_>],
    ) -> Result<(), CallError> {
        if self.sources {
            self.look_up(connection, claims).await?;
        }
        if let Some(global) = self.epochs {
            self.look_up_epochs(connection, claims, global).await?;
        }
        self.push(claims)
    }

    fn push(&mut self, claims: &[Claim<'_>]) -> Result<(), CallError> {
        for claim in claims {
            self.resolver.push(claim)?;
        }
        Ok(())
    }

    /// Uris of claims that were not looked up yet. A claim that the question leaves out has a source that changes nothing.
    fn unknown<'a>(&self, claims: &'a [Claim<'_>]) -> BTreeMap<[u8; 16], &'a str> {
        let wanted = claims
            .iter()
            .filter(|claim| self.selection.matches(claim) == Match::Yes)
            .map(|claim| (short(&claim.uri), &*claim.uri));
        wanted
            .filter(|(key, _)| !self.looked_up.contains(key))
            .collect()
    }

    /// Learns what is known of the sources of these claims.
    async fn look_up(
        &mut self,
        connection: &mut SqliteConnection,
        claims: &[Claim<'_>],
    ) -> Result<(), CallError> {
        if self.looked_up.len() + claims.len() > LOOKED_UP_MAX {
            self.looked_up.clear();
        }
        let unknown = self.unknown(claims);
        if unknown.is_empty() {
            return Ok(());
        }
        self.looked_up.extend(unknown.keys());
        let uris: Vec<&str> = unknown.into_values().collect();
        let sources = context::sources(uris.iter().copied(), self.latest());
        let read = |row: &SqliteRow| lines::source(row, &uris);
        self.learn(connection, sources, read).await?;
        Ok(())
    }

    /// Learns the epochs that these claims name, and those that supersede them, and so on.
    async fn look_up_epochs(
        &mut self,
        connection: &mut SqliteConnection,
        claims: &[Claim<'_>],
        global: u32,
    ) -> Result<(), CallError> {
        for claim in claims {
            self.resolver.expect(claim)?;
        }
        let mut unasked = self.resolver.unasked_epochs();
        while !unasked.is_empty() {
            let mut further = Vec::new();
            for ids in unasked.chunks(proto::CONTEXT_LIST_MAX) {
                let own = context::of_global_shard(ids, global, i64::MAX);
                let of_id = |row: &SqliteRow| lines::of_id(row, ids);
                self.learn(connection, own, of_id).await?;
                let chain = context::chain(ids, self.latest(), CHAIN_MAX);
                let rows = self.learn(connection, chain, lines::in_chain).await?;
                let is_whole = rows < CHAIN_MAX;
                if !is_whole {
                    let spot = context::Spot::default();
                    let others = context::superseding(ids, &spot, self.latest(), i64::MAX);
                    let read = |row: &SqliteRow| lines::superseding(row, ids);
                    self.learn(connection, others, read).await?;
                }
                // Those of a whole chain were asked about with it.
                let learned = self.resolver.unasked_epochs();
                further.extend(learned.into_iter().filter(|_| !is_whole));
            }
            unasked = further;
        }
        Ok(())
    }
}

/// Counts the votes on the claims that are considered; others are not even read. Which claims have votes is looked up where it
/// is known sooner than each claim is asked for: a million claims may have a few votes, and a few claims be among a million that
/// have some.
async fn count(
    connection: &mut SqliteConnection,
    ballot: &mut Ballot,
    latest: i64,
) -> Result<(), CallError> {
    let mut place = 0;
    while let Some((subject, claims)) = ballot.claims(place, proto::CONTEXT_LIST_MAX) {
        let subject = subject.to_owned();
        let Some(first) = claims.first() else {
            return Ok(());
        };
        let voted = context::voted(connection, &subject, *first).await?;
        if voted.is_empty() {
            return Ok(());
        }
        let (hit, through) = ballot.among(&voted);
        let asked = match place + claims.len() <= through || voted.len() < proto::CONTEXT_LIST_MAX {
            true => {
                place = match voted.len() < proto::CONTEXT_LIST_MAX {
                    true => usize::MAX,
                    false => through,
                };
                hit
            }
            false => {
                place += claims.len();
                claims
            }
        };
        if asked.is_empty() {
            continue;
        }
        let spot = context::Spot::default();
        let votes = context::votes_on(&subject, &asked, &spot, latest, i64::MAX);
        let mut rows = votes.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if let Some(vote) = lines::vote_on(&row, &subject, &asked)? {
                ballot.learn(&vote)?;
            }
            tokio::task::consume_budget().await;
        }
    }
    Ok(())
}

/// Half a hash: nobody finds two uris with the same.
fn short(uri: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(uri.as_bytes()).as_bytes()[..16]);
    short
}

#[cfg(test)]
mod tests;
