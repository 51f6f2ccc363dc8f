//! A feed on its way: page by page, to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assertion::RecordId;
use bytes::{Bytes, BytesMut};
use metrics::{counter, gauge};
use proto::{convert, v1};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::form::Form;
use super::sources::{Page, Sources};
use super::token::StoreId;
use super::window::Shown;
use crate::app::App;
use crate::metrics::{FEED_RECORDS, FEEDS_RUNNING};
use crate::problem::Problem;

/// Between signs of life: proxies take a connection that is quiet for half a minute for dead.
const BEAT: Duration = Duration::from_secs(10);

/// How long a client may not read: one that stops for a minute goes on in the same stream. What it holds meanwhile is a page of
/// each store and a place among the readers.
const READ_WAIT: Duration = Duration::from_secs(180);

/// How long a feed that is to end waits for a store that went away before its end.
const PROGRESS_WAIT: Duration = Duration::from_secs(20);

/// The client does not read any more.
struct HungUp;

/// Where a feed ends.
pub(super) struct End {
    /// The last row of each store when it began.
    pub(super) heads: BTreeMap<StoreId, u64>,
    /// Known members that did not answer then, or may have lost what they had.
    pub(super) missing: BTreeSet<String>,
    /// Those are so few that no acknowledged record can be with them alone.
    pub(super) complete: bool,
}

/// A feed.
pub(super) struct Feed {
    app: Arc<App>,
    sources: Sources,
    form: Form,
    parts: mpsc::Sender<Bytes>,
    shown: Shown,
    /// The last token that the client was told.
    told: String,
    end: Option<End>,
    progress: Instant,
}

impl Feed {
    pub(super) fn new(
        app: Arc<App>,
        sources: Sources,
        form: Form,
        parts: mpsc::Sender<Bytes>,
        end: Option<End>,
    ) -> Feed {
        Feed {
            app,
            sources,
            form,
            parts,
            shown: Shown::default(),
            told: String::new(),
            end,
            progress: Instant::now(),
        }
    }

    pub(super) async fn run(mut self) {
        gauge!(FEEDS_RUNNING).increment(1.0);
        if self.show().await.is_err() {
            tracing::debug!("the reader of a feed hung up");
        }
        gauge!(FEEDS_RUNNING).decrement(1.0);
    }

    async fn show(&mut self) -> Result<(), HungUp> {
        let mut routes = self.app.nodes.routes();
        // The view may have changed while the stores were asked who they are.
        self.sources.follow_view();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let app = Arc::clone(&self.app);
        self.tell_place().await?;
        loop {
            if let Some(last) = self.is_over() {
                return self.send(last).await;
            }
            tokio::select! {
                page = self.sources.next() => {
                    self.take(&page).await?;
                    self.sources.go_on(&page);
                }
                Ok(()) = routes.changed() => self.sources.follow_view(),
                _ = beat.tick() => self.beat().await?,
                () = app.readiness.drained() => {
                    let last = self.form.problem(&draining());
                    return self.send(last).await;
                }
                () = self.parts.closed() => return Err(HungUp),
            }
        }
    }

    /// Shows what is new on a page.
    async fn take(&mut self, page: &Page) -> Result<(), HungUp> {
        let mut out = BytesMut::new();
        let before = self.sources.token.place(&page.store);
        if page.reply.gone_through > 0 {
            self.sources.token.miss(page.store, page.reply.gone_through);
        }
        for held in &page.reply.records {
            let new = self.is_new(page.store, held);
            self.sources.token.advance(page.store, held.sequence);
            if let Some(id) = new {
                self.told = self.sources.token.write();
                let record = (&id, &held.canonical[..], held.shard);
                self.form.record(&mut out, &self.told, record);
                counter!(FEED_RECORDS).increment(1);
            }
        }
        self.sources.token.advance(page.store, page.reply.through);
        let moved = self.sources.token.place(&page.store) > before;
        if !out.is_empty() {
            self.send(out.freeze()).await?;
        }
        if moved {
            // Once the client has it: the time that it took to read is not the stores'.
            self.progress = Instant::now();
            self.sources.token.shorten(&self.sources.live());
        }
        Ok(())
    }

    /// The id of a row's record, unless it was shown before or cannot be shown.
    fn is_new(&mut self, store: StoreId, held: &v1::HeldRecord) -> Option<RecordId> {
        let token = &self.sources.token;
        if token.covers(&store, held.sequence)
            || token.is_old(&store, held.sequence, held.received_at_ms)
        {
            return None;
        }
        // What repair copied from a row that was looked at was shown from there, unless the row had been given up by then.
        if held.arrival() == v1::Arrival::Repair
            && let Some(origin) = &held.origin
            && let Ok(from) = StoreId::try_from(&origin.store_id[..])
            && token.saw(&from, origin.sequence)
        {
            return None;
        }
        if held.canonical.is_empty() {
            // Its bytes were dropped by law; there is nothing to show.
            return None;
        }
        let id = convert::record_id(&held.id).ok()?;
        if RecordId::of(&held.canonical) != id {
            // A damaged copy: a good one comes from another store.
            tracing::error!(%id, "a store sent other bytes than the id's");
            return None;
        }
        self.shown.note(&id).then_some(id)
    }

    async fn beat(&mut self) -> Result<(), HungUp> {
        self.send(self.form.beat()).await?;
        self.tell_place().await
    }

    /// Says where the feed is, when that was not said with a record: filters may have passed over millions of rows.
    async fn tell_place(&mut self) -> Result<(), HungUp> {
        let token = self.sources.token.write();
        if token == self.told {
            return Ok(());
        }
        let place = self.form.place(&token);
        self.told = token;
        self.send(place).await
    }

    /// The last part, when this is the end.
    fn is_over(&self) -> Option<Bytes> {
        let end = self.end.as_ref()?;
        let token = &self.sources.token;
        let mut heads = end.heads.iter();
        if heads.all(|(store, head)| token.covers(store, *head)) {
            let last = self
                .form
                .caught_up(&token.write(), &end.missing, end.complete);
            return Some(last);
        }
        (self.progress.elapsed() > PROGRESS_WAIT).then(|| {
            let problem = Problem::unavailable(
                "incomplete",
                "a store went away before all it had at the start was sent",
                "go on from the last token, at another gateway or when the store is back",
            );
            self.form.problem(&problem)
        })
    }

    async fn send(&mut self, part: Bytes) -> Result<(), HungUp> {
        let sent = self.parts.send_timeout(part, READ_WAIT).await;
        sent.map_err(|_| HungUp)
    }
}

fn draining() -> Problem {
    Problem::unavailable(
        "draining",
        "this node is stopping",
        "go on from the last token at another gateway",
    )
}
