//! The stores that a feed is read from: one call to each at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use proto::v1;
use proto::view::ClusterView;
use sidecar::clock::unix_ms;
use tonic::Status;

use super::token::{StoreId, Token};
use crate::caller::Caller;
use crate::lane::Lane;
use crate::nodes::Nodes;
use crate::problem::Problem;
use crate::read::{CALL_MAX, no_store_answers};
use crate::route::{Name, Route};
use crate::store::Fault;

/// Records on a page of one store. Fewer: more calls for who reads from the start; more: what a reader that hangs holds.
const PAGE_RECORDS: u32 = 256;
const _: () = assert!(PAGE_RECORDS <= proto::PAGE_MAX);

/// How long a store may keep a call when it has nothing new. Longer: fewer calls for nothing.
const WAIT_MS: u32 = 5_000;
const _: () = assert!(WAIT_MS <= proto::FOLLOW_WAIT_MAX_MS);

/// The same on the way to an end: rows that a filter passes over are told with the answer, so a long wait behind the last of them
/// would hold up the end. Shorter: more calls where a store is slow to come to where it was; longer: a later end.
const WAIT_MS_TO_END: u32 = 20;

/// How long a store may take to say who it is. The reply's headers wait for it when the feed begins.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Until a store that failed is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a feed begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// Behind everything that is there.
    Now,
    /// Behind what the token has.
    Token(Token),
}

/// A page of one store.
#[derive(Debug)]
pub(super) struct Page {
    /// The store.
    pub(super) store: StoreId,
    /// What it sent.
    pub(super) reply: v1::FollowReply,
    lane: Arc<Lane>,
}

/// What a call brought.
type Said = (Arc<Lane>, What);

enum What {
    Who(Result<v1::DescribeReply, Status>),
    Page(StoreId, Result<v1::FollowReply, Status>),
}

/// One node.
struct Source {
    /// Another lane is another place: what the old one still brings is not for us.
    lane: Arc<Lane>,
    store: Option<StoreId>,
}

/// All of them, and how far each was read.
pub(super) struct Sources {
    nodes: Arc<Nodes>,
    caller: Caller,
    filter: v1::FollowRequest,
    sources: BTreeMap<Name, Source>,
    calls: FuturesUnordered<BoxFuture<'static, Said>>,
    heads: BTreeMap<StoreId, u64>,
    /// The feed ends where the stores were when it began.
    until_now: bool,
    /// How far the feed is. Moved on by who shows the pages, record by record.
    pub(super) token: Token,
}

impl Sources {
    /// Asks all stores who they are, and begins to read those that answer. The names of the known members that do not, or may have
    /// lost what they had, come second; they are read when they do.
    ///
    /// # Errors
    /// 503 when nobody answers; 422 when the token is one of another cluster.
    pub(super) async fn open(
        nodes: Arc<Nodes>,
        route: &Route,
        caller: Caller,
        from: From,
        filter: v1::FollowRequest,
        until_now: bool,
    ) -> Result<(Sources, BTreeSet<String>), Problem> {
        let filter = v1::FollowRequest {
            limit: PAGE_RECORDS,
            ..filter
        };
        let now = from == From::Now;
        let token = match from {
            From::Now => Token::from_now(unix_ms()),
            From::Token(token) => token,
        };
        let lanes = nodes.lanes();
        let asked = lanes
            .iter()
            .map(|lane| lane.store().describe(&caller, LOOK_MAX));
        let told = join_all(asked).await;
        let given = token.clone();
        let mut sources = Sources {
            nodes,
            caller,
            filter,
            sources: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            heads: BTreeMap::new(),
            until_now,
            token,
        };
        let mut missing = route.view().known_names();
        let mut ids = BTreeMap::new();
        for (lane, described) in lanes.into_iter().zip(told) {
            sources.add(&lane, None);
            if let Ok(described) = &described
                && let Some((store, head)) = head(described)
            {
                if !described.counts_as_absent {
                    missing.remove(&**lane.store().node());
                }
                ids.insert(Name::clone(lane.store().node()), store);
                sources.heads.insert(store, head);
                if now {
                    sources.token.advance(store, head);
                }
            }
            sources.take_who(&lane, described);
        }
        if sources.heads.is_empty() {
            return Err(no_store_answers());
        }
        if is_foreign(&given, route.view(), ids) {
            return Err(foreign_token());
        }
        Ok((sources, missing))
    }

    /// What each store that answered had when the feed began.
    pub(super) fn heads(&self) -> BTreeMap<StoreId, u64> {
        self.heads.clone()
    }

    /// The stores that are read.
    pub(super) fn live(&self) -> BTreeSet<StoreId> {
        self.sources
            .values()
            .filter_map(|source| source.store)
            .collect()
    }

    /// Follows the view: reads nodes that came or moved, and those that went no more.
    pub(super) fn follow_view(&mut self) {
        let lanes = self.nodes.lanes();
        self.sources
            .retain(|_, source| lanes.iter().any(|lane| Arc::ptr_eq(lane, &source.lane)));
        for lane in lanes {
            if !self.sources.contains_key(lane.store().node()) {
                self.add(&lane, Some(Duration::ZERO));
            }
        }
    }

    /// The next page. Its store is asked for the one behind it by [`Sources::go_on`].
    pub(super) async fn next(&mut self) -> Page {
        loop {
            let Some((lane, what)) = self.calls.next().await else {
                // Nobody is there; the view may bring somebody.
                std::future::pending::<()>().await;
                continue;
            };
            let current = self.sources.get(lane.store().node());
            if !current.is_some_and(|source| Arc::ptr_eq(&source.lane, &lane)) {
                continue;
            }
            match what {
                What::Who(described) => self.take_who(&lane, described),
                What::Page(store, Ok(reply)) => return Page { store, reply, lane },
                What::Page(_, Err(status)) => self.failed(&lane, &status),
            }
        }
    }

    /// The page was shown: asks for the next one.
    pub(super) fn go_on(&mut self, page: &Page) {
        self.ask(&page.lane, page.store);
    }

    fn add(&mut self, lane: &Arc<Lane>, look_after: Option<Duration>) {
        let source = Source {
            lane: Arc::clone(lane),
            store: None,
        };
        self.sources
            .insert(Name::clone(lane.store().node()), source);
        if let Some(pause) = look_after {
            self.look(lane, pause);
        }
    }

    fn take_who(&mut self, lane: &Arc<Lane>, described: Result<v1::DescribeReply, Status>) {
        match described {
            Ok(described) => match head(&described) {
                Some((store, head)) => {
                    if self.token.place(&store) > head {
                        // An older state of the store: what it has taken since nobody has seen.
                        tracing::warn!(node = %lane.store().node(), head, "a store is behind what was read of it; it is read anew");
                        self.token.forget(&store);
                    }
                    self.token.meet(store, head);
                    self.ask(lane, store);
                }
                None => self.look(lane, PAUSE),
            },
            Err(status) => self.failed(lane, &status),
        }
    }

    /// Whatever it was, the store may be another one by now.
    fn failed(&mut self, lane: &Arc<Lane>, status: &Status) {
        let node = lane.store().node();
        tracing::debug!(%node, %status, "a store is missing in a feed");
        if Fault::of(status) == Fault::Gone {
            lane.lost();
        }
        if let Some(source) = self.sources.get_mut(node) {
            source.store = None;
        }
        self.look(lane, PAUSE);
    }

    fn look(&self, lane: &Arc<Lane>, pause: Duration) {
        let (lane, caller) = (Arc::clone(lane), self.caller.clone());
        self.calls.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let described = lane.store().describe(&caller, LOOK_MAX).await;
            (lane, What::Who(described))
        }));
    }

    fn ask(&mut self, lane: &Arc<Lane>, store: StoreId) {
        if let Some(source) = self.sources.get_mut(lane.store().node()) {
            source.store = Some(store);
        }
        let mut ends = self.heads.get(&store).into_iter();
        let is_on_its_way = self.until_now && ends.any(|head| !self.token.covers(&store, *head));
        let request = v1::FollowRequest {
            store_id: bytes::Bytes::copy_from_slice(&store),
            after: self.token.place(&store),
            wait_ms: match is_on_its_way {
                true => WAIT_MS_TO_END,
                false => WAIT_MS,
            },
            ..self.filter.clone()
        };
        let (lane, caller) = (Arc::clone(lane), self.caller.clone());
        self.calls.push(Box::pin(async move {
            let reply = lane.store().follow(request, &caller, CALL_MAX).await;
            (lane, What::Page(store, reply))
        }));
    }
}

/// Whether a token names stores, and none of them is one of a known member. While a member's store is not known, it may be
/// that one.
fn is_foreign(token: &Token, view: &ClusterView, mut ids: BTreeMap<Name, StoreId>) -> bool {
    let answered: Vec<StoreId> = ids.values().copied().collect();
    for member in view.known() {
        if let Ok(store) = StoreId::try_from(&member.store_id[..]) {
            ids.insert(Name::from(member.name.as_str()), store);
        }
    }
    let all_known = view
        .known()
        .all(|member| ids.contains_key(member.name.as_str()));
    let mut ours = answered.iter().chain(ids.values());
    all_known && !token.is_empty() && !ours.any(|store| token.names(store))
}

fn foreign_token() -> Problem {
    Problem::unprocessable(
        "foreign_token",
        "the token names none of this cluster's stores: it is one of another cluster, or every store was replaced since",
        "go on at the cluster that gave the token, or begin here with from=start or from=now",
    )
    .at("from")
}

/// Who a store is, and its last row.
fn head(described: &v1::DescribeReply) -> Option<(StoreId, u64)> {
    let store = described.store_id[..].try_into().ok()?;
    Some((store, described.sequence))
}
