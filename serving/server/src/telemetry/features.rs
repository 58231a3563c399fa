//! Metrics of feature lookups and of the snapshots that answer them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lakeloop_domain::FeatureViewName;
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{METADATA, Telemetry, key};

/// Views with series of their own; of others, which no blueprint of a sane size has, there are none.
const MAX_VIEWS: usize = 100;

/// How a lookup of features went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// What is known of the entity was in the cache.
    Hit,
    /// It was in the view's snapshot.
    Snapshot,
    /// It was loaded from the lake.
    Miss,
    /// It did not come in time.
    TimedOut,
    /// Loading it failed.
    Failed,
}

/// The labels of the lookups, in their order.
const RESULTS: [&str; 5] = ["hit", "snapshot", "miss", "timed_out", "failed"];

/// How the snapshot of a view stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SnapshotFigures {
    /// The version of the table that it is of.
    pub(crate) table_version: i64,
    /// Time since it was built.
    pub(crate) age_seconds: f64,
    /// Entities in it.
    pub(crate) n_entities: u64,
    /// Entities that it does not answer for, because rows of theirs came later.
    pub(crate) n_changed: usize,
}

struct SnapshotMetrics {
    table_version: Gauge,
    age_seconds: Gauge,
    entities: Gauge,
    changed: Gauge,
}

/// Figures of all lookups and snapshots.
pub(super) struct FeatureMetrics {
    age_seconds: Histogram,
    lookups: [Counter; 5],
    load_seconds: Histogram,
    snapshot_load_seconds: Histogram,
    snapshots: Mutex<HashMap<FeatureViewName, SnapshotMetrics>>,
}

impl FeatureMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        describe(recorder);
        let lookup = |result| {
            let key = key("lakeloop_feature_lookups_total", Some(("result", result)));
            recorder.register_counter(&key, &METADATA)
        };
        let histogram = |name: &'static str| recorder.register_histogram(&key(name, None), &METADATA);
        Self {
            age_seconds: histogram("lakeloop_feature_age_seconds"),
            lookups: RESULTS.map(lookup),
            load_seconds: histogram("lakeloop_feature_load_seconds"),
            snapshot_load_seconds: histogram("lakeloop_feature_snapshot_load_seconds"),
            snapshots: Mutex::default(),
        }
    }
}

impl Telemetry {
    /// Counts a lookup of features.
    pub(crate) fn lookup(&self, lookup: Lookup) {
        self.features.lookups[lookup as usize].increment(1);
    }

    /// How many lookups went so; read from the text, since counters cannot be asked.
    #[cfg(test)]
    pub(crate) fn n_lookups(&self, lookup: Lookup) -> u64 {
        let result = RESULTS[lookup as usize];
        let line = format!("lakeloop_feature_lookups_total{{result=\"{result}\"}} ");
        let text = self.render();
        let count = text.lines().find_map(|text| text.strip_prefix(&line));
        count.and_then(|count| count.parse().ok()).unwrap_or_default()
    }

    /// Takes the age of a row that was served.
    pub(crate) fn feature_age(&self, age_us: i64) {
        self.features.age_seconds.record(age_us as f64 / 1e6);
    }

    /// Takes the time in which an entity's history was loaded.
    pub(crate) fn feature_load(&self, took: Duration) {
        self.features.load_seconds.record(took.as_secs_f64());
    }

    /// Takes the time in which a snapshot was opened.
    pub(crate) fn snapshot_load(&self, took: Duration) {
        self.features.snapshot_load_seconds.record(took.as_secs_f64());
    }

    /// Sets how a view's snapshot stands; NaN where there is none in use.
    pub(crate) fn snapshot(&self, view: &FeatureViewName, figures: Option<SnapshotFigures>) {
        let mut snapshots = self.features.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if !snapshots.contains_key(view) {
            if figures.is_none() || snapshots.len() >= MAX_VIEWS {
                return;
            }
            let gauge = |name: &'static str| {
                let key = Key::from_parts(name, vec![Label::new("view", view.to_string())]);
                self.recorder.register_gauge(&key, &METADATA)
            };
            let metrics = SnapshotMetrics {
                table_version: gauge("lakeloop_feature_snapshot_version"),
                age_seconds: gauge("lakeloop_feature_snapshot_age_seconds"),
                entities: gauge("lakeloop_feature_snapshot_entities"),
                changed: gauge("lakeloop_feature_snapshot_changed_entities"),
            };
            snapshots.insert(view.clone(), metrics);
        }
        if let Some(metrics) = snapshots.get(view) {
            let number = |figure: &dyn Fn(&SnapshotFigures) -> f64| figures.as_ref().map_or(f64::NAN, figure);
            metrics
                .table_version
                .set(number(&|figures| figures.table_version as f64));
            metrics.age_seconds.set(number(&|figures| figures.age_seconds));
            metrics.entities.set(number(&|figures| figures.n_entities as f64));
            metrics.changed.set(number(&|figures| figures.n_changed as f64));
        }
    }
}

fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_counter(
        "lakeloop_feature_lookups_total".into(),
        Some(Unit::Count),
        "Lookups of an entity's features: in the cache (hit), in the view's snapshot (snapshot), loaded (miss), too \
         late (timed_out), failed."
            .into(),
    );
    let histogram = |name: &'static str, text: &'static str| {
        recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
    };
    histogram(
        "lakeloop_feature_age_seconds",
        "Age of the feature rows that were served, at the decision's time.",
    );
    histogram(
        "lakeloop_feature_load_seconds",
        "Time to load an entity's history from the lake.",
    );
    histogram(
        "lakeloop_feature_snapshot_load_seconds",
        "Time to check and open a feature snapshot.",
    );
    let gauge = |name: &'static str, unit, text: &'static str| {
        recorder.describe_gauge(name.into(), Some(unit), text.into());
    };
    gauge(
        "lakeloop_feature_snapshot_version",
        Unit::Count,
        "Version of the view's table that the snapshot in use is of; NaN when none is.",
    );
    gauge(
        "lakeloop_feature_snapshot_age_seconds",
        Unit::Seconds,
        "Time since the snapshot in use was built.",
    );
    gauge(
        "lakeloop_feature_snapshot_entities",
        Unit::Count,
        "Entities in the snapshot in use.",
    );
    gauge(
        "lakeloop_feature_snapshot_changed_entities",
        Unit::Count,
        "Entities that are read from the lake because rows of theirs came after the snapshot.",
    );
}
