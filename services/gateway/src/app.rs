//! What the handlers of requests share.

use std::net::SocketAddr;
use std::sync::Arc;

use sidecar::grpc::Channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::arrivals::Arrivals;
use crate::nodes::Nodes;
use crate::problem::Problem;
use crate::read::Reader;
use crate::readiness::Readiness;
use crate::web::Web;
use crate::window::Window;
use crate::writer::Writer;

/// Reads in hand, and whatever else has no body; more are turned away at once.
const READS_MAX: usize = 512;

/// Writes in hand whose body is there. They have places of their own: when stores take writes slowly, reads go on.
const WRITES_MAX: usize = 512;

/// NDJSON streams in hand. Each holds a line and a window of records.
const STREAMS_MAX: usize = 128;

/// Readers of the feed (protocol, section 5). Each has a call at every store all the time, and a store has room for
/// those of a few gateways.
const FEEDS_MAX: usize = 64;
const _: () = assert!(2 * FEEDS_MAX <= proto::FOLLOW_CALLS_MAX);

/// Walks over all ids of the cluster at a time.
const VERIFICATIONS_MAX: usize = 1;

/// Everything a handler may need.
#[derive(Debug)]
pub struct App {
    /// The stores.
    pub nodes: Arc<Nodes>,
    /// Whether this node is ready.
    pub readiness: Arc<Readiness>,
    /// Takes records to stores.
    pub writer: Writer,
    /// Asks stores.
    pub reader: Reader,
    /// The own membership.
    pub membership: Channel,
    /// The own antientropy.
    pub antientropy: Channel,
    /// Metrics listeners of this node, by service.
    pub scrapes: Vec<(&'static str, SocketAddr)>,
    /// Asks other listeners over HTTP.
    pub web: Web,
    /// Bounds of what runs at a time.
    pub places: Places,
}

/// Bounds of what runs at a time.
#[derive(Debug)]
pub struct Places {
    /// Reads.
    reads: Arc<Semaphore>,
    /// Writes.
    writes: Arc<Semaphore>,
    /// Bodies that are coming.
    pub arrivals: Arc<Arrivals>,
    /// NDJSON streams.
    pub streams: Arc<Semaphore>,
    /// Readers of the feed.
    pub feeds: Arc<Semaphore>,
    /// Records of streams.
    pub window: Arc<Window>,
    /// Comparisons of all nodes.
    pub verifications: Semaphore,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It asks.
    Read,
    /// It stores.
    Write,
}

impl Places {
    /// A place for a request that can be answered now.
    ///
    /// # Errors
    /// 503 `overloaded`.
    pub fn enter(&self, work: Work) -> Result<OwnedSemaphorePermit, Problem> {
        let places = match work {
            Work::Read => &self.reads,
            Work::Write => &self.writes,
        };
        let place = Arc::clone(places).try_acquire_owned();
        place.map_err(|_| Problem::overloaded("too many requests at a time"))
    }
}

impl Default for Places {
    fn default() -> Places {
        Places {
            reads: Arc::new(Semaphore::new(READS_MAX)),
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            arrivals: Arc::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            window: Arc::new(Window::default()),
            verifications: Semaphore::new(VERIFICATIONS_MAX),
        }
    }
}
