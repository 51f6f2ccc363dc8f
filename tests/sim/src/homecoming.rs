//! Rows that do not belong where they are: owners confirm them, and they are given up; or handed over whole, by a node that leaves.

use std::collections::{BTreeMap, BTreeSet};

use shard::homecoming::{CONFIRMATION_AGE_MAX_MS, Kept, SETTLED_MS, Tenure, confirmed_by_all};

use crate::disk::Record;
use crate::network::Mail;
use crate::node::{Process, Timer, name};
use crate::plan::{Broken, FAULTS_UNTIL_MS, HOLD_MS, HOMECOMING_EVERY_MS, OFFER};
use crate::world::World;

/// Rows of one shard that its owners were asked about.
#[derive(Debug)]
pub(crate) struct Offer {
    shard: u32,
    records: Vec<Record>,
    owners: BTreeSet<usize>,
    needed: usize,
    /// Boot milliseconds.
    asked_at: u64,
    view: u64,
    store_life: u32,
    /// For a broken rule: what the store was told by then.
    tenure: Tenure,
    confirmed: BTreeMap<String, BTreeSet<Record>>,
}

impl World {
    /// Asks owners about what they own and this node holds.
    pub(crate) fn homecoming(&mut self, node: usize) {
        let every = self
            .random
            .between(HOMECOMING_EVERY_MS / 2, HOMECOMING_EVERY_MS * 3 / 2);
        self.later(node, every, Timer::Homecoming);
        if !self.nodes[node].disk.joined {
            return;
        }
        if self.nodes[node].disk.leaving && self.departs(node) {
            return;
        }
        let here = &self.nodes[node];
        let leaving = here.disk.leaving;
        let last = self.plan.num_shards + u32::from(leaving);
        let shards: Vec<u32> = (0..last)
            .filter(|shard| leaving || !here.placement.owns(&here.name, *shard))
            .filter(|shard| here.offers.values().all(|offer| offer.shard != *shard))
            .collect();
        for shard in shards {
            self.offer(node, shard);
        }
        // One that was not answered is asked again.
        let boot = self.nodes[node].boot(self.now);
        let patience = match self.broken {
            Broken::StaleConfirmations => 4 * CONFIRMATION_AGE_MAX_MS,
            _ => CONFIRMATION_AGE_MAX_MS,
        };
        self.nodes[node]
            .offers
            .retain(|_, offer| boot - offer.asked_at <= patience);
    }

    fn offer(&mut self, node: usize, shard: u32) {
        let here = &self.nodes[node];
        let tree = here.disk.tree(shard);
        let ids = tree.ids_after(None, tree.len()).into_iter();
        let records: Vec<Record> = ids
            .map(|id| Record { id, shard })
            .filter(|record| !here.handed.contains(record))
            .take(OFFER)
            .collect();
        let owners = self.owners(&here.placement, shard);
        let staying = |member: &&usize| !self.nodes[**member].disk.leaving;
        let known = match here.disk.leaving {
            true => here.disk.known.iter().filter(staying).count(),
            false => here.disk.known.len(),
        };
        let needed = known.min(self.most(node) as usize).max(1);
        if records.is_empty() || owners.len() < needed {
            return;
        }
        let id = self.fresh();
        let here = &self.nodes[node];
        let offer = Offer {
            shard,
            records: records.clone(),
            owners: owners.clone(),
            needed,
            asked_at: here.boot(self.now),
            view: here.viewed.1,
            store_life: here.store_life,
            tenure: here.tenure.clone(),
            confirmed: BTreeMap::new(),
        };
        self.nodes[node].offers.insert(id, offer);
        for owner in owners {
            let records = records.clone();
            self.send(node, owner, Mail::Confirm { offer: id, records });
        }
    }

    /// A store says what it vouches for.
    pub(crate) fn confirm(
        &mut self,
        store: usize,
        asking: usize,
        offer: u64,
        records: Vec<Record>,
    ) {
        let here = &self.nodes[store];
        let boot = here.boot(self.now);
        let settled = match self.broken {
            Broken::YoungRowsAreConfirmed => self.now,
            _ => self.now.saturating_sub(SETTLED_MS),
        };
        let vouches = |record: &Record| {
            let owner =
                here.tenure.confirms(boot, record.shard) || self.broken == Broken::AnybodyConfirms;
            let here_since = here.disk.arrived.get(&record.id);
            owner
                && here.disk.holds(record)
                && here_since.is_some_and(|at| (*at).max(here.store_began) <= settled)
        };
        let records = records.into_iter().filter(vouches).collect();
        if here.disk.joined {
            self.send(store, asking, Mail::Confirmed { offer, records });
        }
    }

    pub(crate) fn confirmed(&mut self, node: usize, owner: usize, id: u64, records: Vec<Record>) {
        // Mostly at once; now and then the process is held up.
        let told = self.nodes[node].held_up_ms;
        let pause = match self.random.between(0, 9) {
            _ if self.now > FAULTS_UNTIL_MS => 10,
            _ if self.story.is_some() => told.unwrap_or(10),
            0 => self.random.between(1, 20_000),
            1..=3 => self.random.between(1, 9_000),
            _ => self.random.between(1, 50),
        };
        let Some(offer) = self.nodes[node].offers.get_mut(&id) else {
            return;
        };
        let records = records.into_iter().collect();
        offer.confirmed.insert(name(owner), records);
        if offer.confirmed.len() == offer.owners.len() {
            self.later(node, pause, Timer::Release { offer: id });
        }
    }

    /// Gives up what all owners confirmed, if it still may.
    pub(crate) fn release(&mut self, node: usize, id: u64) -> Result<(), String> {
        let Some(offer) = self.nodes[node].offers.remove(&id) else {
            return Ok(());
        };
        let names: Vec<String> = offer.owners.iter().map(|owner| name(*owner)).collect();
        let owners = names.iter().map(String::as_str);
        let records = confirmed_by_all(&offer.records, owners, offer.needed, &offer.confirmed);
        let here = &mut self.nodes[node];
        if here.store_life != offer.store_life {
            return Ok(());
        }
        if here.disk.leaving {
            here.handed.extend(records);
            return Ok(());
        }
        if records.is_empty() || self.may_release(node, &offer).is_err() {
            return Ok(());
        }
        self.note(format!(
            "node{node} gives up {} rows of shard {}, confirmed by {names:?}",
            records.len(),
            offer.shard
        ));
        let boot = self.nodes[node].boot(self.now);
        let here = &mut self.nodes[node];
        for record in &records {
            here.disk.remove(record);
        }
        here.seen[offer.shard as usize] = 0;
        if self.broken != Broken::ProofsOutliveRows {
            here.ledger.release(boot, offer.shard);
            here.remembered
                .retain(|(_, shard), _| *shard != offer.shard);
            let sessions = here.sessions.values_mut();
            sessions.for_each(|session| session.forget(offer.shard));
        }
        self.oracle.summary.released += records.len();
        records
            .iter()
            .try_for_each(|record| self.check_given_up(node, record))
    }

    fn may_release(&self, node: usize, offer: &Offer) -> Result<(), Kept> {
        let here = &self.nodes[node];
        let (boot, shard) = (here.boot(self.now), offer.shard);
        let is_recent = boot - offer.asked_at <= CONFIRMATION_AGE_MAX_MS;
        if here.ledger.is_absent() || here.ledger.gathers() {
            return Err(Kept::Absent);
        }
        match self.broken {
            Broken::OldView if is_recent => {
                let then = offer.asked_at;
                return offer.tenure.may_release(then, shard, then, HOLD_MS);
            }
            Broken::NoHoldTime if is_recent => {
                let mut tenure = Tenure::new(self.plan.num_shards);
                let owned: Vec<u32> = here.placement.owned_by(&here.name);
                tenure.report(offer.asked_at, offer.asked_at, &owned);
                tenure.report(boot, here.viewed.0, &owned);
                return tenure.may_release(boot, shard, offer.asked_at, 0);
            }
            Broken::StaleConfirmations => {
                return here.tenure.may_release(boot, shard, boot, HOLD_MS);
            }
            _ => {}
        }
        if here.viewed.1 != offer.view {
            return Err(Kept::OldView);
        }
        here.tenure
            .may_release(boot, shard, offer.asked_at, HOLD_MS)
    }

    /// A node that leaves goes once all its rows are confirmed and somebody hears it.
    fn departs(&mut self, node: usize) -> bool {
        let here = &self.nodes[node];
        let all = (0..=self.plan.num_shards).all(|shard| {
            let tree = here.disk.tree(shard);
            let mut ids = tree.ids_after(None, tree.len()).into_iter();
            ids.all(|id| here.handed.contains(&Record { id, shard }))
        });
        let hears = |other: &usize| {
            *other != node
                && self.nodes[*other].process == Process::Up
                && self.network.connects(node, *other)
        };
        let heard: Vec<usize> = here.disk.known.iter().copied().filter(hears).collect();
        if !all || heard.is_empty() {
            return false;
        }
        self.note(format!("node{node} has left"));
        self.oracle.summary.left += 1;
        for other in heard {
            self.nodes[other].disk.strike(node);
        }
        let own = &mut self.nodes[node];
        own.disk.strike(node);
        own.stop();
        true
    }
}
