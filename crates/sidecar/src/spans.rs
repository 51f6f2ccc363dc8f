//! The spans of requests: HTTP and gRPC servers, gRPC clients.
//!
//! They carry the few attributes of the semantic conventions that somebody searches for, and no header: every attribute of
//! every span costs each request, recorded or not, and headers hold keys.

use std::time::Duration;

use axum::extract::MatchedPath;
use http::{Request, Response};
use opentelemetry::global;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tonic::body::Body;
use tower::Layer as _;
use tower::util::{MapRequest, MapResponse};
use tower_http::classify::{
    GrpcEosErrorsAsFailures, GrpcErrorsAsFailures, GrpcFailureClass, ServerErrorsAsFailures,
    ServerErrorsFailureClass, SharedClassifier,
};
use tower_http::trace::{MakeSpan, OnFailure, OnResponse, ResponseBody, Trace, TraceLayer};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

type Layered<C, M, R> = TraceLayer<SharedClassifier<C>, M, (), R, (), (), Failed>;

/// The layer that puts HTTP requests into traces: takes `traceparent`, or begins a trace. The span ends with the body.
pub type HttpServer = Layered<ServerErrorsAsFailures, HttpSpan, StatusCode>;

/// The same for gRPC.
pub type GrpcServer = Layered<GrpcErrorsAsFailures, ServerSpan, ()>;

/// A gRPC client whose calls are spans, and take the trace along.
pub type GrpcClient<S> = MapResponse<
    Trace<
        MapRequest<S, fn(Request<Body>) -> Request<Body>>,
        SharedClassifier<GrpcErrorsAsFailures>,
        ClientSpan,
        (),
        (),
        (),
        (),
        Failed,
    >,
    fn(Response<TracedBody>) -> Response<Body>,
>;

/// A body that ends the span of its call.
type TracedBody = ResponseBody<Body, GrpcEosErrorsAsFailures, (), (), Failed>;

/// See [`HttpServer`].
pub fn http_server() -> HttpServer {
    layer(ServerErrorsAsFailures::new(), HttpSpan).on_response(StatusCode)
}

/// See [`GrpcServer`].
pub fn grpc_server() -> GrpcServer {
    layer(GrpcErrorsAsFailures::new(), ServerSpan).on_response(())
}

/// See [`GrpcClient`].
pub fn grpc_client<S>(service: S) -> GrpcClient<S> {
    let inject: fn(Request<Body>) -> Request<Body> = inject;
    let plain: fn(Response<TracedBody>) -> Response<Body> = |reply| reply.map(Body::new);
    let traced = layer(GrpcErrorsAsFailures::new(), ClientSpan).on_response(());
    MapResponse::new(traced.layer(MapRequest::new(service, inject)), plain)
}

fn layer<C, M>(
    classifier: C,
    spans: M,
) -> TraceLayer<SharedClassifier<C>, M, (), tower_http::trace::DefaultOnResponse, (), (), Failed>
where
    C: tower_http::classify::ClassifyResponse + Clone,
{
    TraceLayer::new(SharedClassifier::new(classifier))
        .make_span_with(spans)
        .on_request(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(Failed)
}

/// Makes the span of an HTTP request.
#[derive(Debug, Clone, Copy)]
pub struct HttpSpan;

impl<B> MakeSpan<B> for HttpSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("", MatchedPath::as_str);
        let method = request.method().as_str();
        let span = tracing::info_span!(
            "HTTP",
            "otel.kind" = "server",
            "otel.name" = format_args!("{method} {route}"),
            "otel.status_code" = Empty,
            "error.message" = Empty,
            "http.request.method" = method,
            "http.route" = route,
            "http.response.status_code" = Empty,
            "url.path" = request.uri().path(),
        );
        follow(&span, request);
        span
    }
}

/// Makes the span of a gRPC call that is answered.
#[derive(Debug, Clone, Copy)]
pub struct ServerSpan;

impl<B> MakeSpan<B> for ServerSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let span = rpc("server", request);
        follow(&span, request);
        span
    }
}

/// Makes the span of a gRPC call that is sent.
#[derive(Debug, Clone, Copy)]
pub struct ClientSpan;

impl<B> MakeSpan<B> for ClientSpan {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        rpc("client", request)
    }
}

fn rpc<B>(kind: &'static str, request: &Request<B>) -> Span {
    tracing::info_span!(
        "GRPC",
        "otel.kind" = kind,
        "otel.name" = request.uri().path().trim_start_matches('/'),
        "otel.status_code" = Empty,
        "error.message" = Empty,
        "rpc.system" = "grpc",
    )
}

/// Makes the span a child of the one that the request names.
fn follow<B>(span: &Span, request: &Request<B>) {
    let headers = HeaderExtractor(request.headers());
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    // Fails only without a telemetry layer, where there is no trace to belong to.
    let _ = span.set_parent(parent);
}

/// Names the current span in the request. Runs inside the span of the call.
fn inject<B>(mut request: Request<B>) -> Request<B> {
    let context = Span::current().context();
    let mut headers = HeaderInjector(request.headers_mut());
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut headers));
    request
}

/// Writes the status down.
#[derive(Debug, Clone, Copy)]
pub struct StatusCode;

impl<B> OnResponse<B> for StatusCode {
    fn on_response(self, response: &Response<B>, _: Duration, span: &Span) {
        span.record("http.response.status_code", response.status().as_u16());
    }
}

/// Writes the failure down.
#[derive(Debug, Clone, Copy)]
pub struct Failed;

impl OnFailure<ServerErrorsFailureClass> for Failed {
    fn on_failure(&mut self, class: ServerErrorsFailureClass, _: Duration, span: &Span) {
        failed(span, &class);
    }
}

impl OnFailure<GrpcFailureClass> for Failed {
    fn on_failure(&mut self, class: GrpcFailureClass, _: Duration, span: &Span) {
        failed(span, &class);
    }
}

fn failed(span: &Span, class: &dyn std::fmt::Display) {
    span.record("otel.status_code", "ERROR");
    span.record("error.message", tracing::field::display(class));
}
