//! What the handlers of requests share.

use std::net::SocketAddr;
use std::sync::Arc;

use sidecar::grpc::Channel;
use tokio::sync::Semaphore;

use crate::nodes::Nodes;
use crate::read::Reader;
use crate::readiness::Readiness;
use crate::web::Web;
use crate::window::Window;
use crate::writer::Writer;

/// Requests in hand; more are turned away at once. Each may hold a body of 8 MiB, but few are that long.
const REQUESTS_MAX: usize = 512;

/// NDJSON streams in hand. Each holds a line and a window of records.
const STREAMS_MAX: usize = 128;

/// Readers of the feed (protocol, section 5). Each has a call at every store all the time, and a store lets 256 wait.
const FEEDS_MAX: usize = 64;

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
    /// Requests.
    pub requests: Arc<Semaphore>,
    /// NDJSON streams.
    pub streams: Arc<Semaphore>,
    /// Readers of the feed.
    pub feeds: Arc<Semaphore>,
    /// Records of streams.
    pub window: Arc<Window>,
    /// Comparisons of all nodes.
    pub verifications: Semaphore,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            window: Arc::new(Window::default()),
            verifications: Semaphore::new(VERIFICATIONS_MAX),
        }
    }
}
