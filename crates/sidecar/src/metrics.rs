//! Prometheus metrics of one process, over HTTP on loopback. The gateway merges those of its node.

mod adopted;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics::{SetRecorderError, Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;

use crate::shutdown::Shutdown;
use adopted::Adopting;

pub use adopted::Adopted;
pub use metrics_exporter_prometheus::{BuildError, PrometheusHandle};

/// Seconds, from a fast fsync to a lost one.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often histograms are folded and the process is measured.
const UPKEEP: Duration = Duration::from_secs(5);

/// Content type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Installs the recorder of this process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    install_adopting("", &[])
}

/// The same for a process with a library that counts for itself: of its series, which all begin with `prefix`, those that
/// are named here are shown under our names, and the rest is not.
pub fn install_adopting(
    prefix: &'static str,
    adopted: &'static [Adopted],
) -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(Adopting::new(recorder, prefix, adopted))
        .map_err(|twice| SetRecorderError(twice.into_inner().into_inner()))?;
    describe_process();
    Ok(handle)
}

/// Serves `GET /metrics` until the shutdown.
pub async fn serve(
    handle: PrometheusHandle,
    listener: TcpListener,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    serve_with(handle, String::new, listener, shutdown).await
}

/// The same with more exposition text in each scrape, for series that end: the recorder keeps every series it has seen.
pub async fn serve_with(
    handle: PrometheusHandle,
    extra: impl Fn() -> String + Send + Sync + 'static,
    listener: TcpListener,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let upkeep = handle.clone();
    let extra = Arc::new(extra);
    let render = move || {
        let handle = handle.clone();
        let extra = Arc::clone(&extra);
        async move {
            measure_process();
            let mut text = handle.render();
            text.push_str(&extra());
            ([(CONTENT_TYPE, TEXT_FORMAT)], text)
        }
    };
    let ended = shutdown.clone();
    let server = axum::serve(listener, Router::new().route("/metrics", get(render)))
        .with_graceful_shutdown(async move { ended.cancelled().await });
    let upkeep = async {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    };
    tokio::select! {
        ended = server => ended,
        () = upkeep => Ok(()),
        () = shutdown.cancelled() => Ok(()),
    }
}

fn describe_process() {
    describe_gauge!(
        "process_resident_memory_bytes",
        Unit::Bytes,
        "Resident memory of the process."
    );
    describe_gauge!(
        "process_cpu_seconds",
        Unit::Seconds,
        "Processor time used by the process."
    );
    describe_gauge!(
        "process_open_fds",
        Unit::Count,
        "Open file descriptors of the process."
    );
    describe_gauge!("process_threads", Unit::Count, "Threads of the process.");
}

/// Reads /proc; what cannot be read is left as it was.
#[allow(clippy::cast_precision_loss, reason = "gauges are f64")]
fn measure_process() {
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        if let Some(kibibytes) = field("VmRSS:") {
            gauge!("process_resident_memory_bytes").set(kibibytes * 1024.0);
        }
        if let Some(threads) = field("Threads:") {
            gauge!("process_threads").set(threads);
        }
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    gauge!("process_cpu_seconds").set(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
}
