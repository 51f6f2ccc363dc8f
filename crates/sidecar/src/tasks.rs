//! The tasks of a service. One that ends unasked ends the service: a dead part must not look like a quiet one.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

/// What a task said when it failed.
pub type Reason = Box<dyn std::error::Error + Send + Sync>;

/// A task ended that should not have.
#[derive(Debug, Error)]
pub enum TaskError {
    /// It returned an error.
    #[error("{name}: {reason}")]
    Failed {
        /// The task.
        name: &'static str,
        /// What it said.
        #[source]
        reason: Reason,
    },
    /// It returned although nobody had asked for the shutdown.
    #[error("{0} ended unasked")]
    Ended(&'static str),
    /// It panicked.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

/// Named tasks that live and die together.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<(&'static str, Result<(), Reason>)>,
    shutdown: Shutdown,
}

impl Tasks {
    /// None yet.
    pub fn new(shutdown: Shutdown) -> Tasks {
        Tasks {
            set: JoinSet::new(),
            shutdown,
        }
    }

    /// Starts one that can fail.
    pub fn spawn<E: Into<Reason>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.set
            .spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Starts one that cannot.
    pub fn spawn_infallible(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.set.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    /// Waits until the shutdown is asked for or a task ends, then gives the others `grace` to end. The first fault wins.
    pub async fn join(mut self, grace: Duration) -> Result<(), TaskError> {
        let mut first_fault = None;
        let shutdown = self.shutdown.clone();
        while first_fault.is_none() && !shutdown.is_cancelled() {
            let ended = tokio::select! {
                ended = self.set.join_next() => ended,
                () = shutdown.cancelled() => break,
            };
            match ended {
                Some(ended) => first_fault = judge(ended, shutdown.is_cancelled()).err(),
                None => break,
            }
        }
        shutdown.trigger();
        let rest = async {
            while let Some(ended) = self.set.join_next().await {
                if let Err(fault) = judge(ended, true) {
                    first_fault.get_or_insert(fault);
                }
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            tracing::warn!(?grace, "tasks did not end in time and are dropped");
        }
        first_fault.map_or(Ok(()), Err)
    }
}

type Ended = Result<(&'static str, Result<(), Reason>), tokio::task::JoinError>;

fn judge(ended: Ended, asked: bool) -> Result<(), TaskError> {
    match ended {
        Ok((_, Ok(()))) if asked => Ok(()),
        Ok((name, Ok(()))) => Err(TaskError::Ended(name)),
        Ok((name, Err(reason))) => Err(TaskError::Failed { name, reason }),
        Err(error) => Err(TaskError::Panicked(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_task_that_ends_unasked_ends_all() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let waits = shutdown.clone();
        tasks.spawn_infallible("waits", async move { waits.cancelled().await });
        tasks.spawn_infallible("ends", async {});
        assert!(matches!(
            tasks.join(GRACE).await,
            Err(TaskError::Ended("ends"))
        ));
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn tasks_that_end_when_asked_are_fine() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let waits = shutdown.clone();
        tasks.spawn("waits", async move {
            waits.cancelled().await;
            Ok::<(), String>(())
        });
        shutdown.trigger();
        assert!(tasks.join(GRACE).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_when_asked_is_dropped_after_the_grace() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn_infallible("stays", std::future::pending());
        shutdown.trigger();
        let joined = tokio::time::timeout(GRACE, tasks.join(Duration::from_millis(20)));
        assert!(joined.await.expect("dropped in time").is_ok());
    }

    #[tokio::test]
    async fn a_fault_is_named() {
        let mut tasks = Tasks::new(Shutdown::new());
        tasks.spawn("writer", async { Err("disk full") });
        let error = tasks.join(GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "writer: disk full");
    }
}
