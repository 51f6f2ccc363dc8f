//! One shard, id by id, over all nodes at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assertion::RecordId;
use bytes::{Buf as _, Bytes};
use proto::{GET_IDS_MAX, LIST_IDS_MAX, v1};
use tonic::Status;

use super::Side;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Name;

/// How long a page may take.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// How long a look-up may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// Between two looks for an id that one owner had at the cut and another one not yet: a write in flight is no difference.
const PAUSE: Duration = Duration::from_millis(200);

/// Such pauses that all shards together may take.
const PAUSES: u32 = 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Ids.
    pub(super) distinct: u64,
    /// Ids that fewer nodes hold than shall.
    pub(super) under_replicated: u64,
    /// Ids that an owner lacks.
    pub(super) missing: u64,
    /// Rows at nodes that do not own their shard.
    pub(super) foreign: u64,
    /// The first id that an owner lacks, and the owner.
    pub(super) first_missing: Option<(RecordId, Name)>,
}

impl Counts {
    /// Both together.
    pub(super) fn and(self, other: Counts) -> Counts {
        Counts {
            distinct: self.distinct + other.distinct,
            under_replicated: self.under_replicated + other.under_replicated,
            missing: self.missing + other.missing,
            foreign: self.foreign + other.foreign,
            first_missing: self.first_missing.or(other.first_missing),
        }
    }
}

/// An id that an owner did not have at the cut.
#[derive(Debug)]
struct Doubt {
    id: [u8; 32],
    /// Nodes that have it.
    copies: usize,
    /// Owners that have not, by their place.
    lacking: BTreeSet<usize>,
}

/// What all shards of one comparison share.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    needed: usize,
    caller: &'a Caller,
    /// Pauses that are left.
    patience: AtomicU32,
}

impl<'a> Terms<'a> {
    /// `needed`: copies that every record shall have.
    pub(super) fn new(needed: usize, caller: &'a Caller) -> Terms<'a> {
        Terms {
            needed,
            caller,
            patience: AtomicU32::new(PAUSES),
        }
    }

    /// Copies that every record shall have.
    pub(super) fn needed(&self) -> usize {
        self.needed
    }

    /// Pauses, while there is patience. False: there is none left.
    async fn pause(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        let patient = self.patience.fetch_update(order, order, take).is_ok();
        if patient {
            tokio::time::sleep(PAUSE).await;
        }
        patient
    }
}

/// Walks a shard.
pub(super) async fn shard(
    shard: u32,
    owners: &[&Side],
    others: &[&Side],
    terms: &Terms<'_>,
) -> Result<Counts, Problem> {
    let sides: Vec<&Side> = owners.iter().chain(others).copied().collect();
    let mut walk = Walk::start(shard, &sides, terms.caller).await?;
    let mut counts = Counts::default();
    let mut doubts = Vec::new();
    while let Some((id, holders)) = walk.step().await? {
        let foreign = holders.iter().filter(|place| **place >= owners.len());
        counts.foreign += foreign.count() as u64;
        counts.distinct += 1;
        let copies = holders.len();
        let lacking: BTreeSet<usize> = (0..owners.len())
            .filter(|place| !holders.contains(place))
            .collect();
        if lacking.is_empty() {
            counts.under_replicated += u64::from(copies < terms.needed);
            continue;
        }
        doubts.push(Doubt {
            id,
            copies,
            lacking,
        });
        if doubts.len() == GET_IDS_MAX {
            let settled = settle(std::mem::take(&mut doubts), owners, terms).await?;
            counts = counts.and(settled);
        }
    }
    Ok(counts.and(settle(doubts, owners, terms).await?))
}

/// Rows of nodes that do not own the shard, whose owners are equal. None: the owner lacked one of them at its cut, so that its
/// own count is not all there is.
pub(super) async fn foreign(
    shard: u32,
    owner: &Side,
    others: &[&Side],
    terms: &Terms<'_>,
) -> Result<Option<u64>, Problem> {
    let mut walk = Walk::start(shard, others, terms.caller).await?;
    let mut rows = 0;
    let mut ids = Vec::new();
    loop {
        let step = walk.step().await?;
        if let Some((id, holders)) = &step {
            rows += holders.len() as u64;
            ids.push(Bytes::copy_from_slice(id));
        }
        if step.is_none() || ids.len() == GET_IDS_MAX {
            let wanted = ids.len();
            let held = held(owner, std::mem::take(&mut ids), terms.caller).await;
            let held = held.map_err(|status| broken(owner, &status))?;
            let before = held.iter().filter(|held| held.sequence <= owner.cut);
            if before.count() < wanted {
                return Ok(None);
            }
        }
        if step.is_none() {
            return Ok(Some(rows));
        }
    }
}

/// Looks doubtful ids up again, for as long as there is patience; what is still lacking then is missing.
async fn settle(
    mut doubts: Vec<Doubt>,
    owners: &[&Side],
    terms: &Terms<'_>,
) -> Result<Counts, Problem> {
    loop {
        for (place, owner) in owners.iter().enumerate() {
            look_up(&mut doubts, place, owner, terms.caller)
                .await
                .map_err(|status| broken(owner, &status))?;
        }
        let open = doubts.iter().any(|doubt| !doubt.lacking.is_empty());
        if !open || !terms.pause().await {
            break;
        }
    }
    let mut counts = Counts::default();
    for doubt in doubts {
        counts.under_replicated += u64::from(doubt.copies < terms.needed);
        if let Some(owner) = doubt.lacking.first().and_then(|place| owners.get(*place)) {
            counts.missing += 1;
            let id = RecordId::from_bytes(doubt.id);
            let missing = (id, Name::clone(owner.node()));
            counts.first_missing.get_or_insert(missing);
        }
    }
    Ok(counts)
}

async fn look_up(
    doubts: &mut [Doubt],
    place: usize,
    owner: &Side,
    caller: &Caller,
) -> Result<(), Status> {
    let lacking = doubts.iter().filter(|doubt| doubt.lacking.contains(&place));
    let ids = lacking.map(|doubt| Bytes::copy_from_slice(&doubt.id));
    let ids: Vec<Bytes> = ids.collect();
    let held = held(owner, ids, caller).await?;
    let found: BTreeSet<Bytes> = held.into_iter().map(|held| held.id).collect();
    for doubt in doubts.iter_mut() {
        if found.contains(&doubt.id[..]) && doubt.lacking.remove(&place) {
            doubt.copies += 1;
        }
    }
    Ok(())
}

/// What a node holds of these, without the records themselves.
async fn held(
    side: &Side,
    ids: Vec<Bytes>,
    caller: &Caller,
) -> Result<Vec<v1::HeldRecord>, Status> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let request = v1::GetRequest {
        ids,
        provenance_only: true,
    };
    let reply = side.store.get(request, caller, LOOK_UP_MAX).await?;
    Ok(reply.records)
}

fn broken(side: &Side, status: &Status) -> Problem {
    Problem::unavailable(
        "comparison_broken",
        format!(
            "{} broke the comparison off: {}",
            side.node(),
            status.message()
        ),
        "ask again; GET /cluster/members shows who is there",
    )
    .with("node", &**side.node())
}

/// The ids of several nodes as one ascending list.
pub(super) struct Walk<'a> {
    lists: Vec<List<'a>>,
}

impl<'a> Walk<'a> {
    /// From the first id on.
    pub(super) async fn start(
        shard: u32,
        sides: &[&'a Side],
        caller: &'a Caller,
    ) -> Result<Walk<'a>, Problem> {
        let lists = sides.iter().map(|side| List::new(side, shard, caller));
        let mut walk = Walk {
            lists: lists.collect(),
        };
        walk.fill().await?;
        Ok(walk)
    }

    /// The next id, and the places of the nodes that have it.
    pub(super) async fn step(&mut self) -> Result<Option<([u8; 32], BTreeSet<usize>)>, Problem> {
        let Some(id) = self.lists.iter().filter_map(List::head).min() else {
            return Ok(None);
        };
        let mut holders = BTreeSet::new();
        for (place, list) in self.lists.iter_mut().enumerate() {
            if list.head() == Some(id) {
                holders.insert(place);
                list.pass();
            }
        }
        self.fill().await?;
        Ok(Some((id, holders)))
    }

    /// Gets the next page of every node whose page is used up.
    async fn fill(&mut self) -> Result<(), Problem> {
        for list in &mut self.lists {
            let filled = list.fill().await;
            filled.map_err(|status| broken(list.side, &status))?;
        }
        Ok(())
    }
}

/// The ids of one node in order, a page at a time.
struct List<'a> {
    side: &'a Side,
    shard: u32,
    caller: &'a Caller,
    page: Bytes,
    after: Bytes,
    more: bool,
}

impl<'a> List<'a> {
    fn new(side: &'a Side, shard: u32, caller: &'a Caller) -> List<'a> {
        // A cut at 0 means that nothing was stored yet; the store would take it for "no cut".
        let more = side.cut > 0;
        List {
            side,
            shard,
            caller,
            page: Bytes::new(),
            after: Bytes::new(),
            more,
        }
    }

    fn head(&self) -> Option<[u8; 32]> {
        self.page.first_chunk().copied()
    }

    fn pass(&mut self) {
        if self.page.len() >= 32 {
            self.after = self.page.slice(..32);
            self.page.advance(32);
        }
    }

    /// Gets the next page when this one is used up.
    async fn fill(&mut self) -> Result<(), Status> {
        while self.page.is_empty() && self.more {
            let request = v1::ListIdsRequest {
                shard: self.shard,
                max_sequence: self.side.cut,
                after: self.after.clone(),
                limit: LIST_IDS_MAX,
            };
            let reply = self
                .side
                .store
                .list_ids(request, self.caller, PAGE_MAX)
                .await?;
            let (ids, rest) = reply.ids.as_chunks::<32>();
            let ascending = ids.is_sorted_by(|a, b| a < b)
                && ids
                    .first()
                    .is_none_or(|first| self.after.is_empty() || first[..] > self.after[..]);
            if !rest.is_empty() || !ascending || (reply.more && ids.is_empty()) {
                return Err(Status::data_loss("it lists ids in no order"));
            }
            self.page = reply.ids.clone();
            self.more = reply.more;
        }
        Ok(())
    }
}
