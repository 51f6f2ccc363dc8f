//! The one writer: takes writes from everywhere, commits them in groups, answers after the commit.
//!
//! One fsync serves everybody who came while the last one ran. A group is one transaction: its new records, and the roots of
//! the shards they lie in. The trees are the presence check: the writer works on clones and shows them only once the commit
//! is through. When a write fails and it is not known what reached the disk, everybody in the group is told so and the task
//! ends with an error, which ends the process: the next one starts from what is really there.

mod group;
mod mend;
mod release;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, Sqlite, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::completeness::{Completeness, Order};
use crate::damage::Damage;
use crate::database::{self, BUSY_TIMEOUT};
use crate::error::{BUSY, Error, FULL, Refusal, is_malformed, sqlite_code};
use crate::intake::Incoming;
use crate::metrics;
use crate::space::Space;
use crate::trees::Trees;
use group::Group;
use mend::Mend;
use merkle::Id;
use release::Release;
use shard::proof::Lasting;

pub use mend::Mended;
pub(crate) use mend::{Line, Suspect};
pub use release::{Outcome, Released};
pub(crate) use rows::{Statements, id_head, superseded};

/// Jobs that wait. What bounds memory is [`WAITING_KIB_MAX`]; this many single records are one full group.
const JOBS_MAX: usize = 4_096;

/// Canonical KiB that wait or are written: twenty full requests. A group takes a fraction of a second, so who is refused
/// here would have waited for longer than a gateway does.
const WAITING_KIB_MAX: usize = 64 * 1024;

/// Records of one group. More amortises the fsync no further and makes everybody in it wait.
const GROUP_RECORDS: usize = 4_000;

/// Canonical bytes of one group, for the same reason.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Calls in the group before that show that others are about to come: their senders have just been answered.
const SIBLINGS: usize = 2;

/// How long a small group waits for them. A commit takes about as long whatever is in it.
const LINGER: Duration = Duration::from_millis(1);

/// Records that are worth a commit without waiting.
const WORTH_A_COMMIT: usize = 64;

/// What a write became of: true for records that were not held before.
type Written = Result<Vec<bool>, Refusal>;

#[derive(Debug)]
enum Job {
    Append(Append),
    Adopt(String, oneshot::Sender<Result<(), Refusal>>),
    Note(Lasting, u64, oneshot::Sender<Result<bool, Refusal>>),
    Release(Box<Release>),
    Mend(Mend),
    Scrubbed(i64, oneshot::Sender<Result<(), Refusal>>),
    Checkpoint,
    EndLog,
}

#[derive(Debug)]
struct Append {
    records: Vec<Incoming>,
    bytes: usize,
    reply: oneshot::Sender<Written>,
    _room: Room,
}

/// Why a group was not written.
#[derive(Debug)]
enum Failure {
    /// It was not tried.
    Refused(Refusal),
    /// It was.
    Sqlite(sqlx::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

/// A place among the bytes that wait.
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

/// A way to the writer. Cheap to clone; the writer ends when all are gone.
#[derive(Debug, Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

impl Writer {
    /// Takes a place for a request before it is parsed.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when too much waits.
    pub fn room(&self, bytes: usize) -> Result<Room, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(kib)
            .map_err(|_| Refusal::Overloaded)?;
        Ok(Room { _permit: permit })
    }

    /// Makes records durable; returns after the commit.
    ///
    /// # Errors
    /// As the refusal says; nothing is stored unless it is [`Refusal::MaybeStored`].
    pub async fn append(&self, records: Vec<Incoming>, bytes: usize, room: Room) -> Written {
        let (reply, outcome) = oneshot::channel();
        let job = Append {
            records,
            bytes,
            reply,
            _room: room,
        };
        self.ask(Job::Append(job), outcome).await
    }

    /// Binds the store to a cluster; durable when this returns.
    ///
    /// # Errors
    /// As the refusal says.
    pub async fn adopt(&self, cluster_id: String) -> Result<(), Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.ask(Job::Adopt(cluster_id, reply), outcome).await
    }

    /// Notes what the store says of itself from now on; durable when this returns. `losses`: how often ids had gone when that was
    /// found. False: some have gone since, and nothing is noted.
    ///
    /// # Errors
    /// As the refusal says.
    pub async fn note(&self, lasting: Lasting, losses: u64) -> Result<bool, Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.ask(Job::Note(lasting, losses, reply), outcome).await
    }

    /// Gives up rows; durable when this returns. The inner result says why everything stayed.
    ///
    /// # Errors
    /// As the refusal says.
    pub async fn release(
        &self,
        order: Order,
        ids: Vec<Id>,
        completeness: Arc<Completeness>,
    ) -> Result<Outcome, Refusal> {
        let (reply, outcome) = oneshot::channel();
        let release = Release {
            order,
            ids,
            completeness,
            reply,
        };
        self.ask(Job::Release(Box::new(release)), outcome).await
    }

    /// Looks at suspects again and puts right what is wrong; durable when this returns.
    ///
    /// # Errors
    /// As the refusal says.
    pub(crate) async fn mend(
        &self,
        suspects: Vec<Suspect>,
        completeness: Arc<Completeness>,
    ) -> Result<Mended, Refusal> {
        let (reply, outcome) = oneshot::channel();
        let mend = Mend {
            suspects,
            completeness,
            reply,
        };
        self.ask(Job::Mend(mend), outcome).await
    }

    /// Notes when a whole scrub ended, Unix milliseconds.
    ///
    /// # Errors
    /// As the refusal says.
    pub(crate) async fn scrubbed(&self, at_ms: i64) -> Result<(), Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.ask(Job::Scrubbed(at_ms, reply), outcome).await
    }

    /// Copies the rest of the log into the file between two groups.
    pub async fn checkpoint(&self) {
        // A writer that is gone has checkpointed.
        let _ = self.jobs.send(Job::Checkpoint).await;
    }

    /// Gives the space of the log back between two groups, unless somebody reads.
    pub async fn end_log(&self) {
        // A writer that is gone has ended it.
        let _ = self.jobs.send(Job::EndLog).await;
    }

    async fn ask<T>(
        &self,
        job: Job,
        outcome: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        self.jobs.send(job).await.map_err(|_| Refusal::Stopping)?;
        // A job that is dropped unanswered was never begun.
        outcome.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// Appends that will share a commit.
#[derive(Debug)]
struct Gathered {
    appends: Vec<Append>,
    records: usize,
    bytes: usize,
    /// A job of another kind: it comes after this group.
    after: Option<Job>,
}

impl Gathered {
    fn new(first: Append) -> Gathered {
        Gathered {
            records: first.records.len(),
            bytes: first.bytes,
            appends: vec![first],
            after: None,
        }
    }

    fn add(&mut self, next: Append) {
        self.records += next.records.len();
        self.bytes += next.bytes;
        self.appends.push(next);
    }

    fn has_room(&self) -> bool {
        self.after.is_none() && self.records < GROUP_RECORDS && self.bytes < GROUP_BYTES
    }

    fn may_linger(&self) -> bool {
        self.after.is_none() && self.records < WORTH_A_COMMIT
    }
}

/// The writer's task.
#[derive(Debug)]
pub struct WriterTask {
    jobs: mpsc::Receiver<Job>,
    room: Arc<Semaphore>,
    connection: SqliteConnection,
    trees: Arc<Trees>,
    space: Arc<Space>,
    damage: Arc<Damage>,
    statements: Statements,
    /// Calls that shared the last commit.
    siblings: usize,
    /// What an earlier process left in the log is in the file and on the disk.
    old_log_finished: bool,
}

impl WriterTask {
    /// A writer and the way to it.
    pub fn new(
        connection: SqliteConnection,
        trees: Arc<Trees>,
        space: Arc<Space>,
        damage: Arc<Damage>,
    ) -> (WriterTask, Writer) {
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX));
        let writer = Writer {
            jobs: sender,
            room: Arc::clone(&room),
        };
        let statements = Statements::new();
        (
            WriterTask {
                jobs,
                room,
                connection,
                trees,
                space,
                damage,
                statements,
                siblings: 0,
                old_log_finished: false,
            },
            writer,
        )
    }

    /// Writes until every [`Writer`] is gone, or a write fails.
    ///
    /// # Errors
    /// When it is not known what reached the disk.
    pub async fn run(mut self) -> Result<(), Error> {
        if let Err(failure) = self.finish_old_log().await {
            // Refused now, it is tried again before each group.
            self.judge(failure).await?;
        }
        let mut next = self.jobs.recv().await;
        while let Some(job) = next {
            let after = self.perform(job).await?;
            next = match after {
                Some(job) => Some(job),
                None => self.jobs.recv().await,
            };
        }
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        database::close(self.connection).await;
        Ok(())
    }

    /// Copies what an earlier process left in the log. It may have died of a failed fsync, and what it wrote may be seen here
    /// and not be on the disk: nothing is acknowledged before this is through.
    async fn finish_old_log(&mut self) -> Result<(), Failure> {
        if self.old_log_finished {
            return Ok(());
        }
        let row = sqlx::query("PRAGMA wal_checkpoint(FULL)")
            .fetch_one(&mut self.connection)
            .await?;
        if row.try_get::<i64, _>(0)? != 0 {
            return Err(Failure::Refused(Refusal::Busy));
        }
        self.old_log_finished = true;
        Ok(())
    }

    /// Does one job; of appends as many as come. Returns a job of another kind that ended the gathering.
    async fn perform(&mut self, job: Job) -> Result<Option<Job>, Error> {
        match job {
            Job::Append(first) => {
                let mut group = Gathered::new(first);
                self.gather(&mut group);
                if self.siblings >= SIBLINGS && group.may_linger() {
                    tokio::time::sleep(LINGER).await;
                    self.gather(&mut group);
                }
                self.siblings = group.appends.len();
                self.commit(group.appends).await?;
                return Ok(group.after);
            }
            Job::Adopt(cluster_id, reply) => {
                let update = sqlx::query("UPDATE store SET cluster_id = ?").bind(cluster_id);
                let done = self.update(update).await;
                self.conclude(done.map(drop), reply).await?;
            }
            Job::Note(lasting, losses, reply) => {
                let update =
                    "UPDATE store SET counts_as_absent = ?, wide = ?, replication_factor = ?
                              WHERE losses = ?";
                let update = sqlx::query(update)
                    .bind(lasting.absent)
                    .bind(lasting.wide)
                    .bind(lasting.replication_factor)
                    .bind(i64::try_from(losses).unwrap_or(i64::MAX));
                let done = self.update(update).await;
                self.conclude(done.map(|rows| rows > 0), reply).await?;
            }
            Job::Release(release) => {
                let done = self.release(&release).await;
                self.conclude(done, release.reply).await?;
            }
            Job::Mend(mend) => {
                let done = self.mend(&mend).await;
                self.conclude(done, mend.reply).await?;
            }
            Job::Scrubbed(at_ms, reply) => {
                let update = sqlx::query("UPDATE store SET scrubbed_at_ms = ?").bind(at_ms);
                let done = self.update(update).await;
                self.conclude(done.map(drop), reply).await?;
            }
            Job::Checkpoint => self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)").await?,
            Job::EndLog => self.end_log().await?,
        }
        Ok(None)
    }

    /// Takes what waits, up to a full group.
    fn gather(&mut self, group: &mut Gathered) {
        while group.has_room() {
            match self.jobs.try_recv() {
                Ok(Job::Append(next)) => group.add(next),
                Ok(other) => group.after = Some(other),
                Err(_) => return,
            }
        }
    }

    async fn commit(&mut self, appends: Vec<Append>) -> Result<(), Error> {
        metrics::waiting((WAITING_KIB_MAX - self.room.available_permits()) * 1024);
        let failure = match self.write(&appends).await {
            Ok(new) => {
                answer(appends, &new);
                return Ok(());
            }
            Err(failure) => failure,
        };
        let (refusal, end) = match self.judge(failure).await {
            Ok(refusal) => (refusal, Ok(())),
            Err(error) => (Refusal::MaybeStored(error.to_string()), Err(error)),
        };
        for append in appends {
            // A caller that has gone needs no answer.
            let _ = append.reply.send(Err(refusal.clone()));
        }
        end
    }

    async fn write(&mut self, appends: &[Append]) -> Result<Vec<bool>, Failure> {
        if let Some(why) = self.damage.why_unreadable() {
            return Err(Refusal::Malformed(why).into());
        }
        self.space.check()?;
        self.finish_old_log().await?;
        let records = appends.iter().flat_map(|append| &append.records);
        let group = Group::new(records, &mut self.connection, &self.trees).await?;
        let written = group.write(
            &mut self.connection,
            &self.trees,
            &self.statements,
            &self.damage,
        );
        Ok(written.await?)
    }

    /// What a failure means: a refusal after which all is as before, or the end.
    async fn judge(&mut self, failure: Failure) -> Result<Refusal, Error> {
        let error = match failure {
            Failure::Refused(refusal) => return Ok(refusal),
            Failure::Sqlite(error) => error,
        };
        let refusal = match sqlite_code(&error) {
            Some(FULL) => self.space.found_full(),
            Some(BUSY) => Refusal::Busy,
            // Nothing was committed, and nothing will be: the others are told, and an operator.
            _ if is_malformed(&error) => {
                self.damage.sqlite(&error);
                Refusal::Malformed(self.damage.why_unreadable().unwrap_or_default())
            }
            _ => return Err(Error::Write(error)),
        };
        // SQLite may have rolled back by itself, or never begun.
        let _ = self.connection.execute("ROLLBACK").await;
        tracing::warn!(%error, "a write was refused");
        Ok(refusal)
    }

    /// Changes what the store says of itself. Returns how many rows that were.
    async fn update(&mut self, update: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, Failure> {
        self.finish_old_log().await?;
        let done = update.execute(&mut self.connection).await?;
        Ok(done.rows_affected())
    }

    async fn release(&mut self, release: &Release) -> Result<Outcome, Failure> {
        self.finish_old_log().await?;
        Ok(release::write(&mut self.connection, &self.trees, release).await?)
    }

    async fn mend(&mut self, mend: &Mend) -> Result<Mended, Failure> {
        self.finish_old_log().await?;
        Ok(mend::write(&mut self.connection, &self.trees, &self.damage, mend).await?)
    }

    async fn conclude<T>(
        &mut self,
        done: Result<T, Failure>,
        reply: oneshot::Sender<Result<T, Refusal>>,
    ) -> Result<(), Error> {
        let (answer, end) = match done {
            Ok(done) => (Ok(done), Ok(())),
            Err(failure) => match self.judge(failure).await {
                Ok(refusal) => (Err(refusal), Ok(())),
                Err(error) => (Err(Refusal::MaybeStored(error.to_string())), Err(error)),
            },
        };
        // A caller that has gone needs no answer.
        let _ = reply.send(answer);
        end
    }

    /// Without waiting for readers: whoever writes next would wait, too.
    async fn end_log(&mut self) -> Result<(), Error> {
        self.wait_for_locks(Duration::ZERO).await?;
        self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        self.wait_for_locks(BUSY_TIMEOUT).await
    }

    async fn wait_for_locks(&mut self, limit: Duration) -> Result<(), Error> {
        let pragma = format!("PRAGMA busy_timeout = {}", limit.as_millis());
        let done = self.connection.execute(AssertSqlSafe(pragma)).await;
        done.map(drop).map_err(Error::Write)
    }

    async fn checkpoint(&mut self, pragma: &'static str) -> Result<(), Error> {
        match self.connection.execute(pragma).await {
            Ok(_) => Ok(()),
            // Somebody else is at it, or the file cannot grow: the log keeps what it has.
            Err(error) if matches!(sqlite_code(&error), Some(BUSY | FULL)) => Ok(()),
            Err(error) => Err(Error::Write(error)),
        }
    }
}

/// Tells every caller what became of its part of the group.
fn answer(appends: Vec<Append>, new: &[bool]) {
    let mut rest = new;
    for append in appends {
        let (own, others) = rest.split_at(append.records.len());
        rest = others;
        // A caller that has gone needs no answer.
        let _ = append.reply.send(Ok(own.to_vec()));
    }
}

#[cfg(test)]
mod tests;
