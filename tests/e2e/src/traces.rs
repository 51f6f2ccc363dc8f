//! A receiver of OTLP traces.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Spans that are kept, the latest: an import makes thousands, and a test looks for those of a moment ago.
const KEPT_MAX: usize = 50_000;

/// A span as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Hex.
    pub trace_id: String,
    /// Hex.
    pub span_id: String,
    /// Hex; empty for a root.
    pub parent: String,
    /// Name.
    pub name: String,
    /// `service.name` of the process.
    pub service: String,
    /// `service.instance.id` of the process: the node.
    pub node: String,
    /// Its attributes that are texts.
    pub attributes: BTreeMap<String, String>,
}

/// What was received lately.
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Receiver {
    /// Starts a receiver on a thread of its own, so that it outlives the test that started it.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start() -> (Receiver, SocketAddr) {
        let receiver = Receiver::default();
        let service = TraceServiceServer::new(receiver.clone());
        let (sender, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("threads can be started");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port is free");
                let address = listener.local_addr().expect("a listener has an address");
                sender
                    .send(address)
                    .expect("somebody waits for the address");
                let incoming = TcpListenerStream::new(listener);
                tonic::transport::Server::builder()
                    .add_service(service)
                    .serve_with_incoming(incoming)
                    .await
                    .expect("the receiver serves for ever");
            });
        });
        let address = address.recv().expect("the receiver listens");
        (receiver, address)
    }

    /// Whether a span like this was received.
    pub fn any(&self, wanted: impl Fn(&Span) -> bool) -> bool {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().any(wanted)
    }

    /// The spans of one trace.
    pub fn of(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans
            .iter()
            .filter(|span| span.trace_id == trace_id)
            .cloned()
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = Vec::new();
        for resource in request.into_inner().resource_spans {
            let attributes = resource
                .resource
                .map(|resource| texts(&resource.attributes))
                .unwrap_or_default();
            let of = |key: &str| attributes.get(key).cloned().unwrap_or_default();
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                received.push(Span {
                    attributes: texts(&span.attributes),
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    service: of("service.name"),
                    node: of("service.instance.id"),
                });
            }
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let superfluous = (spans.len() + received.len()).saturating_sub(KEPT_MAX);
        let superfluous = superfluous.min(spans.len());
        spans.drain(..superfluous);
        spans.extend(received);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
