//! Clusters of the four real binaries for tests: started on free ports, killed and started again process by process, looked
//! at through HTTP alone, as a client or an operator would.
//!
//! Nothing in here waits for time to pass: conditions are polled with a deadline, and what was seen last is in the message
//! of a failure, with the tail of every log.

pub mod binaries;
pub mod claims;
pub mod cluster;
pub mod command;
pub mod contradictions;
pub mod http;
pub mod node;
pub mod place;
pub mod ports;
pub mod process;
pub mod scrape;
pub mod traces;

use std::time::{Duration, Instant};

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(50);

/// Polls until the condition holds; panics with what was seen last when it does not in time.
///
/// # Panics
/// When the deadline passes.
pub async fn eventually<T, F>(what: &str, deadline: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        let seen = match look().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            began.elapsed() < deadline,
            "{what}: not within {} s; seen last: {seen}",
            deadline.as_secs_f64()
        );
        tokio::time::sleep(POLL).await; // between polls
    }
}
