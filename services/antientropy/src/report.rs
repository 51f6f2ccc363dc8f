//! What repair knows, told to the local store: after every session, and every second so that the store can tell a quiet
//! cluster from a dead repair service.

use std::time::Duration;

use proto::follow::Views;
use proto::v1;
use proto::v1::store_control_client::StoreControlClient;
use proto::view::ClusterView;
use sidecar::grpc::Channel;
use tokio::time::MissedTickBehavior;
use tonic::Status;

/// The store counts a report older than 10 s as none; one a second survives nine lost ones.
const REPEAT: Duration = Duration::from_secs(1);

/// What a report changes for good is on the store's disk before it answers, and a slow disk may take a while: given up sooner, it would
/// be written all the same, and again for the next one.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Speaks to the local store's control service.
#[derive(Debug, Clone)]
pub struct Reporter {
    client: StoreControlClient<Channel>,
    views: Views,
}

impl Reporter {
    /// Reports to the store behind the channel what the views say.
    pub fn new(local: Channel, views: Views) -> Reporter {
        Reporter {
            client: StoreControlClient::new(local),
            views,
        }
    }

    /// Sends one report. Proofs that do not arrive are not kept: the store may be another one by the time it answers
    /// again, and the next session brings new ones.
    ///
    /// # Errors
    /// The store's refusal, or that it did not answer.
    pub async fn report(&self, proofs: Vec<v1::PeerProof>) -> Result<(), Status> {
        let Some(view) = self.views.borrow().clone() else {
            return Ok(());
        };
        let Some(request) = message(&view, proofs) else {
            return Ok(());
        };
        let mut client = self.client.clone();
        tokio::time::timeout(CALL_MAX, client.report_proofs(request))
            .await
            .map_err(|_| Status::deadline_exceeded("the local store did not answer"))?
            .map(|_| ())
    }

    /// Reports for ever.
    pub async fn repeat(self) {
        let mut ticks = tokio::time::interval(REPEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        loop {
            ticks.tick().await;
            match self.report(Vec::new()).await {
                Ok(()) => complained = false,
                Err(status) if !complained => {
                    complained = true;
                    tracing::warn!(
                        why = status.message(),
                        "the local store does not take reports"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// The report of a view; `None` while the cluster is not formed: a node that knows nobody yet must not conclude that there
/// is nobody, for its store would take that for proof from everyone.
fn message(view: &ClusterView, proofs: Vec<v1::PeerProof>) -> Option<v1::ReportProofsRequest> {
    view.cluster_id()?;
    let owned = view.placement().owned_by(view.node());
    Some(v1::ReportProofsRequest {
        known: view.known_names().into_iter().collect(),
        replication_factor: view.least_replication_factor(),
        counted_replication_factor: view.counted_replication_factor(),
        owned: proto::convert::shard_ranges(&owned),
        proofs,
        node: view.node().to_owned(),
        // Another process has this node's name: nothing may be confirmed or given up in it here.
        view_shown_at_boot_ms: match view.message().superseded {
            true => 0,
            false => view.shown_at_boot_ms(),
        },
        view_incarnation: view.message().incarnation,
        view_version: view.message().version,
        leaving: is_leaving(view),
    })
}

/// Whether this node is on its way out for good.
pub fn is_leaving(view: &ClusterView) -> bool {
    let phase = view.member(view.node()).map(v1::Member::phase);
    matches!(phase, Some(v1::Phase::Leaving | v1::Phase::Left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(cluster_id: &str) -> ClusterView {
        let member = |name: &str, status: v1::Status| v1::Member {
            name: name.into(),
            status: status.into(),
            ..v1::Member::default()
        };
        let view = v1::View {
            node: "node1".into(),
            cluster_id: cluster_id.into(),
            num_shards: 4,
            replication_factor: 3,
            least_replication_factor: 2,
            members: vec![
                member("node1", v1::Status::Up),
                member("node2", v1::Status::Down),
                member("node3", v1::Status::Left),
            ],
            placement: vec!["node1".into()],
            ..v1::View::default()
        };
        ClusterView::new(view, None)
    }

    #[test]
    fn a_report_names_the_known_members_and_the_owned_shards() {
        let report = message(&view("c1"), Vec::new()).unwrap();
        assert_eq!(report.known, ["node1", "node2"]);
        assert_eq!(report.node, "node1");
        let owned: Vec<(u32, u32)> = report
            .owned
            .iter()
            .map(|run| (run.first, run.last))
            .collect();
        // Four shards and the global one.
        assert_eq!(owned, [(0, 4)]);
    }

    #[test]
    fn nothing_is_reported_before_the_cluster_is_formed() {
        assert!(message(&view(""), Vec::new()).is_none());
    }
}
