//! How it stands with rows that do not belong here, as everybody but the worker sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::v1;

/// What the worker is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HomeState {
    /// There is nothing to do, or not yet.
    #[default]
    Idle,
    /// Asking owners.
    Confirming,
    /// Deleting what they confirmed.
    Releasing,
    /// For an owner, or for rows that not all have.
    Waiting,
    /// This node leaves: owners are asked about everything.
    HandingOver,
    /// Everything is confirmed; membership spreads that this node has left.
    Departing,
}

impl HomeState {
    /// The word for it on the wire.
    pub fn name(self) -> &'static str {
        match self {
            HomeState::Idle => "idle",
            HomeState::Confirming => "confirming",
            HomeState::Releasing => "releasing",
            HomeState::Waiting => "waiting",
            HomeState::HandingOver => "handing_over",
            HomeState::Departing => "departing",
        }
    }
}

/// What is known of it.
#[derive(Debug, Default)]
pub struct HomeStanding {
    /// What the worker is doing.
    pub state: HomeState,
    /// The shard it is at.
    pub shard: Option<u32>,
    /// Rows by shard that are not this node's; of a node that leaves, those that are not confirmed.
    pub foreign: BTreeMap<u32, u64>,
    /// Rows given up since this process started.
    pub released: u64,
    /// What it waits for, for people.
    pub waiting_for: String,
}

/// Shared by the worker and those who look.
#[derive(Debug, Default)]
pub struct Home {
    standing: Mutex<HomeStanding>,
    paused: AtomicBool,
}

impl Home {
    fn standing(&self) -> MutexGuard<'_, HomeStanding> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the standing. The lock is never held across an await.
    pub fn update(&self, change: impl FnOnce(&mut HomeStanding)) {
        change(&mut self.standing());
    }

    /// Nothing is done right now: what is waited for, if anything is.
    pub fn rest(&self, waiting_for: Option<String>) {
        self.update(|home| {
            home.state = match waiting_for {
                Some(_) => HomeState::Waiting,
                None => HomeState::Idle,
            };
            home.waiting_for = waiting_for.unwrap_or_default();
        });
    }

    /// Rows by shard.
    pub fn foreign(&self) -> BTreeMap<u32, u64> {
        self.standing().foreign.clone()
    }

    /// Nothing is moved or given up until it is resumed; sessions compare and prove. A node that leaves goes on confirming.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// As a message.
    pub fn status(&self) -> v1::HomecomingStatus {
        let standing = self.standing();
        v1::HomecomingStatus {
            state: standing.state.name().to_owned(),
            foreign_records: standing.foreign.values().sum(),
            foreign_shards: standing.foreign.len() as u64,
            released_records: standing.released,
            waiting_for: standing.waiting_for.clone(),
        }
    }
}
