//! Rows that do not belong here: given up once all who own them have confirmed theirs, or, when this node leaves for good, handed
//! over whole.
//!
//! Stand-ins and former owners hold rows of shards that others own. Those bring them home by their own sessions; what is done here
//! is to ask every owner of the current view which of them it vouches for, and to delete exactly what all of them do
//! (`shard::homecoming` has the rules, and the store looks at them again in its transaction). A node that leaves deletes nothing:
//! once every row is confirmed it says that it departs, and what is on its disk counts for nobody any more.

mod leaving;
mod offer;
mod owners;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proto::follow::Views;
use proto::view::ClusterView;
use shard::homecoming::{Kept, VIEW_AGE_MAX_MS};
use sidecar::clock::boot_ms;
use sidecar::grpc::Channel;
use tokio::time::Instant;

use crate::error::SessionError;
use crate::home::{Home, HomeState};
use crate::metrics;
use crate::peers::Peers;
use crate::report::is_leaving;
use crate::stores::Asked;
use crate::worker::Shared;
use leaving::Sweep;
use offer::Offered;
use owners::Owners;

/// A shard of which an owner still lacks something is looked at again after this, doubled while nothing changes. Owners confirm
/// what they have held for some seconds.
const RETRY_FIRST: Duration = Duration::from_secs(2);

/// Longest such pause.
const RETRY_LONGEST: Duration = Duration::from_secs(8);

/// A page is followed by a pause of this many times its own length: bringing rows home takes at most a fifth of the time of the
/// stores that it asks.
const PAUSE_PER_PAGE: u32 = 4;

/// Longest pause between pages.
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// How long an owner may lack rows before they are also sent to it: until then it is about to fetch them itself.
const LACKING_MAX: Duration = Duration::from_secs(20);

/// What a round cannot go on without.
enum Stop {
    /// The view changed, is too old, or is not there yet: the next round looks again.
    View,
    /// The own store keeps the rows, and why.
    Kept(String),
    /// The own store, or membership.
    Own(SessionError),
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Stop {
        Stop::Own(error)
    }
}

/// A shard that is held and not owned.
#[derive(Debug)]
struct Foreign {
    /// Since when, boot milliseconds.
    since: u64,
    /// The owners are not asked about it before this moment.
    next: Instant,
    pause: Duration,
    /// Why it is still here although its hold time is over.
    waiting_for: Option<String>,
}

/// The worker.
pub struct Homecoming {
    shared: Arc<Shared>,
    peers: Peers,
    views: Views,
    membership: Channel,
    hold: Duration,
    home: Arc<Home>,
    owners: Owners,
    foreign: BTreeMap<u32, Foreign>,
    /// Since when each owner has lacked something.
    lacking: BTreeMap<String, Instant>,
    sweep: Option<Sweep>,
    complained: bool,
}

impl Homecoming {
    /// Over the node's own store, and the stores of those who own what it holds.
    pub fn new(
        shared: Arc<Shared>,
        peers: Peers,
        views: Views,
        membership: Channel,
        hold: Duration,
    ) -> Homecoming {
        Homecoming {
            home: Arc::clone(&shared.home),
            shared,
            peers,
            views,
            membership,
            hold,
            owners: Owners::default(),
            foreign: BTreeMap::new(),
            lacking: BTreeMap::new(),
            sweep: None,
            complained: false,
        }
    }

    /// Looks after foreign rows until it is dropped. What was given up is durable; the rest is found again.
    pub async fn run(mut self) {
        loop {
            match self.round().await {
                Ok(()) => self.complained = false,
                Err(Stop::View) => self.home.rest(None),
                Err(Stop::Kept(why)) => self.home.rest(Some(why)),
                Err(Stop::Own(error)) => self.complain(&error),
            }
            tokio::time::sleep(self.shared.interval).await;
        }
    }

    fn complain(&mut self, error: &SessionError) {
        self.home.rest(Some(error.to_string()));
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(%error, "foreign rows cannot be looked after");
        }
    }

    async fn round(&mut self) -> Result<(), Stop> {
        let view = self.view()?;
        let own = self.own_store(&view)?;
        if self.home.is_paused() && !is_leaving(&view) {
            self.home.rest(None);
            return Ok(());
        }
        let (counts, wanted) = held(&own, &view).await?;
        if is_leaving(&view) {
            metrics::foreign(counts.values().sum());
            return self.hand_over(&view, &own, &counts).await;
        }
        self.sweep = None;
        self.look(&view, counts);
        let due = self.due();
        if !due.is_empty() {
            // The store judges by what it was told last; it must be this view.
            self.tell().await?;
        }
        for shard in due {
            match wanted.contains(&shard) {
                true => self.postpone(shard, false, Some(Kept::Wanted.to_string())),
                false => self.bring_home(&own, shard).await?,
            }
        }
        self.home.rest(self.waiting_for());
        Ok(())
    }

    /// Why rows are still here although their hold time is over: the reason of the first shard that has one.
    fn waiting_for(&self) -> Option<String> {
        let mut held = self.home.foreign().into_keys();
        held.find_map(|shard| self.foreign.get(&shard)?.waiting_for.clone())
    }

    /// The view, when it is of a cluster and young.
    fn view(&self) -> Result<Arc<ClusterView>, Stop> {
        let view = self.views.borrow().clone().ok_or(Stop::View)?;
        let age = boot_ms().saturating_sub(view.shown_at_boot_ms());
        match view.cluster_id() {
            Some(_) if age <= VIEW_AGE_MAX_MS => Ok(view),
            _ => Err(Stop::View),
        }
    }

    fn own_store(&self, view: &ClusterView) -> Result<Asked, Stop> {
        let cluster = view.cluster_id().ok_or(Stop::View)?;
        Asked::own(self.shared.local.clone(), cluster).ok_or(Stop::View)
    }

    /// Tells the store which view this is.
    async fn tell(&self) -> Result<(), Stop> {
        let told = self.shared.reporter.report(Vec::new()).await;
        told.map_err(|status| {
            Stop::Own(SessionError::Call {
                call: "ReportProofs",
                side: crate::error::Side::Local,
                status: Box::new(status),
            })
        })
    }

    /// Notes which shards are held and not owned, and since when.
    fn look(&mut self, view: &ClusterView, counts: BTreeMap<u32, u64>) {
        let global = shard::global_shard(view.num_shards());
        let is_foreign =
            |shard: &u32| *shard != global && !view.placement().owns(view.node(), *shard);
        let held: BTreeMap<u32, u64> = counts
            .into_iter()
            .filter(|(shard, _)| is_foreign(shard))
            .collect();
        // A shard without rows keeps its time: a stand-in is one from the first row on.
        self.foreign.retain(|shard, _| is_foreign(shard));
        for shard in (0..global).filter(is_foreign) {
            self.foreign.entry(shard).or_insert_with(|| Foreign {
                since: boot_ms(),
                next: Instant::now(),
                pause: RETRY_FIRST,
                waiting_for: None,
            });
        }
        let records: u64 = held.values().sum();
        metrics::foreign(records);
        self.home.update(|home| home.foreign = held);
    }

    /// Shards with rows whose hold time is over, and whose pause is.
    fn due(&self) -> Vec<u32> {
        let (now, instant) = (boot_ms(), Instant::now());
        let hold = millis(self.hold);
        let held = self.home.foreign();
        let is_due = |shard: &u32| {
            self.foreign.get(shard).is_some_and(|foreign| {
                now.saturating_sub(foreign.since) >= hold && instant >= foreign.next
            })
        };
        held.into_keys().filter(is_due).collect()
    }

    /// Offers all rows of one shard, and gives up what every owner confirms.
    async fn bring_home(&mut self, own: &Asked, shard: u32) -> Result<(), Stop> {
        let (mut after, mut left, mut released) = (None, 0, 0);
        loop {
            let began = Instant::now();
            let (ids, more) = own.ids(shard, after, proto::CONFIRM_IDS_MAX).await?;
            after = ids.last().copied();
            if ids.is_empty() {
                break;
            }
            let view = self.view()?;
            if view.placement().owns(view.node(), shard) || self.home.is_paused() {
                return Err(Stop::View);
            }
            let needed = view.copies_needed();
            self.home.update(|home| {
                home.state = HomeState::Confirming;
                home.shard = Some(shard);
            });
            let Offered {
                asked_at,
                confirmed,
            } = match self.offer(&view, shard, &ids, needed).await {
                Ok(offered) => offered,
                Err(why) => {
                    self.postpone(shard, false, Some(why));
                    return Ok(());
                }
            };
            left += ids.len() - confirmed.len();
            match self.give_up(&view, shard, &confirmed, asked_at).await {
                Ok(gone) => released += gone,
                Err(Stop::Kept(why)) => {
                    self.postpone(shard, released > 0, Some(why));
                    return Ok(());
                }
                Err(stop) => return Err(stop),
            }
            if !more {
                break;
            }
            let pause = (began.elapsed() * PAUSE_PER_PAGE).min(PAUSE_LONGEST);
            tokio::time::sleep(pause).await;
        }
        let why = (left > 0)
            .then(|| format!("{left} rows of shard {shard} that not every owner confirms yet"));
        self.postpone(shard, released > 0, why);
        Ok(())
    }

    fn postpone(&mut self, shard: u32, moved: bool, waiting_for: Option<String>) {
        if let Some(foreign) = self.foreign.get_mut(&shard) {
            foreign.waiting_for = waiting_for;
            let pause = match moved {
                true => RETRY_FIRST,
                false => foreign.pause,
            };
            foreign.next = Instant::now() + pause;
            foreign.pause = (pause * 2).min(RETRY_LONGEST);
        }
    }
}

/// Shards with rows here, and how many; and shards of which the store wants what all others have, so that it gives nothing up.
async fn held(
    own: &Asked,
    view: &ClusterView,
) -> Result<(BTreeMap<u32, u64>, BTreeSet<u32>), Stop> {
    let shards: Vec<u32> = (0..=shard::global_shard(view.num_shards())).collect();
    let compared = own.roots(&shards).await?;
    let counts = shards.into_iter().zip(compared.counts);
    let counts = counts.filter(|(_, count)| *count > 0).collect();
    Ok((counts, compared.lacking.into_iter().collect()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
