//! What the tests of this crate share: lakes in temporary folders, small nouns, and rows read by SQL.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use lakeloop_domain::*;
use lakeloop_lake::{Lake, LakeError, TableName, WriterSequence};

pub const MINUTE_US: i64 = 60_000_000;
/// 2024-01-01T00:00:00Z.
pub const START: i64 = 1_704_067_200_000_000;

pub async fn open(folder: &Path) -> Lake {
    try_open(folder).await.unwrap()
}

pub async fn try_open(folder: &Path) -> Result<Lake, LakeError> {
    Lake::open(folder.to_str().unwrap(), HashMap::new()).await
}

pub fn strategy(name: &str) -> StrategyName {
    StrategyName::new(name).unwrap()
}

pub fn sequence(app_id: &str, version: i64) -> Option<WriterSequence> {
    Some(WriterSequence {
        app_id: app_id.to_owned(),
        version,
    })
}

/// A blueprint with something in each of its parts.
pub fn blueprint(name: &str, description: &str) -> Blueprint {
    Blueprint {
        name: strategy(name),
        description: description.to_owned(),
        decision: DecisionKind::Choose {
            actions: vec!["soup".to_owned(), "salad".to_owned()],
            default: "soup".to_owned(),
        },
        unit: "guest".to_owned(),
        context: vec![ContextField {
            name: Arc::from("temp"),
            feature_type: FeatureType::Number,
            missing_allowed: true,
            is_feature: true,
            timestamp: None,
        }],
        candidates: vec![],
        features: vec![FeatureView {
            name: FeatureViewName::new("items").unwrap(),
            entity: Arc::from("unit"),
            freshness_us: Some(1),
            cost_us: None,
            columns: vec![FeatureColumn {
                name: Arc::from("price"),
                feature_type: FeatureType::Number,
                when_missing: FeatureValue::Number(-0.0),
            }],
        }],
        outcome: OutcomeSpec {
            event: "eaten".to_owned(),
            outcome_type: OutcomeType::YesNo,
            aggregation: Aggregation::Any,
            window_us: 1,
            absent: AbsentLabel::Value(0.0),
        },
        rewards: Rewards::default(),
        limits: ModelLimits {
            max_latency_us: Some(0.1),
            max_bytes: Some(u64::MAX),
        },
        learning: Default::default(),
        policy: Policy::EpsilonGreedy { epsilon: 0.1 },
        caps: None,
        ladder: None,
        schedule: Schedule {
            train: None,
            window_us: None,
            minimum_rows: 10,
            trials: 5,
        },
        gate: lakeloop_domain::Gate::default(),
        training: Default::default(),
    }
}

/// The decision with this id, one minute after the one before it.
pub fn decision(idx: i64) -> DecisionRecord {
    let named = |name: &str, feature_type, value| NamedValue {
        name: name.into(),
        feature_type,
        value,
    };
    DecisionRecord {
        decision_id: DecisionId::new(format!("d-{idx}")).unwrap(),
        strategy: strategy("menu"),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: Some(ModelVersion(3)),
        unit: UnitId::new(format!("u-{}", idx % 10)).unwrap(),
        event_time: START + idx * MINUTE_US,
        received_at: START + idx * MINUTE_US + 5,
        features: vec![
            named("temp", FeatureType::Number, FeatureValue::Number(idx as f64 / 2.0)),
            named("humidity", FeatureType::Number, FeatureValue::Missing),
            named("city", FeatureType::Category, FeatureValue::Category("Ulm".to_owned())),
            named("weather", FeatureType::Category, FeatureValue::Missing),
        ],
        feature_versions: vec![("items".to_owned(), 7)],
        actions: vec!["soup".to_owned(), "salad".to_owned()],
        scores: vec![0.25, 0.75],
        choice: Choice::Action("salad".to_owned()),
        propensity: 0.95,
        reason: DecisionReason::Exploit,
        policy: Some(Policy::EpsilonGreedy { epsilon: 0.1 }),
        salt: "menu:0123456789abcdef".to_owned(),
        conditions: Default::default(),
    }
}

pub fn decisions(ids: std::ops::Range<i64>) -> RecordBatch {
    let rows: Vec<_> = ids.map(decision).collect();
    lakeloop_lake::rows::decisions_to_batch(&rows).unwrap()
}

/// Runs SQL on one table, which the query calls `t`.
pub async fn sql(table: DeltaTable, text: &str) -> Vec<RecordBatch> {
    let session = SessionContext::new();
    session
        .register_table("t", table.table_provider().await.unwrap())
        .unwrap();
    session.sql(text).await.unwrap().collect().await.unwrap()
}

/// The one whole number that a query answers.
pub async fn number(table: DeltaTable, text: &str) -> i64 {
    let batches = sql(table, text).await;
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

pub async fn newest(lake: &Lake, table: &TableName) -> DeltaTable {
    lake.table(table).await.unwrap().unwrap()
}

/// How many rows a table has, and how many different ids.
pub async fn counts(lake: &Lake, table: &TableName, id: &str) -> (i64, i64) {
    let state = newest(lake, table).await;
    let rows = number(state.clone(), "SELECT count(*) FROM t").await;
    (
        rows,
        number(state, &format!("SELECT count(DISTINCT {id}) FROM t")).await,
    )
}
