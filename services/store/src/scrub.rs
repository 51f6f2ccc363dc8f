//! Looks for damage in the background: a pass over all rows every `storage.scrub_interval_s`, at a bounded share of one core.
//!
//! A pass reads with a connection of its own, which has kept no pages, and decides nothing: what it suspects goes to the
//! [`crate::writer`], which looks again where nobody else writes. Records come first, each with the lines that it should have in
//! every index; then the lines of every index, each with the record that it leads to; then the roots of all shards against their
//! ids. An answer that meets a damaged row has it looked at at once, and a pass begins.

mod lines;
mod page;
mod pass;
mod suspected;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::v1;
use sidecar::Shutdown;
use sidecar::clock::unix_ms;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::completeness::Completeness;
use crate::damage::{Damage, Lost};
use crate::error::Refusal;
use crate::metrics;
use crate::trees::Trees;
use crate::writer::{Mended, Suspect, Writer};
use pass::{End, Pass};

/// Share of one core, in percent, of the pass that is due: half a day for a hundred million rows.
const SHARE_DUE: u32 = 5;

/// The same when somebody asked for it, or something was found: they wait for it.
const SHARE_ASKED: u32 = 50;

/// The first pass after a start comes no earlier: the node has to catch up first.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// After a pass that could not be ended, and between passes that are begun because of what answers meet: damage that stays must not
/// keep a node reading all the time.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Ids of waited-for records in an answer.
const LISTED_MAX: usize = 100;

/// Everything a pass works with.
#[derive(Debug)]
pub struct Scrub {
    options: SqliteConnectOptions,
    writer: Writer,
    trees: Arc<Trees>,
    completeness: Arc<Completeness>,
    damage: Arc<Damage>,
    interval: Option<Duration>,
    progress: Mutex<Progress>,
    asked: Notify,
}

/// How far it is, and what was found since the process started.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// None: no pass runs.
    phase: Option<&'static str>,
    asked: bool,
    begun_at_ms: i64,
    ended_at_ms: i64,
    rows: u64,
    passes: u64,
    mended: Mended,
    /// Why the last pass did not come to its end; empty: it did.
    error: String,
}

impl Progress {
    /// A pass begins, or is about to: nothing that is shown is of the one before, but what was found since the start.
    fn begin(&mut self) {
        self.phase = Some(pass::FIRST);
        self.begun_at_ms = unix_ms();
        self.rows = 0;
        self.error.clear();
    }
}

impl Scrub {
    /// Over these parts. `interval`: none, when passes are only made when asked for; `ended_at_ms`: when the last one ended.
    pub fn new(
        options: SqliteConnectOptions,
        writer: Writer,
        trees: Arc<Trees>,
        completeness: Arc<Completeness>,
        damage: Arc<Damage>,
        (interval, ended_at_ms): (Option<Duration>, i64),
    ) -> Scrub {
        Scrub {
            options,
            writer,
            trees,
            completeness,
            damage,
            interval,
            progress: Mutex::new(Progress {
                ended_at_ms,
                ..Progress::default()
            }),
            asked: Notify::new(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Numbers are replaced, never left half changed.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a pass now; one that runs goes on faster.
    pub fn start(&self) {
        let mut progress = self.progress();
        progress.asked = true;
        if progress.phase.is_none() {
            progress.begin();
        }
        drop(progress);
        self.asked.notify_one();
    }

    /// How it stands.
    pub fn status(&self) -> v1::ScrubReply {
        let progress = self.progress().clone();
        let (lost, quarantined) = self.damage.lost(LISTED_MAX);
        let Mended {
            quarantined: found,
            lines,
            roots,
        } = progress.mended;
        v1::ScrubReply {
            state: progress.phase.unwrap_or("idle").to_owned(),
            begun_at_ms: progress.begun_at_ms,
            ended_at_ms: progress.ended_at_ms,
            rows: progress.rows,
            rows_to_do: pass::rows_in(self.trees.records()).saturating_sub(progress.rows),
            passes: progress.passes,
            error: progress.error,
            found_rows: found,
            mended_lines: lines,
            mended_roots: roots,
            quarantined: quarantined as u64,
            waited_for: lost.iter().map(waited_for).collect(),
            alarms: alarms(&self.damage),
        }
    }

    /// Works until the shutdown.
    pub async fn run(self: Arc<Scrub>, shutdown: Shutdown) {
        let mut next = self.first_after().map(|after| Instant::now() + after);
        let mut again = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.asked.notified() => {}
                () = self.damage.noticed() => {
                    self.look_at_suspected().await;
                    next = Some(next.map_or(again, |next| next.min(again)));
                    self.progress().asked = true;
                    continue;
                }
                () = shutdown.cancelled() => return,
            }
            let whole = tokio::select! {
                whole = self.pass() => whole,
                () = shutdown.cancelled() => return,
            };
            again = Instant::now() + AGAIN_AFTER;
            next = match whole {
                true => self.interval.map(|interval| Instant::now() + interval),
                false => Some(again),
            };
        }
    }

    /// Until the first pass: what is left of the interval, even over a restart.
    fn first_after(&self) -> Option<Duration> {
        let interval = self.interval?;
        let since = unix_ms().saturating_sub(self.progress().ended_at_ms);
        let since = Duration::from_millis(u64::try_from(since).unwrap_or_default());
        Some(interval.saturating_sub(since).max(FIRST_AFTER))
    }

    /// Rows that answers found damaged, or gone, and what leads to them: until that is put right they are refused again.
    async fn look_at_suspected(&self) {
        let suspected = self.damage.suspected();
        if suspected.is_empty() {
            return;
        }
        let begun = Instant::now();
        if let Err(error) = self.look_at(&suspected).await {
            if let End::Sqlite(error) = &error {
                self.damage.sqlite(error);
            }
            tracing::warn!(%error, "rows that answers found damaged could not be looked at yet");
        }
        // Answers may meet them again and again while they cannot be put right.
        tokio::time::sleep(begun.elapsed().min(pass::REST_MAX)).await;
    }

    async fn look_at(&self, sequences: &[i64]) -> Result<(), End> {
        let rows = sequences.iter().copied().map(Suspect::Row).collect();
        self.mend(rows).await.map_err(End::Refused)?;
        let mut connection = self.options.connect().await?;
        let leading = suspected::leading(&mut connection, sequences).await;
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "the connection of a scrub did not close");
        }
        let leading = leading?;
        // First what says that something is lacking; then nobody is led there any more.
        self.mend(leading.places).await.map_err(End::Refused)?;
        if leading.ids_are_gone {
            for shard in (0..self.trees.shards()).filter_map(|shard| u32::try_from(shard).ok()) {
                let tree = vec![Suspect::Tree(shard)];
                self.mend(tree).await.map_err(End::Refused)?;
            }
        }
        self.mend(leading.lines).await.map_err(End::Refused)
    }

    async fn mend(&self, suspects: Vec<Suspect>) -> Result<(), Refusal> {
        if suspects.is_empty() {
            return Ok(());
        }
        let completeness = Arc::clone(&self.completeness);
        let mended = self.writer.mend(suspects, completeness).await?;
        let mut progress = self.progress();
        progress.mended.add(&mended);
        Ok(())
    }

    /// One pass. True: it came to its end.
    async fn pass(&self) -> bool {
        let before = {
            let mut progress = self.progress();
            progress.begin();
            progress.mended
        };
        let end = Pass::run(self).await;
        let now = unix_ms();
        let noted = match end {
            Ok(()) => pass::patiently(|| self.writer.scrubbed(now))
                .await
                .map_err(End::Refused),
            Err(end) => Err(end),
        };
        if let Err(End::Sqlite(error)) = &noted {
            self.damage.sqlite(error);
        }
        let mut progress = self.progress();
        progress.phase = None;
        progress.asked = false;
        progress.error = noted.as_ref().err().map(End::to_string).unwrap_or_default();
        if let Err(error) = &noted {
            tracing::error!(%error, "a scrub did not come to its end");
            return false;
        }
        progress.passes += 1;
        progress.ended_at_ms = now;
        metrics::scrubbed(now);
        let (rows, mended) = (progress.rows, progress.mended);
        drop(progress);
        if mended == before {
            tracing::info!(rows, "a scrub found nothing wrong");
        } else {
            tracing::warn!(
                rows,
                ?mended,
                "a scrub found damage, which was put right or aside"
            );
        }
        true
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn waited_for(lost: &Lost) -> v1::QuarantinedRow {
    v1::QuarantinedRow {
        id: Bytes::copy_from_slice(&lost.id),
        shard: lost.shard,
        noticed_at_ms: lost.noticed_at_ms,
        reason: lost.reason.clone(),
    }
}

/// What an operator should know, as it is sent.
pub(crate) fn alarms(damage: &Damage) -> Vec<v1::Alarm> {
    let alarms = damage.alarms().into_iter();
    alarms
        .map(|alarm| v1::Alarm {
            code: alarm.code.to_owned(),
            message: alarm.message,
            since_ms: alarm.since_ms,
        })
        .collect()
}
