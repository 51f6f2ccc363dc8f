//! The cluster view of the own membership service, followed for ever. While membership is away the last view stands.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

use crate::v1;
use crate::v1::membership_client::MembershipClient;
use crate::view::ClusterView;

/// Membership repeats its view every 2 s: after three missed ones the stream is dead, whatever TCP says.
const SILENCE_MAX: Duration = Duration::from_secs(6);

/// Pause between two tries to watch; membership is on this machine, so a try costs nothing worth saving.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The latest view; `None` until membership answered once.
pub type Views = watch::Receiver<Option<Arc<ClusterView>>>;

/// Follows membership until the future is dropped.
pub async fn follow_view<C>(channel: C, views: watch::Sender<Option<Arc<ClusterView>>>)
where
    C: GrpcService<Body> + Clone,
    C::Error: Into<StdError>,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let mut complained = false;
    loop {
        let client = MembershipClient::new(channel.clone());
        let why = follow_once(client, &views, &mut complained).await;
        if !complained {
            tracing::warn!(why, "membership does not answer; the last view stands");
            complained = true;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// One stream, to its end. Says why it ended.
async fn follow_once<C>(
    mut client: MembershipClient<C>,
    views: &watch::Sender<Option<Arc<ClusterView>>>,
    complained: &mut bool,
) -> String
where
    C: GrpcService<Body>,
    C::Error: Into<StdError>,
    C::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <C::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    let opened = tokio::time::timeout(SILENCE_MAX, client.watch_view(v1::WatchViewRequest {}));
    let mut stream = match opened.await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return status.message().to_owned(),
        Err(_) => return "no answer".to_owned(),
    };
    loop {
        match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
            Ok(Ok(Some(view))) => {
                if std::mem::take(complained) {
                    tracing::info!("membership answers again");
                }
                publish(views, view);
            }
            Ok(Ok(None)) => return "the stream ended".to_owned(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) => return "no view for 6 s".to_owned(),
        }
    }
}

/// Hands a view on when it differs from the last one; the repeated ones wake nobody.
fn publish(views: &watch::Sender<Option<Arc<ClusterView>>>, view: v1::View) {
    views.send_if_modified(|current| {
        let again = |old: &Arc<ClusterView>| old.is_shown_again(view.clone());
        if current.as_ref().is_some_and(again) {
            return false;
        }
        let next = ClusterView::new(view, current.as_deref());
        *current = Some(Arc::new(next));
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(version: u64) -> v1::View {
        v1::View {
            version,
            node: "node1".into(),
            num_shards: 4,
            replication_factor: 2,
            placement: vec!["node1".into()],
            ..v1::View::default()
        }
    }

    #[test]
    fn a_repeated_view_wakes_nobody_and_a_new_one_does() {
        let (sender, mut receiver) = watch::channel(None);
        publish(&sender, view(1));
        assert!(receiver.has_changed().unwrap());
        receiver.mark_unchanged();
        let again = v1::View {
            shown_at_boot_ms: 77,
            ..view(1)
        };
        publish(&sender, again);
        assert!(!receiver.has_changed().unwrap());
        let shown_at = receiver
            .borrow()
            .as_ref()
            .map(|view| view.shown_at_boot_ms());
        assert_eq!(shown_at, Some(77));
        publish(&sender, view(2));
        assert!(receiver.has_changed().unwrap());
        let version = receiver
            .borrow()
            .as_ref()
            .map(|view: &Arc<ClusterView>| view.message().version);
        assert_eq!(version, Some(2));
    }
}
