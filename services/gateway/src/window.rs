//! How many records of streams are on their way at a time: as many as the stores settle quickly, not more.
//!
//! A stream always has more to send. Without a bound its records only wait longer in the stores' queues, everybody else's
//! single writes wait behind them, and a store with a long queue cannot be told from one that hangs. So the window grows
//! while batches come back fast and shrinks when they do not, as TCP's does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Where the window begins.
const START: usize = 512;

/// A batch must fit, whatever the stores are doing.
const LEAST: usize = 256;

/// Beyond this a commit of the stores does not get cheaper by getting larger.
const MOST: usize = 8_192;

/// Batches that take less leave room for more.
const FAST: Duration = Duration::from_millis(120);

/// Batches that take longer queue behind each other. Below the hedge, so that an import does not look like a failure.
const SLOW: Duration = Duration::from_millis(200);

/// Records that the window grows by with every fast batch.
const STEP: usize = 32;

/// The window of all streams of this gateway.
#[derive(Debug)]
pub struct Window {
    state: Mutex<State>,
    // Who waits for room, one at a time and in the order they came: while batches are slow there is room for one, and a batch
    // that others overtook would wait for ever.
    turn: tokio::sync::Mutex<()>,
    room: Notify,
}

#[derive(Debug)]
struct State {
    size: usize,
    used: usize,
    shrunk_at: Option<Instant>,
}

/// Records on their way. Dropped when they are settled.
#[derive(Debug)]
pub struct Part {
    window: Arc<Window>,
    records: usize,
    since: Instant,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            state: Mutex::new(State {
                size: START,
                used: 0,
                shrunk_at: None,
            }),
            turn: tokio::sync::Mutex::default(),
            room: Notify::new(),
        }
    }
}

impl Window {
    /// Waits for room, behind all that came before. A batch that is larger than the window goes alone.
    pub async fn enter(self: &Arc<Window>, records: usize) -> Part {
        let _turn = self.turn.lock().await;
        while !self.state().take(records) {
            // Somebody who left in between is remembered.
            self.room.notified().await;
        }
        Part {
            window: Arc::clone(self),
            records,
            since: Instant::now(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, records: usize) -> bool {
        let fits = self.used == 0 || self.used + records <= self.size;
        if fits {
            self.used += records;
        }
        fits
    }

    fn settled(&mut self, records: usize, took: Duration, now: Instant) {
        self.used -= records;
        if took <= FAST {
            self.size = (self.size + STEP).min(MOST);
        } else if took > SLOW {
            // Batches that were on the way together tell the same news: once is enough.
            let known = self
                .shrunk_at
                .is_some_and(|at| now.duration_since(at) < took);
            if !known {
                self.size = (self.size * 3 / 4).max(LEAST);
                self.shrunk_at = Some(now);
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.window.state();
        state.settled(self.records, self.since.elapsed(), Instant::now());
        drop(state);
        self.window.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            size: START,
            used: 0,
            shrunk_at: None,
        }
    }

    #[test]
    fn fast_batches_open_the_window_and_slow_ones_close_it() {
        let mut window = state();
        let now = Instant::now();
        for _ in 0..1_000 {
            assert!(window.take(256));
            window.settled(256, Duration::from_millis(20), now);
        }
        assert_eq!(window.size, MOST);
        let slow = Duration::from_millis(400);
        window.used = 1_024;
        for batch in 0..4 {
            window.settled(256, slow, now + Duration::from_millis(batch));
        }
        assert_eq!(
            window.size,
            MOST * 3 / 4,
            "one piece of news, told four times"
        );
        for second in 1..60 {
            window.used = 256;
            window.settled(256, slow, now + Duration::from_secs(second));
        }
        assert_eq!(window.size, LEAST);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_there_is() {
        let window = Arc::new(Window::default());
        let first = window.enter(300).await;
        let second = Arc::clone(&window);
        let second = tokio::spawn(async move { second.enter(300).await });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(window.state().used, 300);
        drop(second);
        assert!(window.state().take(100_000), "alone, however large");
    }

    #[tokio::test]
    async fn nobody_is_overtaken_while_it_waits_for_room() {
        let window = Arc::new(Window::default());
        let first = window.enter(300).await;
        let enter = |records| {
            let window = Arc::clone(&window);
            tokio::spawn(async move { window.enter(records).await })
        };
        // Together they fit into what is left of the window when the first was slow, as on a busy machine.
        let large = enter(250);
        tokio::task::yield_now().await;
        let small = enter(100);
        tokio::task::yield_now().await;
        assert!(!small.is_finished(), "there is room, but not its turn");
        drop(first);
        let large = large.await.unwrap();
        let small = small.await.unwrap();
        assert_eq!(window.state().used, 350);
        drop((large, small));
    }
}
