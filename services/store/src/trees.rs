//! What the shards come to: a root and a count for each, always; the tree behind it, when somebody needs it.
//!
//! Roots and counts are read from the `shard` table at the start and follow every commit. A tree is built from the ids in the
//! `place` table when its shard is first written to, walked or fetched from, and given up again when trees take too much
//! memory. Nothing is shown before it is durable: the writer changes clones, and hands them over after its commit.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt as _;
use merkle::{Digest, EMPTY_ROOT, Id, Tree};
use proto::convert::WireError;
use sqlx::sqlite::SqliteExecutor;
use sqlx::{Row as _, SqliteConnection, SqlitePool};
use tokio::sync::watch;

/// Memory of all trees together, about twelve million ids. Below what the shards in use need, writes would read whole shards
/// again and again.
const MEMORY_MAX: usize = 1 << 30;

/// A tree is measured again when it has grown by one part in this: measuring walks all of it.
const MEASURE_GROWTH: usize = 8;

/// The shards of one store.
#[derive(Debug)]
pub struct Trees {
    slots: Mutex<Slots>,
    /// One shard is read at a time: two readers of the same one would do the work twice, of many would fill memory.
    loading: tokio::sync::Mutex<()>,
    readers: SqlitePool,
    sequence: watch::Sender<u64>,
    memory_max: usize,
}

#[derive(Debug)]
struct Slots {
    shards: Vec<Slot>,
    records: u64,
    bytes: usize,
    /// Counts uses; the tree with the smallest number was not used for longest.
    uses: u64,
}

#[derive(Debug, Clone)]
struct Slot {
    root: Digest,
    ids: u64,
    loaded: Option<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    tree: Tree,
    bytes: usize,
    measured_at: usize,
    used: u64,
}

/// A shard after a commit.
#[derive(Debug)]
pub struct Change {
    /// Which.
    pub shard: u32,
    /// Its ids.
    pub tree: Tree,
    /// Their digest.
    pub root: Digest,
}

impl Trees {
    /// Reads roots and counts; no ids.
    ///
    /// # Errors
    /// When the table cannot be read or names a shard that does not exist.
    pub async fn open(readers: SqlitePool, num_shards: u32) -> Result<Trees, sqlx::Error> {
        let empty = Slot {
            root: EMPTY_ROOT,
            ids: 0,
            loaded: None,
        };
        let mut shards = vec![empty; num_shards as usize + 1];
        let (mut records, mut sequence) = (0, 0);
        let rows = sqlx::query("SELECT shard, root, ids, last_sequence FROM shard")
            .fetch_all(&readers)
            .await?;
        for row in rows {
            let shard: u32 = row.try_get(0)?;
            let slot = shards
                .get_mut(shard as usize)
                .ok_or_else(|| sqlx::Error::Decode(format!("there is no shard {shard}").into()))?;
            slot.root = id(row.try_get(1)?)?;
            slot.ids = row.try_get(2)?;
            records += slot.ids;
            sequence = sequence.max(row.try_get(3)?);
        }
        Ok(Trees {
            slots: Mutex::new(Slots {
                shards,
                records,
                bytes: 0,
                uses: 0,
            }),
            loading: tokio::sync::Mutex::new(()),
            readers,
            sequence: watch::Sender::new(sequence),
            memory_max: MEMORY_MAX,
        })
    }

    /// The same with another limit.
    #[cfg(test)]
    pub(crate) fn with_memory(self, memory_max: usize) -> Trees {
        Trees { memory_max, ..self }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Nothing in here panics half way through a change.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shards, the global one included.
    pub fn shards(&self) -> usize {
        self.slots().shards.len()
    }

    /// Refuses a shard that there is not.
    pub(crate) fn check(&self, shard: u32) -> Result<(), WireError> {
        let shards = self.shards();
        if (shard as usize) < shards {
            return Ok(());
        }
        let problem = format!("{shard} does not exist, the last is {}", shards - 1);
        Err(WireError::new("shard", problem))
    }

    /// Ids in all shards.
    pub fn records(&self) -> u64 {
        self.slots().records
    }

    /// The last arrival sequence committed.
    pub fn sequence(&self) -> u64 {
        *self.sequence.borrow()
    }

    /// The same, to wait for the next one. What is shown here can be read.
    pub fn sequences(&self) -> watch::Receiver<u64> {
        self.sequence.subscribe()
    }

    /// Memory of the trees, about.
    pub fn memory_bytes(&self) -> usize {
        self.slots().bytes
    }

    /// Root and count of a shard; of one that does not exist, those of the empty set.
    pub fn root(&self, shard: u32) -> (Digest, u64) {
        self.slots()
            .shards
            .get(shard as usize)
            .map_or((EMPTY_ROOT, 0), |slot| (slot.root, slot.ids))
    }

    /// A shard's tree, read when it is not in memory.
    ///
    /// # Errors
    /// When the ids cannot be read.
    pub async fn tree(&self, shard: u32) -> Result<Tree, sqlx::Error> {
        if let Some(tree) = self.slots().in_memory(shard) {
            return Ok(tree);
        }
        let _one = self.loading.lock().await;
        if let Some(tree) = self.slots().in_memory(shard) {
            return Ok(tree);
        }
        let tree = read(&self.readers, shard).await?;
        self.slots().keep(shard, &tree, self.memory_max);
        Ok(tree)
    }

    /// The same for the writer, over its own connection: it waits for no reader.
    ///
    /// # Errors
    /// When the ids cannot be read.
    pub async fn tree_over(
        &self,
        connection: &mut SqliteConnection,
        shard: u32,
    ) -> Result<Tree, sqlx::Error> {
        if let Some(tree) = self.slots().in_memory(shard) {
            return Ok(tree);
        }
        let tree = read(connection, shard).await?;
        self.slots().keep(shard, &tree, self.memory_max);
        Ok(tree)
    }

    /// A shard's tree when it is in memory.
    pub(crate) fn in_memory(&self, shard: u32) -> Option<Tree> {
        let slots = self.slots();
        let loaded = slots.shards.get(shard as usize)?.loaded.as_ref()?;
        Some(loaded.tree.clone())
    }

    /// Where an id is: `Ok` with its shard when a tree in memory has it, else `Err` with the shards whose trees are not in
    /// memory and that have ids at all.
    pub fn locate(&self, id: &Id) -> Result<u32, Vec<u32>> {
        let slots = self.slots();
        let mut unknown = Vec::new();
        for (shard, slot) in (0..).zip(&slots.shards) {
            match &slot.loaded {
                Some(loaded) if loaded.tree.contains(id) => return Ok(shard),
                None if slot.ids > 0 => unknown.push(shard),
                _ => {}
            }
        }
        Err(unknown)
    }

    /// Shows what a commit made durable.
    pub fn publish(&self, changes: Vec<Change>, sequence: u64) {
        let mut slots = self.slots();
        for Change { shard, tree, root } in changes {
            let Some(slot) = slots.shards.get_mut(shard as usize) else {
                continue;
            };
            let ids = tree.len() as u64;
            let before = std::mem::replace(&mut slot.ids, ids);
            slot.root = root;
            slots.records = slots.records - before + ids;
            slots.put(shard, tree);
        }
        slots.trim(self.memory_max);
        self.sequence.send_replace(sequence);
    }
}

async fn read<'e>(executor: impl SqliteExecutor<'e>, shard: u32) -> Result<Tree, sqlx::Error> {
    Ok(derive(executor, shard, u64::MAX).await?.tree)
}

/// What the ids of a shard come to.
#[derive(Debug)]
pub(crate) struct Derived {
    /// The ids.
    pub(crate) tree: Tree,
    /// The highest sequence among their rows, of those that were given.
    pub(crate) last_sequence: i64,
}

/// Reads the ids of a shard. `given`: the last sequence that was given to a row; a higher one is damage, and no row leads there.
///
/// # Errors
/// When they cannot be read.
pub(crate) async fn derive<'e>(
    executor: impl SqliteExecutor<'e>,
    shard: u32,
    given: u64,
) -> Result<Derived, sqlx::Error> {
    let given = i64::try_from(given).unwrap_or(i64::MAX);
    let mut ids: Vec<Id> = Vec::new();
    let mut last_sequence = 0;
    let mut rows = sqlx::query("SELECT id, sequence FROM place WHERE shard = ? ORDER BY id")
        .bind(shard)
        .fetch(executor);
    while let Some(row) = rows.try_next().await? {
        ids.push(id(row.try_get(0)?)?);
        let sequence: i64 = row.try_get(1)?;
        if sequence <= given {
            last_sequence = last_sequence.max(sequence);
        }
        tokio::task::consume_budget().await;
    }
    drop(rows);
    let build = move || {
        let tree: Tree = ids.into_iter().collect();
        // Worked out here, where it holds up nobody.
        tree.root();
        tree
    };
    let tree = tokio::task::spawn_blocking(build);
    Ok(Derived {
        tree: tree.await.map_err(|_| sqlx::Error::WorkerCrashed)?,
        last_sequence,
    })
}

impl Slots {
    fn in_memory(&mut self, shard: u32) -> Option<Tree> {
        let slot = self.shards.get_mut(shard as usize)?;
        self.uses += 1;
        match &mut slot.loaded {
            Some(loaded) => {
                loaded.used = self.uses;
                Some(loaded.tree.clone())
            }
            None if slot.ids == 0 => Some(Tree::new()),
            None => None,
        }
    }

    /// Keeps a tree that was read, unless the shard changed meanwhile: the writer works on what is kept here.
    fn keep(&mut self, shard: u32, tree: &Tree, memory_max: usize) {
        let current = self
            .shards
            .get(shard as usize)
            .is_some_and(|slot| slot.loaded.is_none() && slot.root == tree.root());
        if current {
            self.put(shard, tree.clone());
            self.trim(memory_max);
        }
    }

    fn put(&mut self, shard: u32, tree: Tree) {
        let Some(slot) = self.shards.get_mut(shard as usize) else {
            return;
        };
        self.uses += 1;
        let ids = tree.len();
        let known = slot.loaded.take().map(|old| (old.bytes, old.measured_at));
        self.bytes -= known.map_or(0, |(bytes, _)| bytes);
        let (bytes, measured_at) = match known {
            Some((bytes, at)) if ids.abs_diff(at) <= at / MEASURE_GROWTH => (bytes, at),
            _ => (tree.memory_bytes(), ids),
        };
        self.bytes += bytes;
        slot.loaded = Some(Loaded {
            tree,
            bytes,
            measured_at,
            used: self.uses,
        });
    }

    /// Gives up whole trees, the least recently used first, until the rest fits. One always stays.
    fn trim(&mut self, memory_max: usize) {
        while self.bytes > memory_max {
            let mut loaded: Vec<(u64, usize)> = self
                .shards
                .iter()
                .enumerate()
                .filter_map(|(shard, slot)| Some((slot.loaded.as_ref()?.used, shard)))
                .collect();
            loaded.sort_unstable();
            let [(_, oldest), _, ..] = loaded[..] else {
                return;
            };
            if let Some(gone) = self.shards[oldest].loaded.take() {
                self.bytes -= gone.bytes;
            }
        }
    }
}

/// 32 bytes from a column.
pub(crate) fn id(bytes: &[u8]) -> Result<Id, sqlx::Error> {
    Id::try_from(bytes)
        .map_err(|_| sqlx::Error::Decode(format!("{} bytes are no id", bytes.len()).into()))
}
