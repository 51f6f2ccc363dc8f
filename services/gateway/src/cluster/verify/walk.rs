//! One shard, id by id, over all nodes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use assertion::RecordId;
use bytes::{Buf as _, Bytes};
use proto::v1;
use tonic::Status;

use super::Side;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::route::Name;

/// Ids of one page: a mebibyte.
const PAGE_IDS: u32 = 32_768;

/// How long a page may take.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// Ids looked up at a time, the bound of Get.
const LOOK_UPS_AT_ONCE: usize = 1_000;

/// How long a look-up may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(2);

/// Time that all shards together give writes in flight to arrive everywhere: an id that one owner had at the cut and
/// another one not yet is no difference.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks for such ids.
const PAUSE: Duration = Duration::from_millis(200);

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
    patience: Duration,
}

impl<'a> Terms<'a> {
    /// `needed`: copies that every record shall have.
    pub(super) fn new(needed: usize, caller: &'a Caller) -> Terms<'a> {
        Terms {
            needed,
            caller,
            patience: PATIENCE,
        }
    }
}

/// Walks a shard and adds to the counts.
pub(super) async fn shard(
    shard: u32,
    owners: &[&Side],
    others: &[&Side],
    terms: &mut Terms<'_>,
    counts: &mut Counts,
) -> Result<(), Problem> {
    let mut lists = Vec::new();
    for side in owners.iter().chain(others) {
        let mut list = List::new(side, shard, terms.caller);
        list.fill().await.map_err(|status| broken(side, &status))?;
        lists.push(list);
    }
    let mut doubts = Vec::new();
    while let Some(id) = lists.iter().filter_map(List::head).min() {
        let mut lacking = BTreeSet::new();
        let mut copies = 0;
        for (place, list) in lists.iter_mut().enumerate() {
            if list.head() == Some(id) {
                copies += 1;
                counts.foreign += u64::from(place >= owners.len());
                list.pass();
                list.fill()
                    .await
                    .map_err(|status| broken(list.side, &status))?;
            } else if place < owners.len() {
                lacking.insert(place);
            }
        }
        counts.distinct += 1;
        if lacking.is_empty() {
            counts.under_replicated += u64::from(copies < terms.needed);
        } else {
            doubts.push(Doubt {
                id,
                copies,
                lacking,
            });
        }
        if doubts.len() == LOOK_UPS_AT_ONCE {
            settle(std::mem::take(&mut doubts), owners, terms, counts).await?;
        }
    }
    settle(doubts, owners, terms, counts).await
}

/// Looks doubtful ids up again, for as long as there is patience; what is still lacking then is missing.
async fn settle(
    mut doubts: Vec<Doubt>,
    owners: &[&Side],
    terms: &mut Terms<'_>,
    counts: &mut Counts,
) -> Result<(), Problem> {
    loop {
        for (place, owner) in owners.iter().enumerate() {
            look_up(&mut doubts, place, owner, terms.caller)
                .await
                .map_err(|status| broken(owner, &status))?;
        }
        let open = doubts.iter().any(|doubt| !doubt.lacking.is_empty());
        if !open || terms.patience < PAUSE {
            break;
        }
        terms.patience -= PAUSE;
        tokio::time::sleep(PAUSE).await;
    }
    for doubt in doubts {
        counts.under_replicated += u64::from(doubt.copies < terms.needed);
        if let Some(owner) = doubt.lacking.first().and_then(|place| owners.get(*place)) {
            counts.missing += 1;
            let id = RecordId::from_bytes(doubt.id);
            counts
                .first_missing
                .get_or_insert_with(|| (id, Name::clone(owner.node())));
        }
    }
    Ok(())
}

async fn look_up(
    doubts: &mut [Doubt],
    place: usize,
    owner: &Side,
    caller: &Caller,
) -> Result<(), Status> {
    let lacking = doubts.iter().filter(|doubt| doubt.lacking.contains(&place));
    let ids: Vec<Bytes> = lacking
        .map(|doubt| Bytes::copy_from_slice(&doubt.id))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let request = v1::GetRequest {
        ids,
        provenance_only: true,
    };
    let reply = owner.store.get(request, caller, LOOK_UP_MAX).await?;
    let found: BTreeSet<Bytes> = reply.records.into_iter().map(|held| held.id).collect();
    for doubt in doubts.iter_mut() {
        if found.contains(&doubt.id[..]) && doubt.lacking.remove(&place) {
            doubt.copies += 1;
        }
    }
    Ok(())
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
                limit: PAGE_IDS,
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
