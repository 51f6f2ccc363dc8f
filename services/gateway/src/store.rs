//! A store as the gateway calls it: its own over loopback, the others over the network.

use std::time::Duration;

use proto::v1;
use proto::v1::store_client::StoreClient;
use sidecar::grpc::Channel;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::caller::{API_KEY_HEADER, Caller};
use crate::route::Name;

/// Stable code of a store without room: it reads, and cannot take writes.
const DISK_FULL: &str = "disk_full";

/// A connection to the store of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    node: Name,
    client: StoreClient<Channel>,
    cluster_id: MetadataValue<Ascii>,
    node_header: MetadataValue<Ascii>,
}

impl Store {
    /// The store of a node behind a channel. `None` when a name cannot be sent as metadata.
    pub fn new(node: Name, channel: Channel, cluster_id: &str) -> Option<Store> {
        let client = StoreClient::new(channel)
            .max_decoding_message_size(proto::MESSAGE_MAX)
            .max_encoding_message_size(proto::MESSAGE_MAX);
        Some(Store {
            client,
            cluster_id: MetadataValue::try_from(cluster_id).ok()?,
            node_header: MetadataValue::try_from(&*node).ok()?,
            node,
        })
    }

    /// Whose it is.
    pub fn node(&self) -> &Name {
        &self.node
    }

    /// Dresses a message for this store.
    pub fn request<T>(&self, message: T, api_key: Option<&MetadataValue<Ascii>>) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(proto::CLUSTER_ID_HEADER, self.cluster_id.clone());
        metadata.insert(proto::NODE_HEADER, self.node_header.clone());
        if let Some(api_key) = api_key {
            metadata.insert(API_KEY_HEADER, api_key.clone());
        }
        request
    }

    /// The client itself, for calls that are driven elsewhere.
    pub fn client(&self) -> StoreClient<Channel> {
        self.client.clone()
    }

    /// Who it is and how it does.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn describe(
        &self,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::DescribeReply, Status> {
        let request = self.request(v1::DescribeRequest {}, caller.api_key.as_ref());
        within(limit, self.client().describe(request)).await
    }

    /// One query.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn query(
        &self,
        query: v1::QueryRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::QueryReply, Status> {
        let request = self.request(query, caller.api_key.as_ref());
        within(limit, self.client().query(request)).await
    }

    /// Records by id.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn get(
        &self,
        get: v1::GetRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::GetReply, Status> {
        let request = self.request(get, caller.api_key.as_ref());
        within(limit, self.client().get(request)).await
    }

    /// What it knows beside claims.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn context(
        &self,
        context: v1::ContextRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::ContextReply, Status> {
        let request = self.request(context, caller.api_key.as_ref());
        within(limit, self.client().context(request)).await
    }

    /// A page of subjects.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn list_subjects(
        &self,
        list: v1::ListSubjectsRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::ListSubjectsReply, Status> {
        let request = self.request(list, caller.api_key.as_ref());
        within(limit, self.client().list_subjects(request)).await
    }

    /// A page of a list.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn list(
        &self,
        list: v1::ListRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::ListReply, Status> {
        let request = self.request(list, caller.api_key.as_ref());
        within(limit, self.client().list(request)).await
    }

    /// Records in the order in which they were committed. `limit` is for the answer once there is something to say.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn follow(
        &self,
        follow: v1::FollowRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::FollowReply, Status> {
        let limit = limit + Duration::from_millis(follow.wait_ms.into());
        let request = self.request(follow, caller.api_key.as_ref());
        within(limit, self.client().follow(request)).await
    }

    /// Root digests and counts of shards.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn compare(
        &self,
        compare: v1::CompareRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::CompareReply, Status> {
        let request = self.request(compare, caller.api_key.as_ref());
        within(limit, self.client().compare(request)).await
    }

    /// How its search for damage stands.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn scrub(
        &self,
        scrub: v1::ScrubRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::ScrubReply, Status> {
        let request = self.request(scrub, caller.api_key.as_ref());
        within(limit, self.client().scrub(request)).await
    }

    /// Ids of a shard in order.
    ///
    /// # Errors
    /// As the store answers, or DEADLINE_EXCEEDED.
    pub async fn list_ids(
        &self,
        list: v1::ListIdsRequest,
        caller: &Caller,
        limit: Duration,
    ) -> Result<v1::ListIdsReply, Status> {
        let request = self.request(list, caller.api_key.as_ref());
        within(limit, self.client().list_ids(request)).await
    }
}

/// A call with an end: a store that hangs is as good as one that is away.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(reply) => reply.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} ms",
            limit.as_millis()
        ))),
    }
}

/// What a failed call says of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused, reset, or the connection is lost: nobody is there.
    Gone,
    /// No answer in time.
    Silent,
    /// It answers, and has more to do than it can: later.
    Overloaded,
    /// It answers, and cannot take this now: no room, not serving, another node or cluster.
    CannotTake,
    /// It answers, and finds fault with the call itself.
    Refused,
}

impl Fault {
    /// Reads a status. One that the transport made has a source; one that a store sent has none.
    pub fn of(status: &Status) -> Fault {
        if std::error::Error::source(status).is_some() {
            return Fault::Gone;
        }
        if code(status) == Some(DISK_FULL) {
            return Fault::CannotTake;
        }
        match status.code() {
            Code::DeadlineExceeded => Fault::Silent,
            Code::ResourceExhausted => Fault::Overloaded,
            Code::InvalidArgument | Code::OutOfRange => Fault::Refused,
            _ => Fault::CannotTake,
        }
    }
}

/// The stable code beside a status.
pub fn code(status: &Status) -> Option<&str> {
    status.metadata().get(proto::CODE_HEADER)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_no_overload() {
        let mut full = Status::resource_exhausted("47 MiB are free, 256 are needed");
        assert_eq!(Fault::of(&full), Fault::Overloaded);
        let value = MetadataValue::from_static(DISK_FULL);
        full.metadata_mut().insert(proto::CODE_HEADER, value);
        assert_eq!(Fault::of(&full), Fault::CannotTake);
        let unknown = Status::unknown("fsync failed");
        assert_eq!(Fault::of(&unknown), Fault::CannotTake);
        assert_eq!(Fault::of(&Status::out_of_range("")), Fault::Refused);
    }

    #[tokio::test]
    async fn a_refused_connection_is_somebody_gone_and_a_hung_call_is_silence() {
        // Port 1 of loopback: nothing listens there.
        let channel = sidecar::grpc::channel("127.0.0.1:1").unwrap();
        let store = Store::new("node2".into(), channel, "c").unwrap();
        let status = store
            .describe(&Caller::default(), Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(Fault::of(&status), Fault::Gone, "{status:?}");
        let hung = std::future::pending::<Result<Response<()>, Status>>();
        let status = within(Duration::from_millis(1), hung).await.unwrap_err();
        assert_eq!(Fault::of(&status), Fault::Silent);
    }
}
