//! Series that a library counts, shown under our names: its own say neither unit nor service, and nobody describes them.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// What the library calls a series, and what we call it.
pub type Adopted = (&'static str, &'static str);

/// A recorder that takes a library's series under other names, or not at all.
pub(super) struct Adopting<R> {
    inner: R,
    prefix: &'static str,
    adopted: &'static [Adopted],
}

impl<R> Adopting<R> {
    /// With an empty prefix and no names, every series stays as it is.
    pub(super) fn new(inner: R, prefix: &'static str, adopted: &'static [Adopted]) -> Adopting<R> {
        Adopting {
            inner,
            prefix,
            adopted,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// The key to record under; `None`: not at all.
    fn key(&self, key: &Key) -> Option<Key> {
        if self.prefix.is_empty() || !key.name().starts_with(self.prefix) {
            return Some(key.clone());
        }
        let (_, ours) = self
            .adopted
            .iter()
            .find(|(theirs, _)| *theirs == key.name())?;
        Some(Key::from_parts(
            *ours,
            key.labels().cloned().collect::<Vec<_>>(),
        ))
    }
}

impl<R: Recorder> Recorder for Adopting<R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.key(key).map_or_else(Counter::noop, |key| {
            self.inner.register_counter(&key, metadata)
        })
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.key(key)
            .map_or_else(Gauge::noop, |key| self.inner.register_gauge(&key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.key(key).map_or_else(Histogram::noop, |key| {
            self.inner.register_histogram(&key, metadata)
        })
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, histogram, with_local_recorder};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn a_librarys_series_are_renamed_or_dropped_and_ours_stay() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let adopting = Adopting::new(
            recorder,
            "library.",
            &[("library.sent", "ours_sent_bytes_total")],
        );
        with_local_recorder(&adopting, || {
            counter!("library.sent", "peer" => "a").increment(7);
            histogram!("library.gossip").record(3.0);
            counter!("ours_total").increment(1);
        });
        let text = handle.render();
        assert!(
            text.contains("ours_sent_bytes_total{peer=\"a\"} 7"),
            "{text}"
        );
        assert!(
            text.contains("ours_total 1") && !text.contains("library"),
            "{text}"
        );
    }
}
