//! The byte rate of repair: one bucket for all sessions of the node.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may move in one go after a quiet time, as time at the full rate.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket as a value: the caller brings the time and does the waiting.
#[derive(Debug)]
struct Bucket {
    bytes_per_s: f64,
    /// When everything taken so far is paid for, in seconds of the caller's clock.
    paid_until: f64,
}

impl Bucket {
    /// Takes the bytes and says how long to wait first.
    fn take(&mut self, now: f64, bytes: usize) -> Duration {
        let start = self.paid_until.max(now - BURST.as_secs_f64());
        self.paid_until = start + bytes as f64 / self.bytes_per_s;
        Duration::try_from_secs_f64(self.paid_until - now).unwrap_or(Duration::ZERO)
    }
}

/// The limit that all sessions share. It can be changed while they run.
#[derive(Debug)]
pub struct Rate(Mutex<Option<Bucket>>);

impl Rate {
    /// 0: no limit.
    pub fn new(bytes_per_s: u64) -> Rate {
        Rate(Mutex::new(bucket(bytes_per_s)))
    }

    /// From now on; 0: no limit. Who waits already waits on.
    pub fn set(&self, bytes_per_s: u64) {
        *self.lock() = bucket(bytes_per_s);
    }

    /// The limit; 0: none.
    pub fn bytes_per_s(&self) -> u64 {
        self.lock()
            .as_ref()
            .map_or(0, |bucket| bucket.bytes_per_s as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this many more bytes may move.
    pub async fn take(&self, bytes: usize) {
        let now = sidecar::clock::boot_ms() as f64 / 1_000.0;
        let wait = match &mut *self.lock() {
            Some(bucket) => bucket.take(now, bytes),
            None => return,
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

fn bucket(bytes_per_s: u64) -> Option<Bucket> {
    (bytes_per_s > 0).then_some(Bucket {
        bytes_per_s: bytes_per_s as f64,
        paid_until: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket {
            bytes_per_s: 1_000.0,
            paid_until: 0.0,
        };
        assert_eq!(bucket.take(100.0, 1_000), Duration::ZERO);
        assert_eq!(bucket.take(100.0, 500), Duration::from_millis(500));
        assert_eq!(bucket.take(100.0, 500), Duration::from_secs(1));
        assert_eq!(bucket.take(101.0, 0), Duration::ZERO);
    }

    #[test]
    fn the_limit_can_be_changed() {
        let rate = Rate::new(0);
        assert_eq!(rate.bytes_per_s(), 0);
        rate.set(5_000_000);
        assert_eq!(rate.bytes_per_s(), 5_000_000);
        rate.set(0);
        assert_eq!(rate.bytes_per_s(), 0);
    }

    #[test]
    fn ten_seconds_move_ten_seconds_worth_of_bytes() {
        let mut bucket = Bucket {
            bytes_per_s: 1_000.0,
            paid_until: 0.0,
        };
        let mut now = 100.0;
        let mut moved = 0;
        while now < 110.0 {
            now += bucket.take(now, 100).as_secs_f64();
            moved += 100;
        }
        assert!((10_000..=11_200).contains(&moved), "{moved}");
    }
}
