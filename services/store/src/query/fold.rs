//! A lens over the claims about a subject, with what it looks at beside them.

use std::collections::HashSet;

use assertion::{Kind, Record};
use futures::TryStreamExt as _;
use lens::{Ballot, Match, Parameters, Resolver, Selection};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _, SqliteConnection, SqlitePool};

use super::claims::Sqlite;
use crate::context;
use crate::error::CallError;
use crate::held;

/// Claims whose sources are looked up together, and that are kept so long.
const PAGE_CLAIMS: i64 = 1_000;

/// The same in canonical bytes.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Uris that are remembered as looked up, 16 bytes each. Beyond, they are forgotten and looked up again: a lens takes what it
/// learned a second time.
const LOOKED_UP_MAX: usize = 100_000;

/// In the order of the index.
const OF_TOPIC: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical, t.predicate
    FROM topic t CROSS JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 0 AND t.subject = ?1 AND t.predicate = ?2 AND (t.at_ms, t.sequence) > (?3, ?4) AND t.at_ms <= ?5
    ORDER BY t.at_ms, t.sequence LIMIT ?6";

const OF_SUBJECT: &str = "
    SELECT t.at_ms, r.sequence, r.id_head, r.canonical, t.predicate
    FROM topic t CROSS JOIN record r ON r.sequence = t.sequence
    WHERE t.kind = 0 AND t.subject = ?1 AND (t.predicate, t.at_ms, t.sequence) > (?2, ?3, ?4) AND t.at_ms <= ?5
    ORDER BY t.predicate, t.at_ms, t.sequence LIMIT ?6";

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
    let fold = Fold {
        votes: parameters.considers(Kind::Vote),
        epochs: global.filter(|_| parameters.considers(Kind::Epoch)),
        sources: global.is_some() && parameters.considers(Kind::Source),
        selection: parameters.selection().clone(),
        resolver: Resolver::new(parameters),
        looked_up: HashSet::new(),
    };
    let mut connection = readers.acquire().await?;
    if !fold.votes && !fold.sources {
        return fold.run(&mut connection).await;
    }
    // One moment for all statements: no effect is seen without its cause.
    let mut snapshot = connection.begin().await?;
    fold.run(&mut snapshot).await
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

/// Where a page ended.
struct Last {
    predicate: String,
    at_ms: i64,
    sequence: i64,
}

impl Last {
    /// Before all claims.
    fn none(selection: &Selection) -> Last {
        Last {
            predicate: selection.predicate.clone().unwrap_or_default(),
            at_ms: i64::MIN,
            sequence: 0,
        }
    }

    fn of(row: &SqliteRow) -> Result<Last, sqlx::Error> {
        Ok(Last {
            predicate: row.try_get(4)?,
            at_ms: row.try_get(0)?,
            sequence: row.try_get(1)?,
        })
    }
}

impl Fold {
    async fn run(mut self, connection: &mut SqliteConnection) -> Result<Ballot, CallError> {
        let latest = self.latest();
        let mut last = Some(Last::none(&self.selection));
        while let Some(after) = last.take() {
            last = self.page(connection, &after).await?;
        }
        let mut ballot = self.resolver.ballot();
        if self.votes {
            count(connection, &mut ballot, latest).await?;
        }
        Ok(ballot)
    }

    fn latest(&self) -> i64 {
        self.selection.as_of.unwrap_or(i64::MAX)
    }

    /// Learns the records of a statement.
    async fn learn(
        &mut self,
        connection: &mut SqliteConnection,
        query: Sqlite<'static>,
    ) -> Result<(), CallError> {
        let mut rows = query.fetch(connection);
        while let Some(row) = rows.try_next().await? {
            if let Some(record) = held::record(&row)? {
                self.resolver.learn(&record)?;
            }
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Pushes claims: all as they come when no sources are wanted, else a page, once what is known of their sources was learned.
    /// Says where to go on.
    async fn page(
        &mut self,
        connection: &mut SqliteConnection,
        after: &Last,
    ) -> Result<Option<Last>, CallError> {
        let (mut claims, mut bytes, mut read) = (Vec::new(), 0, 0);
        let mut last = None;
        let mut rows = self.claims(after).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let record = held::record(&row)?;
            tokio::task::consume_budget().await;
            if !self.sources {
                record.map_or(Ok(()), |claim| self.resolver.push(&claim))?;
                continue;
            }
            read += 1;
            bytes += record.as_ref().map_or(0, |claim| claim.canonical().len());
            claims.extend(record);
            if read == PAGE_CLAIMS || bytes >= PAGE_BYTES {
                last = Some(Last::of(&row)?);
                break;
            }
        }
        drop(rows);
        if self.sources {
            self.look_up(connection, &claims).await?;
        }
        if let Some(global) = self.epochs {
            self.look_up_epochs(connection, &claims, global).await?;
        }
        for claim in &claims {
            self.resolver.push(claim)?;
        }
        Ok(last)
    }

    fn claims(&self, after: &Last) -> Sqlite<'static> {
        let statement = match &self.selection.predicate {
            Some(_) => OF_TOPIC,
            None => OF_SUBJECT,
        };
        let limit = if self.sources { PAGE_CLAIMS } else { i64::MAX };
        sqlx::query(statement)
            .bind(self.selection.subject.clone())
            .bind(after.predicate.clone())
            .bind(after.at_ms)
            .bind(after.sequence)
            .bind(self.latest())
            .bind(limit)
    }

    /// Learns what is known of the sources of these claims. A claim that the question leaves out has a source that changes
    /// nothing.
    async fn look_up(
        &mut self,
        connection: &mut SqliteConnection,
        claims: &[Record],
    ) -> Result<(), CallError> {
        if self.looked_up.len() + claims.len() > LOOKED_UP_MAX {
            self.looked_up.clear();
        }
        let mut uris: Vec<&str> = Vec::new();
        for claim in claims.iter().filter_map(Record::assertion) {
            if self.selection.matches(claim) == Match::Yes
                && self.looked_up.insert(short(&claim.source.uri))
            {
                uris.push(&claim.source.uri);
            }
        }
        match uris[..] {
            [] => Ok(()),
            _ => {
                let sources = context::sources(uris, self.latest());
                self.learn(connection, sources).await
            }
        }
    }

    /// Learns the epochs that these claims name, and those that supersede them, and so on.
    async fn look_up_epochs(
        &mut self,
        connection: &mut SqliteConnection,
        claims: &[Record],
        global: u32,
    ) -> Result<(), CallError> {
        for claim in claims {
            self.resolver.expect(claim)?;
        }
        loop {
            let unasked = self.resolver.unasked_epochs();
            if unasked.is_empty() {
                return Ok(());
            }
            for ids in unasked.chunks(context::LIST_MAX) {
                let own = context::of_global_shard(ids, global, i64::MAX);
                self.learn(connection, own).await?;
                let spot = context::Spot::default();
                let others = context::superseding(ids, &spot, self.latest(), i64::MAX);
                self.learn(connection, others).await?;
            }
        }
    }
}

/// Counts the votes on the claims that are considered; others are not even read.
async fn count(
    connection: &mut SqliteConnection,
    ballot: &mut Ballot,
    latest: i64,
) -> Result<(), CallError> {
    let (mut place, mut any) = (0, false);
    while let Some((subject, claims)) = ballot.claims(place, context::LIST_MAX) {
        if place == 0 {
            let vote = context::any_vote(subject).fetch_optional(&mut *connection);
            any = vote.await?.is_some();
        }
        if !any {
            return Ok(());
        }
        place += claims.len();
        let spot = context::Spot::default();
        let votes = context::votes_on(subject, &claims, &spot, latest, i64::MAX);
        let mut rows = votes.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if let Some(vote) = held::record(&row)? {
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
