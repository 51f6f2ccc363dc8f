//! Readiness, as a latch that the gRPC health service shows.

use tonic::metadata::MetadataValue;
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus as WireStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{
    HealthCheckRequest,
    health_server::{Health, HealthServer},
};
use tonic_health::server::HealthReporter;
use tracing::Instrument as _;

/// The name under which a process says that it runs at all; the empty name says that it is ready.
pub const LIVE: &str = "live";

/// Whether this process is ready. Starts as not ready.
#[derive(Clone)]
pub struct Readiness(HealthReporter);

/// A latch and the gRPC service that shows it.
pub async fn readiness() -> (Readiness, HealthServer<impl Health>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    reporter
        .set_service_status(LIVE, ServingStatus::Serving)
        .await;
    (Readiness(reporter), service)
}

impl Readiness {
    /// Says so.
    pub async fn set(&self, ready: bool) {
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.0.set_service_status("", status).await;
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readiness")
    }
}

/// A trace that is not recorded: without it every health check from a process without telemetry would begin one.
const UNRECORDED: &str = "00-00000000000000000000000000000001-0000000000000001-00";

/// Asks a neighbour whether it is ready. `Err` says why not, for people.
pub async fn check(channel: crate::grpc::Channel) -> Result<(), String> {
    ask(channel, "").await
}

/// Asks a neighbour whether it runs at all, ready or not. `Err` says why not, for people.
pub async fn check_live(channel: crate::grpc::Channel) -> Result<(), String> {
    ask(channel, LIVE).await
}

async fn ask(channel: crate::grpc::Channel, name: &str) -> Result<(), String> {
    let mut request = tonic::Request::new(HealthCheckRequest {
        service: name.to_owned(),
    });
    request
        .metadata_mut()
        .insert("traceparent", MetadataValue::from_static(UNRECORDED));
    let reply = HealthClient::new(channel)
        .check(request)
        .instrument(crate::trace::unrecorded())
        .await
        .map_err(|status| format!("does not answer: {}", status.message()))?;
    match reply.into_inner().status() {
        WireStatus::Serving => Ok(()),
        _ => Err("is not ready yet".to_owned()),
    }
}
