//! Logs and traces of one process.
//!
//! Logs go to stderr: text on a terminal, otherwise JSON lines with the trace id they belong to. Traces follow the standard
//! `OTEL_*` variables; without an endpoint nothing is exported and nothing is recorded, but ids are still made and passed on,
//! so that replies and logs can be matched.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::{Span as _, TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use thiserror::Error;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::Settings;

/// How long the last spans may take to leave at exit.
const FLUSH: Duration = Duration::from_secs(2);

/// Libraries that log every hostile packet or say in detail what nobody asked.
const QUIET: &str =
    "memberlist_core=off,memberlist=off,memberlist_net=off,h2=warn,hyper=warn,sqlx=warn";

/// Telemetry cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// `log.filter` is not a filter.
    #[error("log.filter / STEMEDB_LOG: {0}; use a level such as info, or target=level,…")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter refuses its settings.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Another subscriber is there already.
    #[error("telemetry was started twice")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry going; [`Guard::flush`] sends what is left.
#[derive(Debug)]
pub struct Guard(SdkTracerProvider);

impl Guard {
    /// Sends the last spans, for at most two seconds: a dead collector delays no exit.
    pub async fn flush(self) {
        let provider = self.0;
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH));
        // Late or failed, the process ends all the same.
        let _ = tokio::time::timeout(FLUSH, flushed).await;
    }
}

/// Starts logs and traces. Inside a tokio runtime.
pub fn init(service: &str, settings: &Settings) -> Result<Guard, TelemetryError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = provider(service, &settings.cluster.node_id)?;
    global::set_tracer_provider(provider.clone());
    // The trace layer has its own filter: quieting logs must not break traces apart.
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("stemedb"))
        .with_location(false)
        .with_threads(false)
        .with_filter(EnvFilter::try_new(
            "info,h2=off,hyper=off,opentelemetry=off",
        )?);
    // Lines carry their trace id. Spans would have to be written out for every request, in case that a line follows.
    let filter =
        EnvFilter::try_new(format!("{QUIET},{}", settings.log_filter))?.and(filter_fn(is_event));
    let text = match settings.log_format.as_str() {
        "auto" => std::io::stderr().is_terminal(),
        format => format == "text",
    };
    let registry = tracing_subscriber::registry().with(traces);
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Text that goes into a file is read by other programs.
        .with_ansi(std::io::stderr().is_terminal());
    if text {
        registry.with(logs.with_filter(filter)).try_init()?;
    } else {
        let json = logs
            .fmt_fields(JsonFields::new())
            .event_format(WithTrace(
                Format::default()
                    .json()
                    .flatten_event(true)
                    .with_span_list(false),
            ))
            .with_filter(filter);
        registry.with(json).try_init()?;
    }
    Ok(Guard(provider))
}

/// Whether an endpoint for traces is set.
pub fn exports() -> bool {
    [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn provider(service: &str, node: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(format!("stemedb-{service}"))
        .with_attributes([
            KeyValue::new("service.instance.id", node.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    if !exports() {
        let nothing = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        return Ok(builder.with_sampler(nothing).build());
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()?;
    Ok(builder
        .with_span_processor(NodeOnSpans(node.to_owned()))
        .with_batch_exporter(exporter)
        .build())
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// Writes the node on every span: not every tool that shows traces shows what is written on the resource.
#[derive(Debug)]
struct NodeOnSpans(String);

impl SpanProcessor for NodeOnSpans {
    fn on_start(&self, span: &mut Span, _: &Context) {
        span.set_attribute(KeyValue::new("stemedb.node", self.0.clone()));
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// JSON lines with the trace id in front, where there is one.
struct WithTrace(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTrace
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<Json>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Not the span of this layer: its filter may leave out what is in a trace all the same.
        let trace = tracing::dispatcher::get_default(|dispatch| {
            let current = dispatch.current_span();
            let context = tracing_opentelemetry::get_otel_context(current.id()?, dispatch)?;
            let span_context = context.span().span_context().clone();
            span_context.is_valid().then(|| span_context.trace_id())
        });
        let Some(trace) = trace else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{{\"trace_id\":\"{trace}\",{rest}"),
            None => writer.write_str(&line),
        }
    }
}
