//! One direction of a session: what the receiver lacks of the giver's records is found by a walk, looked up once more, and
//! copied.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join;
use merkle::walk::{Leaf, Party, Walk};
use merkle::{Below, Digest, Grain, LEAF_MAX, Path, Salt, ShortId};
use proto::v1;
use tokio::time::Instant;

use super::copy::{Copied, Route, Wanted, fetches};
use crate::error::{SessionError, Side};
use crate::home::Home;
use crate::lacking::Lacking;
use crate::peer::{Peer, State};
use crate::stores::Asked;

/// Ids that are found before the first of them are fetched. Larger: what came by push meanwhile is found out for more of
/// them at once; smaller: less memory.
const FOUND_MAX: usize = 20_000;

// A lookup of as many leaves as one message may name stays within its bound of ids.
const _: () = assert!(LEAF_MAX * proto::TREE_NODES_MAX <= proto::SHORT_IDS_MAX);

/// One direction.
pub(super) struct Direction<'a> {
    /// From where to where.
    pub(super) route: Route<'a>,
    /// Whose status shows what goes on.
    pub(super) peer: &'a Peer,
    /// Says whether repair is paused.
    pub(super) home: &'a Home,
    /// What all peers together have and this node lacks.
    pub(super) lacking: &'a Lacking,
    /// Nothing is looked up before.
    pub(super) settled: Instant,
    /// Nothing is begun after.
    pub(super) deadline: Instant,
    /// Count only.
    pub(super) dry_run: bool,
    /// Refused lately: not fetched, but owed.
    pub(super) avoid: BTreeSet<ShortId>,
}

/// What a direction did.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Ids that the receiver lacked when they were looked up.
    pub(super) lacking: u64,
    /// The time limit came first.
    pub(super) unfinished: bool,
    /// Of all fetches.
    pub(super) copied: Copied,
    /// What the giver showed of each shard when its walk began.
    pub(super) roots: BTreeMap<u32, Digest>,
    /// Shards that were walked to their end.
    walked: BTreeSet<u32>,
    /// Ids found and not known to be durable at the receiver, by shard.
    owed: BTreeMap<u32, usize>,
}

impl Moved {
    /// Shards of which the receiver has everything.
    pub(super) fn contained(&self) -> impl Iterator<Item = u32> {
        let owes = |shard: &u32| self.owed.get(shard).is_some_and(|ids| *ids > 0);
        self.walked
            .iter()
            .filter(move |shard| !owes(shard))
            .copied()
    }

    /// Whether the giver had one of the copied records for longer than this, by the clocks of the two nodes.
    pub(super) fn older_than(&self, unix_ms: i64, age: Duration) -> bool {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.copied
            .oldest_ms
            .is_some_and(|oldest| oldest < unix_ms.saturating_sub(age))
    }

    fn owe(&mut self, leaf: &Leaf) {
        *self.owed.entry(leaf.shard).or_default() += leaf.short_ids.len();
    }

    fn settle(&mut self, shard: u32, ids: usize) {
        if let Some(owed) = self.owed.get_mut(&shard) {
            *owed = owed.saturating_sub(ids);
        }
    }
}

impl Direction<'_> {
    /// Walks the shards and copies, until it is done or the time is over. What it did by then is in `moved`, also when it
    /// fails.
    pub(super) async fn run(
        &self,
        shards: Vec<u32>,
        moved: &mut Moved,
    ) -> Result<(), SessionError> {
        let mut walk = Walk::new(shards);
        let mut found: Vec<Leaf> = Vec::new();
        let mut ids = 0;
        while let Some((asked, grains)) = walk.ask() {
            if self.is_over() {
                moved.unfinished = true;
                break;
            }
            self.peer
                .update(|standing| standing.state = State::Descending);
            let Route { from, to, .. } = self.route;
            let look = |side, store| shown(side, store, (&asked, &grains), self.route.salt);
            let (giver, receiver) =
                try_join(look(from, &self.route.origin), look(to, &self.route.target)).await?;
            moved.roots.extend(giver.roots);
            let leaves = walk
                .answered(giver.nodes, receiver.nodes)
                .map_err(|error| {
                    let side = match error.party {
                        Party::Giver => self.route.from,
                        Party::Receiver => self.route.to,
                    };
                    side.wrong("Descend", error.to_string())
                })?;
            for leaf in leaves {
                moved.owe(&leaf);
                ids += leaf.short_ids.len();
                found.push(leaf);
            }
            moved.walked.extend(walk.finished());
            if ids >= FOUND_MAX {
                self.bring(std::mem::take(&mut found), moved).await?;
                ids = 0;
            }
        }
        self.bring(found, moved).await
    }

    /// The time limit came, or somebody paused repair.
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline || (self.home.is_paused() && !self.dry_run)
    }

    /// Looks up what was found and copies what is still lacking. However late it is, one fetch is made: a session that only
    /// walks would be followed by one that only walks.
    async fn bring(&self, found: Vec<Leaf>, moved: &mut Moved) -> Result<(), SessionError> {
        if found.is_empty() {
            return Ok(());
        }
        tokio::time::sleep_until(self.settled).await;
        self.peer.update(|standing| standing.state = State::Moving);
        let mut wanted = Vec::new();
        for leaves in found.chunks(proto::TREE_NODES_MAX) {
            self.look_up(leaves, &mut wanted, moved).await?;
        }
        if self.dry_run {
            return Ok(());
        }
        for (place, fetch) in fetches(wanted).into_iter().enumerate() {
            if place > 0 && self.is_over() {
                moved.unfinished = true;
                return Ok(());
            }
            self.fetch(fetch, moved).await?;
        }
        Ok(())
    }

    /// Asks the receiver once more: most of what seemed to be missing under constant writes has come by push.
    async fn look_up(
        &self,
        leaves: &[Leaf],
        wanted: &mut Vec<Wanted>,
        moved: &mut Moved,
    ) -> Result<(), SessionError> {
        let nodes: Vec<Wanted> = leaves
            .iter()
            .map(|leaf| Wanted {
                node: proto::convert::tree_node(leaf.shard, &leaf.path),
                short_ids: leaf.short_ids.clone(),
            })
            .collect();
        let missing = self.route.to.missing(&nodes, self.route.salt).await?;
        for (asked, missing) in nodes.into_iter().zip(missing) {
            if !missing.iter().all(|short| asked.short_ids.contains(short)) {
                return Err(self
                    .route
                    .to
                    .wrong("Missing", "an id that nobody asked for"));
            }
            let held = asked
                .short_ids
                .iter()
                .filter(|short| !missing.contains(short))
                .count();
            moved.settle(asked.node.shard, held);
            moved.lacking += missing.len() as u64;
            let short_ids: Vec<ShortId> = missing
                .into_iter()
                .filter(|short| !self.avoid.contains(short))
                .collect();
            if !short_ids.is_empty() {
                wanted.push(Wanted {
                    node: asked.node,
                    short_ids,
                });
            }
        }
        Ok(())
    }

    async fn fetch(&self, fetch: Vec<Wanted>, moved: &mut Moved) -> Result<(), SessionError> {
        let mut copied = Copied::default();
        let result = self.route.copy(&fetch, self.deadline, &mut copied).await;
        let durable: BTreeSet<ShortId> = copied.durable.iter().copied().collect();
        let new: BTreeSet<ShortId> = copied.new.iter().copied().collect();
        let mut brought: BTreeMap<u32, u64> = BTreeMap::new();
        let mut left = false;
        for Wanted { node, short_ids } in &fetch {
            let among = |ids: &BTreeSet<ShortId>| {
                let some = short_ids.iter().filter(|short| ids.contains(*short));
                some.count()
            };
            let here = among(&durable);
            moved.settle(node.shard, here);
            left |= here < short_ids.len();
            *brought.entry(node.shard).or_default() += among(&new) as u64;
        }
        if self.route.to.side() == Side::Local {
            let (records, bytes) = (copied.records, copied.bytes);
            self.peer
                .update(|standing| standing.brought(records, bytes));
            self.lacking.brought(&brought, bytes);
        }
        moved.unfinished |= left && Instant::now() >= self.deadline;
        moved.copied.add(copied);
        result
    }
}

/// What a store shows.
struct Shown {
    /// Of the nodes, in its order.
    nodes: Vec<(u32, Below)>,
    /// Roots of the trees that were asked for from the top.
    roots: Vec<(u32, Digest)>,
}

/// Asks a store, which must be the one that was compared, for what is below the nodes.
async fn shown(
    store: &Asked,
    store_id: &Bytes,
    (asked, grains): (&[(u32, Path)], &[Grain]),
    salt: Salt,
) -> Result<Shown, SessionError> {
    let node = |(shard, path): &(u32, Path)| proto::convert::tree_node(*shard, path);
    let nodes: Vec<v1::TreeNode> = asked.iter().map(node).collect();
    let reply = store.descend(nodes, grains, salt).await?;
    if reply.store_id != store_id {
        return Err(SessionError::StoreChanged(store.side()));
    }
    let parse = |node| {
        let (_, shard, below) = proto::convert::below(node)
            .map_err(|error| store.wrong("Descend", error.to_string()))?;
        Ok((shard, below))
    };
    let tops = asked.iter().filter(|(_, path)| path.depth() == 0);
    let tops: Vec<u32> = tops.map(|(shard, _)| *shard).collect();
    let (roots, rest) = reply.roots.as_chunks();
    if roots.len() != tops.len() || !rest.is_empty() {
        return Err(store.wrong("Descend", "not one root for each tree"));
    }
    Ok(Shown {
        roots: tops.into_iter().zip(roots.iter().copied()).collect(),
        nodes: reply
            .nodes
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()?,
    })
}
