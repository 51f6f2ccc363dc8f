//! Holds packets back: the kernel hands them over through NFQUEUE and lets each pass when it is told to. Where the kernel has
//! `netem` that would do; not every machine has it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use nfq::{Message, Queue, Verdict};

/// What the kernel keeps for us: 200 ms of a cluster's busiest second. What is above passes at once.
const PACKETS_MAX: u32 = 20_000;

/// Between two looks at the queue: also the precision of the delay.
const LOOK: Duration = Duration::from_millis(1);

/// Delays what reaches queue 0 of this network, for ever.
///
/// # Errors
/// When the kernel refuses.
pub fn run(by: Duration) -> std::io::Result<()> {
    let mut queue = Queue::open()?;
    queue.bind(0)?;
    queue.set_copy_range(0, 0)?;
    queue.set_queue_max_len(0, PACKETS_MAX)?;
    queue.set_fail_open(0, true)?;
    queue.set_nonblocking(true);
    // All wait equally long: in order of arrival is in order of leaving.
    let mut held: VecDeque<(Instant, Message)> = VecDeque::new();
    loop {
        match queue.recv() {
            Ok(message) => held.push_back((Instant::now() + by, message)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(LOOK); // between polls
            }
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        while held.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, mut message)) = held.pop_front() {
                message.set_verdict(Verdict::Accept);
                queue.verdict(message)?;
            }
        }
    }
}
