//! Metrics of strategies and of the models in memory.
//!
//! At most as many strategies as the setting `server.named_strategies` says have series of their own: those that are
//! asked for first since the start. All others are counted together under `other`, so that a thousand strategies do not
//! make ten thousand series. A strategy keeps what it has for the life of the server.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lakeloop_decide::caps::CapKind;
use lakeloop_domain::{ModelVersion, StrategyName};
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{METADATA, Telemetry, key};

/// How the load of a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelLoad {
    /// It is in memory.
    Loaded,
    /// A request went on without it; the load may still end well.
    TimedOut,
    /// The lake could not be read, or the model cannot decide.
    Failed,
}

/// What is counted of one strategy.
struct StrategyMetrics {
    requests: Counter,
    model_version: Gauge,
}

/// Figures of all strategies and models.
pub(super) struct ModelMetrics {
    max_named: usize,
    named: Mutex<HashMap<StrategyName, StrategyMetrics>>,
    /// Strategies with series of their own for caps.
    capped: Mutex<HashSet<StrategyName>>,
    other_requests: Counter,
    in_memory: Gauge,
    memory_bytes: Gauge,
    loads: [Counter; 3],
    load_seconds: Histogram,
    evictions: Counter,
}

impl ModelMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder, max_named: usize) -> Self {
        describe(recorder);
        let gauge = |name: &'static str| recorder.register_gauge(&key(name, None), &METADATA);
        let counter = |name: &'static str, label| recorder.register_counter(&key(name, label), &METADATA);
        let load = |result| counter("lakeloop_model_loads_total", Some(("result", result)));
        Self {
            max_named,
            named: Mutex::default(),
            capped: Mutex::default(),
            other_requests: counter("lakeloop_strategy_requests_total", Some(("strategy", "other"))),
            in_memory: gauge("lakeloop_models_in_memory"),
            memory_bytes: gauge("lakeloop_model_memory_bytes"),
            loads: [load("loaded"), load("timed_out"), load("failed")],
            load_seconds: recorder.register_histogram(&key("lakeloop_model_load_seconds", None), &METADATA),
            evictions: counter("lakeloop_model_evictions_total", None),
        }
    }
}

impl Telemetry {
    /// The counter of a strategy's requests; `version` is what its gauge shows from now on, where it has one.
    pub(crate) fn strategy(&self, strategy: &StrategyName, version: Option<ModelVersion>) -> Counter {
        let mut named = self.models.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = named.get(strategy) {
            return metrics.requests.clone();
        }
        if named.len() >= self.models.max_named {
            return self.models.other_requests.clone();
        }
        let key = |name: &'static str| Key::from_parts(name, vec![Label::new("strategy", strategy.to_string())]);
        let metrics = StrategyMetrics {
            requests: self
                .recorder
                .register_counter(&key("lakeloop_strategy_requests_total"), &METADATA),
            model_version: self
                .recorder
                .register_gauge(&key("lakeloop_live_model_version"), &METADATA),
        };
        metrics.model_version.set(number_of(version));
        let requests = metrics.requests.clone();
        named.insert(strategy.clone(), metrics);
        requests
    }

    /// Sets which model a strategy decides with, where it has a series of its own; NaN, which Prometheus reads as "no
    /// value", when none.
    pub(crate) fn live_model(&self, strategy: &StrategyName, version: Option<ModelVersion>) {
        let named = self.models.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = named.get(strategy) {
            metrics.model_version.set(number_of(version));
        }
    }

    /// The counters of a strategy's decisions that caps turned into the default, by kind of cap. The first so many strategies
    /// that have caps get series of their own, as with requests.
    pub(crate) fn capped(&self, strategy: &StrategyName) -> [Counter; CapKind::ALL.len()] {
        let mut capped = self.models.capped.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = capped.contains(strategy) || capped.len() < self.models.max_named;
        if is_named {
            capped.insert(strategy.clone());
        }
        let strategy = if is_named { strategy.as_str() } else { "other" };
        CapKind::ALL.map(|kind| {
            let labels = vec![
                Label::new("strategy", strategy.to_owned()),
                Label::new("cap", kind.as_str()),
            ];
            let key = Key::from_parts("lakeloop_capped_decisions_total", labels);
            self.recorder.register_counter(&key, &METADATA)
        })
    }

    /// Counts the end of a load that brought no model.
    pub(crate) fn model_load(&self, load: ModelLoad) {
        self.models.loads[load as usize].increment(1);
    }

    /// Counts a model that was loaded, with the time from its request to its readiness.
    pub(crate) fn model_loaded(&self, took: Duration) {
        self.model_load(ModelLoad::Loaded);
        self.models.load_seconds.record(took.as_secs_f64());
    }

    /// Counts a model that was put out.
    pub(crate) fn model_evicted(&self) {
        self.models.evictions.increment(1);
    }

    /// Sets what is in memory.
    pub(crate) fn models_in_memory(&self, n_models: usize, n_bytes: u64) {
        self.models.in_memory.set(n_models as f64);
        self.models.memory_bytes.set(n_bytes as f64);
    }
}

fn number_of(version: Option<ModelVersion>) -> f64 {
    version.map_or(f64::NAN, |version| f64::from(version.0))
}

fn describe(recorder: &PrometheusRecorder) {
    let counter =
        |name: &'static str, text: &'static str| recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    counter(
        "lakeloop_strategy_requests_total",
        "Decisions and predictions asked for, by strategy; `other` where a strategy has no series of its own.",
    );
    counter(
        "lakeloop_capped_decisions_total",
        "Decisions that a cap turned into the default, by strategy and kind of cap.",
    );
    counter(
        "lakeloop_model_loads_total",
        "Loads of models into memory: loaded, failed, and requests that went on without (timed_out).",
    );
    counter(
        "lakeloop_model_evictions_total",
        "Models put out of memory to make room.",
    );
    let gauge = |name: &'static str, unit, text: &'static str| {
        recorder.describe_gauge(name.into(), Some(unit), text.into());
    };
    gauge(
        "lakeloop_live_model_version",
        Unit::Count,
        "Version of the model that decides; NaN when none does.",
    );
    gauge("lakeloop_models_in_memory", Unit::Count, "Models in memory.");
    gauge(
        "lakeloop_model_memory_bytes",
        Unit::Bytes,
        "Memory that the ensembles of the models in memory take.",
    );
    recorder.describe_histogram(
        "lakeloop_model_load_seconds".into(),
        Some(Unit::Seconds),
        "Time to read a model from the lake and to make it ready.".into(),
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(idx: usize) -> StrategyName {
        StrategyName::new(format!("s{idx}")).unwrap()
    }

    #[test]
    fn strategies_beyond_the_setting_are_counted_together() {
        let telemetry = Telemetry::new(3).unwrap();
        for idx in 0..8 {
            telemetry.strategy(&name(idx), Some(ModelVersion(1))).increment(1);
            telemetry.strategy(&name(idx), Some(ModelVersion(1))).increment(1);
            telemetry.live_model(&name(idx), Some(ModelVersion(2)));
        }
        let text = telemetry.render();
        let series = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(series("lakeloop_strategy_requests_total{"), 4, "{text}");
        assert_eq!(series("lakeloop_live_model_version{"), 3, "{text}");
        for line in [
            r#"lakeloop_strategy_requests_total{strategy="s2"} 2"#,
            r#"lakeloop_strategy_requests_total{strategy="other"} 10"#,
            r#"lakeloop_live_model_version{strategy="s2"} 2"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_strategy_without_a_live_model_has_no_number() {
        let telemetry = Telemetry::new(1).unwrap();
        telemetry.live_model(&name(0), Some(ModelVersion(2)));
        assert!(!telemetry.render().contains("live_model_version{"));
        for (version, shown) in [(None, "NaN"), (Some(ModelVersion(2)), "2"), (None, "NaN")] {
            let _ = telemetry.strategy(&name(0), version);
            telemetry.live_model(&name(0), version);
            let line = format!("live_model_version{{strategy=\"s0\"}} {shown}");
            assert!(telemetry.render().contains(&line), "{line}");
        }
    }
}
