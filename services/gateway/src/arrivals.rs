//! Bodies on their way in, which take no place of requests in hand.
//!
//! A client decides how fast its body comes, so whoever sends slowly on purpose would hold whatever it holds meanwhile. Bodies
//! therefore have places of their own. When all are taken, the one that has been coming for longest gives way to the next:
//! many slow senders end each other, and a body that comes at once always finds a place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::problem::Problem;

/// Bodies that are coming. Most are there with their head; a large one takes a second.
pub const ARRIVALS_MAX: usize = 256;

/// Bytes of all bodies that are held, from their first byte until their request is answered.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// A body that has been coming for less is not slow: the next one is turned away instead.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places.
#[derive(Debug)]
pub struct Arrivals {
    coming: Mutex<Coming>,
    bytes: Arc<Semaphore>,
    places: usize,
}

#[derive(Debug, Default)]
struct Coming {
    next: u64,
    /// In the order in which they began.
    bodies: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// A place. Dropped when the body is there, or given up.
#[derive(Debug)]
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    number: u64,
    overtaken: Arc<Notify>,
}

/// Memory for a body. Dropped when its request is answered.
#[derive(Debug)]
pub struct Memory(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Default for Arrivals {
    fn default() -> Arrivals {
        Arrivals::new(ARRIVALS_MAX, BYTES_MAX)
    }
}

impl Arrivals {
    fn new(places: usize, bytes: usize) -> Arrivals {
        Arrivals {
            coming: Mutex::default(),
            bytes: Arc::new(Semaphore::new(bytes)),
            places,
        }
    }

    /// A place for a body that begins to come.
    ///
    /// # Errors
    /// 503 `overloaded` when all are taken and none of them is slow.
    pub fn enter(self: &Arc<Self>) -> Result<Arrival, Problem> {
        let mut coming = self.coming();
        if coming.bodies.len() >= self.places && !coming.overtake() {
            return Err(Problem::overloaded("too many bodies are coming at a time"));
        }
        let number = coming.next;
        coming.next += 1;
        let overtaken = Arc::new(Notify::new());
        let place = (Instant::now(), Arc::clone(&overtaken));
        coming.bodies.insert(number, place);
        Ok(Arrival {
            arrivals: Arc::clone(self),
            number,
            overtaken,
        })
    }

    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coming {
    /// Ends the body that has been coming for longest, if that is long.
    fn overtake(&mut self) -> bool {
        let Some(oldest) = self.bodies.first_entry() else {
            return false;
        };
        let (since, overtaken) = oldest.get();
        if since.elapsed() < PATIENCE {
            return false;
        }
        overtaken.notify_one();
        oldest.remove();
        true
    }
}

impl Arrival {
    /// Resolves when another body needs the place.
    pub async fn overtaken(&self) {
        self.overtaken.notified().await;
    }

    /// Memory for so many bytes of this body.
    ///
    /// # Errors
    /// 503 `overloaded` when other bodies fill it; the next one may find room that a slow one leaves.
    pub fn hold(&self, bytes: usize) -> Result<Memory, Problem> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.arrivals.bytes).try_acquire_many_owned(wanted);
        memory.map(Memory).map_err(|_| {
            self.arrivals.coming().overtake();
            Problem::overloaded("other requests' bodies fill the memory for them")
        })
    }
}

impl Memory {
    /// As one with what was held before.
    pub fn merge(&mut self, more: Memory) {
        self.0.merge(more.0);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.coming().bodies.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_gives_way_and_nobody_else() {
        let arrivals = Arc::new(Arrivals::new(2, 100));
        let first = arrivals.enter().unwrap();
        tokio::time::advance(PATIENCE / 2).await;
        let second = arrivals.enter().unwrap();
        let refused = arrivals.enter().unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.retry_after),
            (503, Some(1))
        );
        assert!(first.overtaken().now_or_never().is_none());
        tokio::time::advance(PATIENCE / 2).await;
        let third = arrivals.enter().unwrap();
        first.overtaken().now_or_never().unwrap();
        assert!(second.overtaken().now_or_never().is_none());
        assert!(
            arrivals.enter().is_err(),
            "the second began half a moment ago"
        );
        drop(first);
        assert!(arrivals.enter().is_err(), "its place was taken before");
        drop(third);
        assert!(arrivals.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_comes_back() {
        let arrivals = Arc::new(Arrivals::new(9, 100));
        let slow = arrivals.enter().unwrap();
        let mut held = slow.hold(60).unwrap();
        held.merge(slow.hold(10).unwrap());
        tokio::time::advance(PATIENCE).await;
        let next = arrivals.enter().unwrap();
        assert_eq!(next.hold(31).unwrap_err().code, "overloaded");
        slow.overtaken().now_or_never().unwrap();
        drop(held);
        assert!(next.hold(100).is_ok());
    }
}
