//! A lake in a folder of its own, and short ways to write what goes into it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lakeloop_domain::{
    AbsentLabel, Aggregation, Blueprint, BlueprintVersion, Choice, ContextField, DecisionId, DecisionKind,
    DecisionReason, DecisionRecord, FeatureColumn, FeatureType, FeatureValue, FeatureView, FeatureViewName,
    LearningSpec, Micros, ModelLimits, NamedValue, OutcomeId, OutcomeRecord, OutcomeSpec, OutcomeType, OutcomeValue,
    Policy, Rewards, Schedule, StrategyName, UnitId,
};
use lakeloop_lake::{Append, Lake, TableName, rows};
use tempfile::TempDir;

pub const SECOND: i64 = 1_000_000;

pub struct Home {
    pub lake: Lake,
    _folder: TempDir,
}

pub async fn home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap(), HashMap::new())
        .await
        .unwrap();
    Home { lake, _folder: folder }
}

impl Home {
    pub async fn decide(&self, decisions: &[DecisionRecord]) {
        self.append(&TableName::Decisions, rows::decisions_to_batch(decisions).unwrap())
            .await;
    }

    pub async fn observe(&self, outcomes: &[OutcomeRecord]) {
        self.append(&TableName::Outcomes, rows::outcomes_to_batch(outcomes).unwrap())
            .await;
    }

    pub async fn append(&self, table: &TableName, batch: RecordBatch) {
        let appended = self.lake.append(table, vec![batch], None).await.unwrap();
        assert!(matches!(appended, Append::Committed { .. }));
    }
}

/// Seconds after 2026-01-01T00:00:00Z.
pub fn at(seconds: i64) -> Micros {
    1_767_225_600 * SECOND + seconds * SECOND
}

pub fn number(name: &str, value: impl Into<Option<f64>>) -> NamedValue {
    let value = value.into().map_or(FeatureValue::Missing, FeatureValue::Number);
    NamedValue {
        name: name.into(),
        feature_type: FeatureType::Number,
        value,
    }
}

pub fn boolean(name: &str, value: bool) -> NamedValue {
    NamedValue {
        name: name.into(),
        feature_type: FeatureType::Boolean,
        value: FeatureValue::Boolean(value),
    }
}

pub fn category<'a>(name: &str, value: impl Into<Option<&'a str>>) -> NamedValue {
    let value = value
        .into()
        .map_or(FeatureValue::Missing, |text| FeatureValue::Category(text.to_owned()));
    NamedValue {
        name: name.into(),
        feature_type: FeatureType::Category,
        value,
    }
}

pub fn decision(id: &str, unit: &str, event_time: Micros, features: Vec<NamedValue>) -> DecisionRecord {
    DecisionRecord {
        decision_id: DecisionId::new(id).unwrap(),
        strategy: StrategyName::new("menu").unwrap(),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: None,
        unit: UnitId::new(unit).unwrap(),
        event_time,
        received_at: event_time,
        features,
        feature_versions: vec![],
        actions: vec!["soup".into(), "stew".into()],
        scores: vec![],
        choice: Choice::Action("soup".into()),
        propensity: 0.5,
        reason: DecisionReason::Explore,
        policy: Some(Policy::EpsilonGreedy { epsilon: 1.0 }),
        salt: "menu:0123456789abcdef".into(),
        conditions: Default::default(),
    }
}

pub fn outcome(id: &str, decision_id: &str, value: OutcomeValue, event_time: Micros) -> OutcomeRecord {
    OutcomeRecord {
        outcome_id: OutcomeId::new(id).unwrap(),
        decision_id: Some(DecisionId::new(decision_id).unwrap()),
        strategy: None,
        unit: None,
        candidate: None,
        event: "reward".into(),
        value,
        event_time,
        received_at: event_time,
    }
}

/// Chooses between soup and stew, learns from the sum of `reward` within a minute, 0 when there is none.
pub fn blueprint(features: Vec<FeatureView>) -> Blueprint {
    let field = |name: &str, feature_type| ContextField {
        name: name.into(),
        feature_type,
        missing_allowed: true,
        is_feature: true,
        timestamp: None,
    };
    Blueprint {
        name: StrategyName::new("menu").unwrap(),
        description: String::new(),
        decision: DecisionKind::Choose {
            actions: vec!["soup".into(), "stew".into()],
            default: "soup".into(),
        },
        unit: "user".into(),
        context: vec![
            field("hour", FeatureType::Number),
            field("station", FeatureType::Category),
        ],
        candidates: vec![],
        features,
        outcome: OutcomeSpec {
            event: "reward".into(),
            outcome_type: OutcomeType::Number,
            aggregation: Aggregation::Sum,
            window_us: 60 * SECOND,
            absent: AbsentLabel::Value(0.0),
        },
        rewards: Rewards::default(),
        limits: ModelLimits::default(),
        learning: LearningSpec::default(),
        policy: Policy::EpsilonGreedy { epsilon: 1.0 },
        caps: None,
        ladder: None,
        schedule: Schedule {
            train: None,
            window_us: None,
            minimum_rows: 1,
            trials: 1,
        },
        gate: lakeloop_domain::Gate::default(),
        training: Default::default(),
    }
}

/// The view `weather` by the context field `station`, with one column of each type.
pub fn weather(freshness_us: Option<i64>) -> FeatureView {
    let column = |name: &str, feature_type, when_missing| FeatureColumn {
        name: Arc::from(name),
        feature_type,
        when_missing,
    };
    FeatureView {
        name: FeatureViewName::new("weather").unwrap(),
        entity: "station".into(),
        freshness_us,
        cost_us: None,
        columns: vec![
            column("Temp", FeatureType::Number, FeatureValue::Number(-99.0)),
            column("rain", FeatureType::Boolean, FeatureValue::Missing),
            column("sky", FeatureType::Category, FeatureValue::Category("unknown".into())),
        ],
    }
}

/// One row of the view `weather`: entity, event time, available at, and the three values.
pub type WeatherRow = (String, Micros, Micros, Option<f64>, Option<bool>, Option<String>);

impl Home {
    /// Creates the view `weather`.
    pub async fn create_weather(&self) -> TableName {
        let view = weather(None);
        let columns: Vec<(String, FeatureType)> = view
            .columns
            .iter()
            .map(|column| (column.name.to_string(), column.feature_type))
            .collect();
        self.lake.create_feature_view(&view.name, &columns).await.unwrap();
        TableName::Features(view.name)
    }

    /// Appends rows to the view `weather`, which must exist.
    pub async fn measure(&self, weather_rows: &[WeatherRow]) {
        use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray};
        let view = weather(None);
        let columns: Vec<(String, FeatureType)> = view
            .columns
            .iter()
            .map(|column| (column.name.to_string(), column.feature_type))
            .collect();
        let instants = |instants: Vec<Micros>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(weather_rows.iter().map(|row| &row.0))),
            instants(weather_rows.iter().map(|row| row.1).collect()),
            instants(weather_rows.iter().map(|row| row.2).collect()),
            Arc::new(Float64Array::from_iter(weather_rows.iter().map(|row| row.3))),
            Arc::new(BooleanArray::from_iter(weather_rows.iter().map(|row| row.4))),
            Arc::new(StringArray::from_iter(weather_rows.iter().map(|row| row.5.as_deref()))),
        ];
        let batch = RecordBatch::try_new(lakeloop_lake::tables::feature_view_schema(&columns), arrays).unwrap();
        self.append(&TableName::Features(view.name), batch).await;
    }
}

/// Some columns of batches as text, a line a row.
pub fn lines(batches: &[RecordBatch], columns: &[&str]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let line = |batch: &RecordBatch, row_idx: usize| {
        let cells = columns.iter().map(|name| {
            let column = batch.column_by_name(name).unwrap();
            let column = ArrayFormatter::try_new(column, &options).unwrap();
            column.value(row_idx).to_string()
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    batches
        .iter()
        .flat_map(|batch| (0..batch.num_rows()).map(move |row_idx| line(batch, row_idx)))
        .collect()
}
