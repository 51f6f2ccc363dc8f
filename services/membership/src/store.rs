//! The node's own store, as far as membership asks it: who it is, whether it serves, and to bind itself to a cluster.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::store_client::StoreClient;
use proto::v1::store_control_client::StoreControlClient;
use sidecar::grpc::Channel;
use tokio::sync::{Notify, watch};
use tracing::Instrument as _;

use crate::metadata::ClusterId;
use crate::telling;

/// Between two questions while it answers.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two questions until it answers: a node that starts should be ready within a blink.
const POLL_INTERVAL_SILENT: Duration = Duration::from_millis(250);
/// A store that takes longer is as good as silent.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Adopting is one durable write; a slow disk may take a while.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(10);
/// One lost answer is no death.
const FAILURES_UNTIL_SILENT: u32 = 2;

/// Who a store is and how it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Made with the database.
    pub store_id: [u8; 16],
    /// The cluster it is bound to.
    pub cluster_id: Option<ClusterId>,
    /// Its number of shards.
    pub num_shards: u32,
    /// It takes writes and reads.
    pub serving: bool,
    /// A digest of the members that it was told of last (see [`crate::telling`]); none while it was told nothing.
    pub told: Option<u64>,
    /// Copies of whatever was acknowledged and may not be there; none while it was never told.
    pub counted: Option<u32>,
}

/// What is known of the store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does not answer, for people why.
    Silent(String),
    /// It answered this.
    Answers(Described),
}

/// Why a call led nowhere, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CallFailed(pub String);

/// The local store.
pub trait LocalStore: Send + Sync + 'static {
    /// Asks who it is.
    fn describe(&self) -> impl Future<Output = Result<Described, CallFailed>> + Send;

    /// Binds it to a cluster; durable when this returns, and fine to repeat.
    fn adopt(
        &self,
        cluster_id: ClusterId,
        num_shards: u32,
    ) -> impl Future<Output = Result<(), CallFailed>> + Send;

    /// Tells it that its copies count, and whether what it says does as well (see [`crate::telling::is_fresh`]); durable when this
    /// returns, and fine to repeat.
    fn admit(&self, fresh: bool) -> impl Future<Output = Result<(), CallFailed>> + Send;
}

/// The store over its loopback listener.
#[derive(Debug, Clone)]
pub struct GrpcStore {
    store: StoreClient<Channel>,
    control: StoreControlClient<Channel>,
}

impl GrpcStore {
    /// Over a lazily connecting channel.
    pub fn new(channel: Channel) -> GrpcStore {
        GrpcStore {
            store: StoreClient::new(channel.clone()),
            control: StoreControlClient::new(channel),
        }
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CallFailed> {
    match tokio::time::timeout(limit, call).await {
        Err(_) => Err(CallFailed(format!("no answer within {limit:?}"))),
        Ok(Err(status)) => Err(CallFailed(format!(
            "{:?}: {}",
            status.code(),
            status.message()
        ))),
        Ok(Ok(response)) => Ok(response.into_inner()),
    }
}

impl LocalStore for GrpcStore {
    async fn describe(&self) -> Result<Described, CallFailed> {
        let mut client = self.store.clone();
        let reply = within(CALL_TIMEOUT, client.describe(v1::DescribeRequest {})).await?;
        let store_id = <[u8; 16]>::try_from(reply.store_id.as_ref())
            .map_err(|_| CallFailed("it gave a store id that is not 16 bytes".into()))?;
        let cluster_id = match reply.cluster_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|fault| {
                CallFailed(format!("it is bound to cluster {text:?}: {fault}"))
            })?),
        };
        Ok(Described {
            store_id,
            cluster_id,
            num_shards: reply.num_shards,
            serving: reply.serving,
            told: (!reply.known.is_empty())
                .then(|| telling::digest(reply.known.iter().map(String::as_str))),
            counted: Some(reply.counted_replication_factor).filter(|copies| *copies > 0),
        })
    }

    async fn adopt(&self, cluster_id: ClusterId, num_shards: u32) -> Result<(), CallFailed> {
        let mut client = self.control.clone();
        let request = v1::AdoptClusterRequest {
            cluster_id: cluster_id.to_string(),
            num_shards,
        };
        within(ADOPT_TIMEOUT, client.adopt_cluster(request)).await?;
        Ok(())
    }

    async fn admit(&self, fresh: bool) -> Result<(), CallFailed> {
        let mut client = self.control.clone();
        let request = v1::AdmitRequest { fresh };
        within(ADOPT_TIMEOUT, client.admit(request)).await?;
        Ok(())
    }
}

/// Asks the store for ever; `again` asks at once.
pub async fn keep_asking<L: LocalStore>(
    store: Arc<L>,
    health: watch::Sender<Health>,
    again: Arc<Notify>,
) {
    let mut failures = 0;
    loop {
        let asked = store.describe().instrument(sidecar::trace::unrecorded());
        let silent = match asked.await {
            Ok(described) => {
                failures = 0;
                let now = Health::Answers(described);
                health.send_if_modified(|known| replace(known, now));
                false
            }
            Err(fault) => {
                failures += 1;
                let started = matches!(*health.borrow(), Health::Answers(_));
                if !started || failures >= FAILURES_UNTIL_SILENT {
                    let now = Health::Silent(fault.to_string());
                    health.send_if_modified(|known| replace(known, now));
                }
                true
            }
        };
        let pause = match silent {
            true => POLL_INTERVAL_SILENT,
            false => POLL_INTERVAL,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = again.notified() => {}
        }
    }
}

fn replace(known: &mut Health, now: Health) -> bool {
    let news = *known != now;
    *known = now;
    news
}

#[cfg(test)]
pub(crate) mod fake {
    use std::sync::Mutex;

    use super::{CallFailed, Described, LocalStore};
    use crate::metadata::ClusterId;

    /// A store that keeps its answer in a variable.
    pub(crate) struct FakeStore {
        pub(crate) answer: Mutex<Option<Described>>,
        pub(crate) adopted: Mutex<Vec<ClusterId>>,
        pub(crate) admitted: Mutex<Vec<bool>>,
    }

    impl FakeStore {
        pub(crate) fn new(id: u8) -> FakeStore {
            FakeStore {
                answer: Mutex::new(Some(Described {
                    store_id: [id; 16],
                    cluster_id: None,
                    num_shards: 256,
                    serving: false,
                    told: None,
                    counted: None,
                })),
                adopted: Mutex::default(),
                admitted: Mutex::default(),
            }
        }
    }

    impl LocalStore for FakeStore {
        async fn describe(&self) -> Result<Described, CallFailed> {
            let answer = self.answer.lock().unwrap().clone();
            answer.ok_or_else(|| CallFailed("it is not running".into()))
        }

        async fn adopt(&self, cluster_id: ClusterId, _: u32) -> Result<(), CallFailed> {
            let mut answer = self.answer.lock().unwrap();
            let described = answer
                .as_mut()
                .ok_or_else(|| CallFailed("it is not running".into()))?;
            match described.cluster_id {
                Some(bound) if bound != cluster_id => {
                    return Err(CallFailed(format!("bound to {bound}")));
                }
                _ => described.cluster_id = Some(cluster_id),
            }
            described.serving = true;
            self.adopted.lock().unwrap().push(cluster_id);
            Ok(())
        }

        async fn admit(&self, fresh: bool) -> Result<(), CallFailed> {
            self.admitted.lock().unwrap().push(fresh);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::FakeStore;
    use super::*;

    #[tokio::test]
    async fn one_lost_answer_is_no_death_and_two_are() {
        let store = Arc::new(FakeStore::new(1));
        let (sender, mut health) = watch::channel(Health::Silent("not asked yet".into()));
        let again = Arc::new(Notify::new());
        let asking = tokio::spawn(keep_asking(Arc::clone(&store), sender, again));
        health
            .wait_for(|now| matches!(now, Health::Answers(_)))
            .await
            .unwrap();
        let described = store.answer.lock().unwrap().take();
        let gone = tokio::time::Instant::now();
        health
            .wait_for(|now| matches!(now, Health::Silent(_)))
            .await
            .unwrap();
        let took = gone.elapsed();
        assert!(took >= POLL_INTERVAL_SILENT, "two questions: {took:?}");
        *store.answer.lock().unwrap() = described.clone();
        let back = health
            .wait_for(|now| matches!(now, Health::Answers(_)))
            .await
            .unwrap()
            .clone();
        assert_eq!(Some(back), described.map(Health::Answers));
        asking.abort();
    }
}
