//! Where this process began. Peers remember how far they saw the store come, and tell it when they ask again: one that began
//! behind that was put back to an older state together with its mark, as by a snapshot of the whole disk.

use proto::v1;
use tokio::sync::Notify;

use crate::error::CallError;

/// The beginning of one run of the store.
#[derive(Debug)]
pub struct Beginning {
    run: u64,
    store_id: [u8; 16],
    sequence: u64,
    fell_back: Notify,
}

impl Beginning {
    /// A run that begins behind this row.
    pub fn new(store_id: [u8; 16], sequence: u64) -> Beginning {
        Beginning {
            run: rand::random(),
            store_id,
            sequence,
            fell_back: Notify::new(),
        }
    }

    /// Tells runs apart.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Judges what a peer says it has seen of this store.
    ///
    /// # Errors
    /// When that was more than this run began with.
    pub fn check(&self, request: &v1::CompareRequest) -> Result<(), CallError> {
        let seen = request.seen_sequence;
        // What was seen in this run is no more than it has.
        let earlier = request.seen_store_id == self.store_id[..] && request.seen_run != self.run;
        if !earlier || seen <= self.sequence {
            return Ok(());
        }
        self.fell_back.notify_one();
        Err(CallError::FellBack {
            seen,
            began: self.sequence,
        })
    }

    /// Returns when a peer has seen more than this run began with.
    pub async fn fell_back(&self) {
        self.fell_back.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_in_an_earlier_run_must_be_there() {
        let beginning = Beginning::new([1; 16], 100);
        let told = |store: u8, run: u64, sequence: u64| {
            beginning.check(&v1::CompareRequest {
                seen_store_id: bytes::Bytes::copy_from_slice(&[store; 16]),
                seen_run: run,
                seen_sequence: sequence,
                ..v1::CompareRequest::default()
            })
        };
        let other = beginning.run().wrapping_add(1);
        assert!(told(1, other, 100).is_ok());
        assert!(told(1, beginning.run(), 101).is_ok(), "seen since");
        assert!(told(2, other, 101).is_ok(), "another store's");
        assert!(beginning.check(&v1::CompareRequest::default()).is_ok());
        let why = told(1, other, 101).unwrap_err();
        assert!(
            matches!(
                why,
                CallError::FellBack {
                    seen: 101,
                    began: 100
                }
            ),
            "{why}"
        );
    }
}
