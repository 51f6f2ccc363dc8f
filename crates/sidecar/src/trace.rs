//! W3C trace contexts as plain values, for what travels neither in HTTP headers nor in gRPC metadata.

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Trace, span, and whether they are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context {
    /// 16 bytes.
    pub trace_id: [u8; 16],
    /// 8 bytes.
    pub span_id: [u8; 8],
    /// Recorded somewhere.
    pub sampled: bool,
}

impl Context {
    /// The trace id as 32 hex digits, as `X-Trace-Id` shows it.
    pub fn trace_hex(&self) -> String {
        TraceId::from_bytes(self.trace_id).to_string()
    }

    fn span_context(self) -> SpanContext {
        let flags = if self.sampled {
            TraceFlags::SAMPLED
        } else {
            TraceFlags::default()
        };
        SpanContext::new(
            TraceId::from_bytes(self.trace_id),
            SpanId::from_bytes(self.span_id),
            flags,
            true,
            TraceState::default(),
        )
    }
}

/// The context of the current span, if it is in a trace.
pub fn current() -> Option<Context> {
    of(&Span::current())
}

/// The context of a span, if it is in a trace.
pub fn of(span: &Span) -> Option<Context> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    span_context.is_valid().then(|| Context {
        trace_id: span_context.trace_id().to_bytes(),
        span_id: span_context.span_id().to_bytes(),
        sampled: span_context.is_sampled(),
    })
}

/// Makes a span that was not entered yet a child of a remote one.
pub fn set_parent(span: &Span, parent: Context) {
    let context = opentelemetry::Context::new().with_remote_span_context(parent.span_context());
    // Fails only without a telemetry layer, where there is no trace to belong to.
    let _ = span.set_parent(context);
}

/// Links a span to another trace.
pub fn link(span: &Span, other: Context) {
    span.add_link(other.span_context());
}

/// A span for what repeats for ever and interests nobody in a trace (polls, health checks). It and all that it calls, here
/// and in other processes, are not recorded.
pub fn unrecorded() -> Span {
    let span = tracing::info_span!(parent: None, "unrecorded");
    let parent = Context {
        trace_id: rand::random(),
        span_id: rand::random(),
        sampled: false,
    };
    set_parent(&span, parent);
    span
}
