//! One signal that everything listens to.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Asked once, heard everywhere. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// One that only [`Shutdown::trigger`] sets off.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// One that SIGTERM and SIGINT set off.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        let shutdown = Shutdown::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = trigger.cancelled() => {}
            }
            trigger.trigger();
        });
        Ok(shutdown)
    }

    /// Begins the shutdown.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Waits for its beginning.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Whether it has begun.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// The token itself, for what takes one.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}
