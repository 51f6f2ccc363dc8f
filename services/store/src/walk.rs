//! What a repair session asks: roots, what is below a node, which ids are lacking, and the records themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use assertion::RecordId;
use bytes::Bytes;
use merkle::{Digest, Grain, Id, Path, Salt, ShortDigest, ShortId, Tree};
use proto::convert::{self, WireError};
use proto::{LIST_IDS_MAX, SHORT_IDS_MAX, TREE_NODES_MAX, v1};
use sqlx::SqlitePool;
use tokio::sync::{Semaphore, mpsc};

use crate::beginning::Beginning;
use crate::completeness::Completeness;
use crate::error::CallError;
use crate::held::{self, Batch, Place};
use crate::trees::Trees;

/// A chunk of Fetch, as the contract says.
const CHUNK_RECORDS: usize = 1_000;
/// The same in canonical bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Chunks that are read ahead of a peer.
const CHUNKS_AHEAD: usize = 1;

/// Requests whose trees are walked at a time: they hash what is below their nodes, and reads and writes must go on.
const WALKS_AT_A_TIME: usize = 2;

/// Answers repair.
#[derive(Debug, Clone)]
pub struct Walks {
    readers: SqlitePool,
    trees: Arc<Trees>,
    completeness: Arc<Completeness>,
    store_id: Bytes,
    beginning: Arc<Beginning>,
    num_shards: u32,
    turns: Arc<Semaphore>,
}

/// A place with the short ids that are looked for below it.
struct Sought {
    shard: u32,
    path: Path,
    short_ids: Vec<ShortId>,
}

impl Walks {
    /// Over these trees.
    pub fn new(
        readers: SqlitePool,
        trees: Arc<Trees>,
        completeness: Arc<Completeness>,
        (store_id, beginning): ([u8; 16], Arc<Beginning>),
        num_shards: u32,
    ) -> Walks {
        Walks {
            readers,
            trees,
            completeness,
            store_id: Bytes::copy_from_slice(&store_id),
            beginning,
            num_shards,
            turns: Arc::new(Semaphore::new(WALKS_AT_A_TIME)),
        }
    }

    /// Equal, or all roots.
    ///
    /// # Errors
    /// When the request means nothing, or the caller has seen more of this store than it began with.
    pub fn compare(&self, request: &v1::CompareRequest) -> Result<v1::CompareReply, CallError> {
        self.beginning.check(request)?;
        let shards = convert::shards_of_bits(&request.shards, self.num_shards)?;
        let expected: Option<Digest> = match request.expected.len() {
            0 => None,
            _ => Some(convert::record_id(&request.expected)?.to_bytes()),
        };
        // Before the roots: what goes between the two is seen at the next comparison.
        let losses = self.completeness.losses();
        let roots: Vec<(Digest, u64)> =
            shards.iter().map(|shard| self.trees.root(*shard)).collect();
        let named = shards
            .iter()
            .copied()
            .zip(roots.iter().map(|(root, _)| *root));
        let equal = expected.is_some_and(|expected| merkle::combined(named) == expected);
        let mut reply = v1::CompareReply {
            equal,
            counts_as_absent: self.completeness.counts_as_absent(),
            store_id: self.store_id.clone(),
            run: self.beginning.run(),
            sequence: self.trees.sequence(),
            losses,
            lacking: self.completeness.lacking(),
            ..v1::CompareReply::default()
        };
        if !equal {
            let digests = roots.iter().map(|(root, _)| root);
            reply.roots = match &request.salt[..] {
                [] => digests.copied().collect::<Vec<Digest>>().concat().into(),
                salt => short_digests(salt, digests)?.into(),
            };
            reply.counts = roots.iter().map(|(_, ids)| *ids).collect();
        }
        Ok(reply)
    }

    /// What is below the nodes. Each shows at least itself; the room for more is shared evenly.
    ///
    /// # Errors
    /// When the request means nothing, or the ids of a shard cannot be read.
    pub async fn descend(
        &self,
        request: v1::DescendRequest,
    ) -> Result<v1::DescendReply, CallError> {
        let salt = convert::salt(&request.salt)?;
        if request.nodes.len() > TREE_NODES_MAX {
            return Err(too_many("nodes", request.nodes.len(), TREE_NODES_MAX).into());
        }
        let nodes = request
            .nodes
            .iter()
            .map(|node| self.place(Some(node)))
            .collect::<Result<Vec<(u32, Path)>, _>>()?;
        let trees = self.trees_of(nodes.iter().map(|(shard, _)| *shard)).await?;
        let roots = nodes.iter().filter(|(_, path)| path.depth() == 0);
        let roots: Vec<Digest> = roots.map(|(shard, _)| trees[shard].root()).collect();
        let grains: Vec<Grain> = convert::grains(&request.ids, nodes.len()).collect();
        let nodes = self
            .beside(move || {
                let mut described = Vec::new();
                let count = nodes.len();
                for ((asked, (shard, path)), grain) in (0..).zip(nodes).zip(grains) {
                    let room = grain.ahead_bytes() / count;
                    let below = trees[&shard].describe(&path, &salt, grain, room);
                    described.extend(
                        below
                            .into_iter()
                            .map(|below| convert::described(asked, shard, below)),
                    );
                }
                described
            })
            .await?;
        Ok(v1::DescendReply {
            nodes,
            roots: roots.concat().into(),
            store_id: self.store_id.clone(),
        })
    }

    /// Of short ids, those that are not held.
    ///
    /// # Errors
    /// When the request means nothing, or the ids of a shard cannot be read.
    pub async fn missing(
        &self,
        request: v1::MissingRequest,
    ) -> Result<v1::MissingReply, CallError> {
        let salt = convert::salt(&request.salt)?;
        let sought = self.sought(&request.nodes)?;
        let trees = self
            .trees_of(sought.iter().map(|sought| sought.shard))
            .await?;
        let found = self
            .beside(move || (locate(&trees, &salt, &sought), sought))
            .await?;
        let nodes = request.nodes.into_iter().zip(found.1).zip(found.0);
        let nodes = nodes.map(|((node, sought), found)| {
            let missing = sought
                .short_ids
                .iter()
                .zip(&found)
                .filter(|(_, found)| found.is_none());
            let short_ids: Vec<ShortId> = missing.map(|(short, _)| *short).collect();
            v1::FetchNode {
                short_ids: Bytes::from(short_ids.concat()),
                ..node
            }
        });
        Ok(v1::MissingReply {
            nodes: nodes.collect(),
        })
    }

    /// Finds the ids behind short ids, then reads their records chunk by chunk as the peer takes them.
    ///
    /// # Errors
    /// When the request means nothing, or the ids of a shard cannot be read.
    pub async fn fetch(
        &self,
        request: v1::FetchRequest,
    ) -> Result<mpsc::Receiver<Result<v1::FetchReply, CallError>>, CallError> {
        let salt = convert::salt(&request.salt)?;
        let sought = self.sought(&request.nodes)?;
        let trees = self
            .trees_of(sought.iter().map(|sought| sought.shard))
            .await?;
        let by_shard = self
            .beside(move || {
                let mut by_shard: BTreeMap<u32, Vec<Id>> = BTreeMap::new();
                let found = locate(&trees, &salt, &sought);
                for (sought, found) in sought.iter().zip(found) {
                    by_shard
                        .entry(sought.shard)
                        .or_default()
                        .extend(found.into_iter().flatten());
                }
                by_shard
            })
            .await?;
        let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
        let readers = self.readers.clone();
        let store_id = self.store_id.clone();
        let completeness = Arc::clone(&self.completeness);
        tokio::spawn(async move {
            let sent = send(&readers, by_shard, &store_id, &completeness, &chunks);
            if let Err(error) = sent.await {
                // A peer that has gone needs no answer.
                let _ = chunks.send(Err(error)).await;
            }
        });
        Ok(taken)
    }

    /// Ids of a shard, a page at a time.
    ///
    /// # Errors
    /// When the request means nothing, or the ids cannot be read.
    pub async fn list(&self, request: v1::ListIdsRequest) -> Result<v1::ListIdsReply, CallError> {
        self.trees.check(request.shard)?;
        if !(1..=LIST_IDS_MAX).contains(&request.limit) {
            let problem = format!("is {}, give 1 to {LIST_IDS_MAX}", request.limit);
            return Err(WireError::new("limit", problem).into());
        }
        if !request.after.is_empty() {
            convert::record_id(&request.after)?;
        }
        let last = match request.max_sequence {
            0 => i64::MAX,
            sequence => i64::try_from(sequence).unwrap_or(i64::MAX),
        };
        let limit = request.limit + 1;
        let mut ids =
            held::ids_after(&self.readers, request.shard, &request.after, last, limit).await?;
        let page = request.limit as usize * size_of::<Id>();
        let more = ids.len() > page;
        ids.truncate(page);
        Ok(v1::ListIdsReply {
            ids: ids.into(),
            more,
        })
    }

    fn place(&self, node: Option<&v1::TreeNode>) -> Result<(u32, Path), WireError> {
        let node = node.ok_or_else(|| WireError::new("node", "is missing"))?;
        self.trees.check(node.shard)?;
        Ok((node.shard, convert::path(node)?))
    }

    fn sought(&self, nodes: &[v1::FetchNode]) -> Result<Vec<Sought>, WireError> {
        if nodes.len() > TREE_NODES_MAX {
            return Err(too_many("nodes", nodes.len(), TREE_NODES_MAX));
        }
        let short_ids: usize = nodes
            .iter()
            .map(|node| node.short_ids.len() / size_of::<ShortId>())
            .sum();
        if short_ids > SHORT_IDS_MAX {
            return Err(too_many("short_ids", short_ids, SHORT_IDS_MAX));
        }
        nodes
            .iter()
            .map(|node| {
                let (shard, path) = self.place(node.node.as_ref())?;
                let short_ids = convert::short_ids(&node.short_ids)?.to_vec();
                Ok(Sought {
                    shard,
                    path,
                    short_ids,
                })
            })
            .collect()
    }

    async fn trees_of(
        &self,
        shards: impl Iterator<Item = u32>,
    ) -> Result<HashMap<u32, Tree>, CallError> {
        let mut trees = HashMap::new();
        for shard in shards {
            if let std::collections::hash_map::Entry::Vacant(entry) = trees.entry(shard) {
                entry.insert(self.trees.tree(shard).await?);
            }
        }
        Ok(trees)
    }

    /// Hashes beside the event loop, a few requests at a time.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_| CallError::Overloaded)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| CallError::Overloaded)
    }
}

fn too_many(field: &'static str, given: usize, most: usize) -> WireError {
    WireError::new(field, format!("are {given}, send at most {most}"))
}

/// The ids behind the short ids of every node. Below one place is looked once, however often it is named.
fn locate(trees: &HashMap<u32, Tree>, salt: &Salt, sought: &[Sought]) -> Vec<Vec<Option<Id>>> {
    let mut by_place: BTreeMap<(u32, Path), Vec<usize>> = BTreeMap::new();
    for (number, sought) in sought.iter().enumerate() {
        by_place
            .entry((sought.shard, sought.path))
            .or_default()
            .push(number);
    }
    let mut found = vec![Vec::new(); sought.len()];
    for ((shard, path), numbers) in by_place {
        let short_ids: Vec<ShortId> = numbers
            .iter()
            .flat_map(|number| &sought[*number].short_ids)
            .copied()
            .collect();
        let mut ids = trees[&shard].lookup(&path, salt, &short_ids).into_iter();
        for number in numbers {
            found[number] = ids.by_ref().take(sought[number].short_ids.len()).collect();
        }
    }
    found
}

/// Roots in their short form, concatenated.
fn short_digests<'a>(
    salt: &[u8],
    digests: impl Iterator<Item = &'a Digest>,
) -> Result<Vec<u8>, WireError> {
    let salt = convert::salt(salt)?;
    let short: Vec<ShortDigest> = digests
        .map(|digest| merkle::short_digest(&salt, digest))
        .collect();
    Ok(short.concat())
}

/// A chunk as it goes out: the receiver hashes every record, so an id that is the hash need not travel. One that is not, though
/// the record was not redacted, is damaged.
fn chunk_of(
    mut records: Vec<v1::HeldRecord>,
    store_id: &Bytes,
    completeness: &Completeness,
) -> v1::FetchReply {
    for record in &mut records {
        if RecordId::of(&record.canonical).as_bytes()[..] == record.id {
            record.id = Bytes::new();
        } else if !record.canonical.is_empty() {
            completeness.suspect(i64::try_from(record.sequence).unwrap_or_default());
        }
    }
    v1::FetchReply {
        records,
        store_id: store_id.clone(),
    }
}

async fn send(
    readers: &SqlitePool,
    by_shard: BTreeMap<u32, Vec<Id>>,
    store_id: &Bytes,
    completeness: &Completeness,
    chunks: &mpsc::Sender<Result<v1::FetchReply, CallError>>,
) -> Result<(), CallError> {
    let mut chunk = Batch::default();
    for (shard, ids) in by_shard {
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let most = rest.len().min(CHUNK_RECORDS - chunk.records.len());
            let room = CHUNK_BYTES.saturating_sub(chunk.bytes);
            let batch = held::by_id(readers, Place::Shard(shard), &rest[..most], room).await?;
            rest = &rest[batch.settled..];
            chunk.bytes += batch.bytes;
            chunk.records.extend(batch.records);
            for sequence in batch.gone {
                completeness.suspect(sequence);
            }
            if chunk.records.len() >= CHUNK_RECORDS
                || chunk.bytes >= CHUNK_BYTES
                || batch.settled < most
            {
                let records = std::mem::take(&mut chunk).records;
                let reply = chunk_of(records, store_id, completeness);
                if chunks.send(Ok(reply)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    if !chunk.records.is_empty() {
        // A peer that has gone needs no answer.
        let _ = chunks
            .send(Ok(chunk_of(chunk.records, store_id, completeness)))
            .await;
    }
    Ok(())
}
