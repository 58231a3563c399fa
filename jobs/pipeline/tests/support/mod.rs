//! A lakeloop home in a temporary folder, with simulated decisions and outcomes in its lake.

#![allow(dead_code)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::record_batch::RecordBatch;
use lakeloop_config::{Settings, parse_blueprint};
use lakeloop_domain::{
    AppliedBlueprint, BlueprintVersion, Choice, ContextField, DecisionId, DecisionReason, DecisionRecord, FeatureType,
    FeatureValue, Features, JobKind, Micros, NamedValue, OutcomeId, OutcomeRecord, OutcomeValue, StrategyName, UnitId,
};
use lakeloop_lake::rows::{decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{Append, Lake, TableName, blueprints};
use lakeloop_pipeline::{JobContext, PipelineError, RunOutcome, run_job};
use lakeloop_sql::{Pins, session};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// 2026-01-05T00:00:00Z.
pub const START: Micros = 1_767_571_200_000_000;
pub const MINUTE: Micros = 60_000_000;

/// A home with one applied blueprint and a clock that tests move.
pub struct Home {
    pub lake: Lake,
    pub applied: AppliedBlueprint,
    pub clock: Arc<AtomicI64>,
    pub jobs: JobContext,
    pub folder: tempfile::TempDir,
}

/// What was decided for a simulated unit, and what came of it (`None`: nothing was reported).
pub struct Case {
    /// The value of every feature, by name.
    pub values: Vec<(&'static str, FeatureValue)>,
    pub choice: Choice,
    pub outcome: Option<OutcomeValue>,
}

impl Home {
    /// Makes a home whose settings are the defaults but for some lines of `lakeloop.toml`.
    pub async fn new(blueprint: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lakeloop.toml"), settings).unwrap();
        let settings = Settings::load_with(folder.path(), []).unwrap();
        let lake = Lake::open(&settings.lake.location, HashMap::new()).await.unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let ticking = Arc::clone(&clock);
        let jobs = JobContext::new(
            lake.clone(),
            settings,
            Arc::new(move || ticking.load(Ordering::Relaxed)),
        );
        let applied = apply(&lake, blueprint).await;
        Self {
            lake,
            applied,
            clock,
            jobs,
            folder,
        }
    }

    pub fn strategy(&self) -> &StrategyName {
        &self.applied.blueprint.name
    }

    /// Lets time pass.
    pub fn set_time(&self, now: Micros) {
        self.clock.store(now, Ordering::Relaxed);
    }

    /// Logs one decision a minute from the start on, each with its outcome a minute later. Returns when the last
    /// window has closed.
    pub async fn live_through(
        &self,
        n_rows: usize,
        seed: u64,
        mut next: impl FnMut(&mut ChaCha8Rng) -> Case,
    ) -> Micros {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
        for idx in 0..n_rows {
            let case = next(&mut rng);
            let at = START + MINUTE * idx as i64;
            decisions.push(self.decision(idx, at, case.values, case.choice));
            outcomes.extend(case.outcome.map(|value| self.outcome(idx, at + MINUTE, value)));
        }
        self.append(TableName::Decisions, decisions_to_batch(&decisions).unwrap())
            .await;
        self.append(TableName::Outcomes, outcomes_to_batch(&outcomes).unwrap())
            .await;
        START + MINUTE * n_rows as i64 + self.applied.blueprint.label_window_us()
    }

    fn decision(&self, idx: usize, at: Micros, values: Vec<(&str, FeatureValue)>, choice: Choice) -> DecisionRecord {
        let blueprint = &self.applied.blueprint;
        let value_of = |name: &str| {
            values
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        };
        let features: Features = blueprint
            .model_features()
            .map(|(name, feature_type)| NamedValue {
                name: name.clone(),
                feature_type,
                value: value_of(name).unwrap(),
            })
            .collect();
        DecisionRecord {
            decision_id: DecisionId::new(format!("d{idx:06}")).unwrap(),
            strategy: blueprint.name.clone(),
            blueprint_version: self.applied.version.clone(),
            model_version: None,
            unit: UnitId::new(format!("u{}", idx % 97)).unwrap(),
            event_time: at,
            received_at: at,
            features,
            feature_versions: Vec::new(),
            actions: blueprint.actions(),
            scores: Vec::new(),
            choice,
            propensity: 1.0,
            reason: DecisionReason::Imported,
            policy: None,
            salt: String::new(),
            conditions: Default::default(),
        }
    }

    fn outcome(&self, idx: usize, at: Micros, value: OutcomeValue) -> OutcomeRecord {
        OutcomeRecord {
            outcome_id: OutcomeId::new(format!("o{idx:06}")).unwrap(),
            decision_id: Some(DecisionId::new(format!("d{idx:06}")).unwrap()),
            strategy: None,
            unit: None,
            candidate: None,
            event: self.applied.blueprint.outcome.event.clone(),
            value,
            event_time: at,
            received_at: at,
        }
    }

    pub async fn append(&self, table: TableName, batch: RecordBatch) {
        let appended = self.lake.append(&table, vec![batch], None).await.unwrap();
        assert!(matches!(appended, Append::Committed { .. }));
    }

    /// Trains as of a moment, which the clock then shows.
    pub async fn train(&self, at: Micros) -> Result<RunOutcome, PipelineError> {
        self.set_time(at);
        run_job(&self.jobs, JobKind::Train, Some(self.strategy()), Some(at)).await
    }

    /// The rows that a query answers, as text: one line a row, values separated by `|`.
    pub async fn ask(&self, query: &str) -> Vec<String> {
        let (ctx, _) = session(&self.lake, &Pins::default()).await.unwrap();
        let batches = ctx.sql(query).await.unwrap().collect().await.unwrap();
        let mut lines = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cell = |column| arrow::util::display::array_value_to_string(column, row).unwrap();
                lines.push(
                    batch
                        .columns()
                        .iter()
                        .map(|column| cell(column))
                        .collect::<Vec<_>>()
                        .join("|"),
                );
            }
        }
        lines
    }
}

/// Puts a blueprint in force.
pub async fn apply(lake: &Lake, text: &str) -> AppliedBlueprint {
    let parsed = parse_blueprint("blueprint.toml", text).unwrap();
    let version: BlueprintVersion = parsed.version;
    match blueprints::apply(lake, parsed.blueprint, version, &parsed.source, START)
        .await
        .unwrap()
    {
        blueprints::Applied::New(applied) | blueprints::Applied::Unchanged(applied) => applied,
    }
}

/// A number drawn evenly from [0, 1); one in ten is missing.
pub fn number(rng: &mut ChaCha8Rng) -> FeatureValue {
    use rand::RngExt as _;
    if rng.random_bool(0.1) {
        FeatureValue::Missing
    } else {
        FeatureValue::Number(rng.random())
    }
}

pub fn one_of<'a>(rng: &mut ChaCha8Rng, texts: &[&'a str]) -> &'a str {
    use rand::RngExt as _;
    texts[rng.random_range(0..texts.len())]
}

pub fn yes_no(is_yes: bool) -> Option<OutcomeValue> {
    Some(OutcomeValue::Number(f64::from(u8::from(is_yes))))
}

/// What a caller sends, as features in declared order.
pub fn features(declared: &[ContextField], sent: &Value) -> Features {
    let value = |field: &ContextField| match (field.feature_type, &sent[&*field.name]) {
        (_, Value::Null) => FeatureValue::Missing,
        (FeatureType::Boolean, value) => FeatureValue::Boolean(value.as_bool().unwrap()),
        (FeatureType::Number, value) => FeatureValue::Number(value.as_f64().unwrap()),
        (FeatureType::Category, value) => FeatureValue::Category(value.as_str().unwrap().into()),
    };
    let named = |field: &ContextField| NamedValue {
        name: field.name.clone(),
        feature_type: field.feature_type,
        value: value(field),
    };
    declared.iter().map(named).collect()
}
