//! Training rows of simulated strategies, for the tests of this crate.

use std::sync::{Arc, LazyLock};

use lakeloop_config::parse_blueprint;
use lakeloop_domain::{
    AppliedBlueprint, DecisionId, FeatureType, FeatureValue, Features, LearningTarget, NamedValue, TrainingSetId,
    UnitId,
};
use lakeloop_lake::rows::{Split, TrainingRow, training_rows_to_batch};
use lakeloop_sql::training_rows_schema;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::context::Clock;
use crate::fit::{Start, Work};
use crate::latency::Latency;
use crate::parameters::Parameters;
use crate::race::Rungs;
use crate::rows::TrainingRows;
use crate::split::split;
use crate::training_set::TrainingData;
use crate::trial::{FittedTrial, Trial};
use crate::weights::row_weights;

/// A yes/no decision by threshold: features `x`, `noise` (both numbers, missing allowed), `sunny` and `city`.
pub(crate) const LATE: &str = r#"
name = "late"
description = "Will it be late?"
unit = "flight"
decision = { kind = "yes_no", default = false }
outcome = { event = "arrived", aggregation = "last", type = "yes_no", window = "1us", absent = "exclude" }
schedule = { minimum_rows = 100, trials = 3 }
[context]
x = { type = "number", missing = "allowed" }
noise = { type = "number", missing = "allowed" }
sunny = "boolean"
city = { type = "category", missing = "allowed" }
"#;

/// The blueprint of a text, as applied.
pub(crate) fn applied(text: &str) -> AppliedBlueprint {
    let parsed = parse_blueprint("blueprint.toml", text).unwrap();
    AppliedBlueprint {
        blueprint: parsed.blueprint,
        version: parsed.version,
        sequence: 1,
        source: parsed.source,
        applied_at: 0,
    }
}

/// One simulated row: features by name, the action taken, the label.
pub(crate) struct Row {
    pub values: Vec<(&'static str, FeatureValue)>,
    pub action: Option<String>,
    pub label: f64,
}

/// Numbers that are drawn evenly from [0, 1), one in ten missing.
pub(crate) fn number(rng: &mut ChaCha8Rng) -> FeatureValue {
    if rng.random_bool(0.1) {
        FeatureValue::Missing
    } else {
        FeatureValue::Number(rng.random())
    }
}

/// A row of [`LATE`]: late with a probability that grows with `x`, more so in Oslo.
pub(crate) fn late(rng: &mut ChaCha8Rng) -> Row {
    let (x, noise, sunny) = (number(rng), number(rng), rng.random_bool(0.5));
    let cities = ["Oslo", "Lima", "Pune", "Rome"];
    let city = cities[rng.random_range(0..cities.len())];
    let base = x.as_number().unwrap_or(0.2);
    let probability = if city == "Oslo" {
        0.1 + 0.85 * base
    } else {
        0.05 + 0.4 * base
    };
    let city = if rng.random_bool(0.1) {
        FeatureValue::Missing
    } else {
        FeatureValue::Category(city.into())
    };
    Row {
        values: vec![
            ("x", x),
            ("noise", noise),
            ("sunny", FeatureValue::Boolean(sunny)),
            ("city", city),
        ],
        action: Some("no".into()),
        label: f64::from(u8::from(rng.random_bool(probability))),
    }
}

/// The rows of a strategy: one decision a microsecond.
pub(crate) fn training_rows(
    applied: &AppliedBlueprint,
    n_rows: usize,
    seed: u64,
    mut next: impl FnMut(&mut ChaCha8Rng) -> Row,
) -> TrainingRows {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let types: Vec<(_, FeatureType)> = applied
        .blueprint
        .model_features()
        .map(|(name, kind)| (name.clone(), kind))
        .collect();
    let rows: Vec<TrainingRow> = (0..n_rows)
        .map(|idx| {
            let row = next(&mut rng);
            let value_of = |name: &str| {
                row.values
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| value.clone())
            };
            let features: Features = types
                .iter()
                .map(|(name, feature_type)| NamedValue {
                    name: name.clone(),
                    feature_type: *feature_type,
                    value: value_of(name).unwrap(),
                })
                .collect();
            TrainingRow {
                training_set_id: TrainingSetId::new("set").unwrap(),
                decision_id: DecisionId::new(format!("d{idx:06}")).unwrap(),
                unit: Some(UnitId::new(format!("u{idx}")).unwrap()),
                event_time: idx as i64,
                split: Split::Train,
                action: row.action,
                candidate: None,
                propensity: 1.0,
                label: Some(row.label),
                label_category: None,
                features,
            }
        })
        .collect();
    let batch = training_rows_to_batch(&rows).unwrap();
    let columns: Vec<usize> = training_rows_schema()
        .fields()
        .iter()
        .map(|field| batch.schema_ref().index_of(field.name()).unwrap())
        .collect();
    TrainingRows::new(&[batch.project(&columns).unwrap()]).unwrap()
}

/// Rows as a training set, split as a job would split them.
pub(crate) fn training_data(applied: &AppliedBlueprint, rows: TrainingRows) -> TrainingData {
    let split = split(rows.event_times(), applied.blueprint.label_window_us()).unwrap();
    TrainingData {
        id: TrainingSetId::new("set").unwrap(),
        weights: row_weights(&applied.blueprint, &rows, split.n_train),
        split,
        labels: (0..rows.len()).map(|idx| rows.label(idx).unwrap()).collect(),
        missed: Vec::new(),
        fill: None,
        window_us: applied.blueprint.label_window_us(),
        table_versions: Vec::new(),
        rows,
    }
}

/// What to fit on a training set: no model is live, the seed is 1, and no time goes by.
pub(crate) fn work<'a>(applied: &'a AppliedBlueprint, data: &'a TrainingData) -> Work<'a> {
    static STILL: LazyLock<Clock> = LazyLock::new(|| Arc::new(|| 0));
    Work {
        applied,
        data,
        live: None,
        seed: 1,
        max_threads: 2,
        clock: &STILL,
        start: Start::default(),
    }
}

/// A trial that came to this value.
pub(crate) fn ended_trial(value: f64) -> Trial {
    let fitted = FittedTrial {
        value,
        fold_values: vec![value],
        n_rounds: 1,
        artifact_bytes: 10,
        latency: Latency {
            p50_us: 1.0,
            p99_us: 2.0,
        },
        cpu_seconds: 0.0,
        feature_cost_us: 0.0,
        is_complete: true,
        artifacts: Vec::new(),
        losses: [].into(),
    };
    Trial {
        idx: 0,
        parameters: Parameters::defaults(&LearningTarget::Binary),
        started_at: 0,
        rungs: Rungs::default(),
        fitted: Ok(fitted),
        over_limit: None,
    }
}
