//! Owns the columns of each table, as Arrow declares them.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use lakeloop_domain::FeatureType;

use super::TableName;

/// The columns of a table of which every lake has one; `None` for feature views, whose columns differ (see
/// [`feature_view_schema`]).
pub fn schema(table: &TableName) -> Option<SchemaRef> {
    let schema = match table {
        TableName::Blueprints => &BLUEPRINTS,
        TableName::Decisions => &DECISIONS,
        TableName::Outcomes => &OUTCOMES,
        TableName::Models => &MODELS,
        TableName::Trials => &TRIALS,
        TableName::TrainingSets => &TRAINING_SETS,
        TableName::TrainingRows => &TRAINING_ROWS,
        TableName::JobRuns => &JOB_RUNS,
        TableName::Evaluations => &EVALUATIONS,
        TableName::LadderMoves => &LADDER_MOVES,
        TableName::Features(_) => return None,
    };
    Some(Arc::clone(schema))
}

/// The columns of a feature view: `entity`, `event_time`, `available_at`, then its own, all of which may be null.
pub fn feature_view_schema(columns: &[(String, FeatureType)]) -> SchemaRef {
    let own = columns.iter().map(|(name, feature_type)| {
        let data_type = match feature_type {
            FeatureType::Number => DataType::Float64,
            FeatureType::Boolean => DataType::Boolean,
            FeatureType::Category => DataType::Utf8,
        };
        Field::new(name, data_type, true)
    });
    let fields: Vec<Field> = FEATURE_VIEW_BASE.iter().cloned().chain(own).collect();
    Arc::new(Schema::new(fields))
}

/// The columns that every feature view begins with.
pub(crate) static FEATURE_VIEW_BASE: LazyLock<[Field; 3]> =
    LazyLock::new(|| [text("entity"), instant("event_time"), instant("available_at")]);

/// Marks a column that may be null.
fn optional(field: Field) -> Field {
    field.with_nullable(true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Float64, false)
}

fn small(name: &str) -> Field {
    Field::new(name, DataType::Int32, false)
}

fn count(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, false)
}

fn instant(name: &str) -> Field {
    Field::new(
        name,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        false,
    )
}

fn list(name: &str, element: DataType) -> Field {
    Field::new(name, DataType::List(list_element(element)), false)
}

/// The element of a list, named as Delta names it.
pub(crate) fn list_element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

/// A map from text, with its parts named as Delta names them.
fn map(name: &str, value: DataType) -> Field {
    let parts = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", value, true),
    ]);
    let entries = Arc::new(Field::new("key_value", DataType::Struct(parts), false));
    Field::new(name, DataType::Map(entries, false), false)
}

/// The parts of one candidate of a ranking. Engines differ in what they make of "not null" inside of lists, so all may be
/// null.
pub(crate) fn candidate_fields() -> Fields {
    Fields::from(vec![
        optional(text("id")),
        optional(map("numeric", DataType::Float64)),
        optional(map("categorical", DataType::Utf8)),
    ])
}

fn columns(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

static DECISIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("decision_id"),
        text("strategy"),
        text("blueprint_version"),
        optional(small("model_version")),
        text("unit"),
        instant("event_time"),
        instant("received_at"),
        map("numeric", DataType::Float64),
        map("categorical", DataType::Utf8),
        map("feature_versions", DataType::Int64),
        list("actions", DataType::Utf8),
        list("scores", DataType::Float64),
        optional(text("action")),
        optional(number("value")),
        number("propensity"),
        text("reason"),
        optional(text("policy")),
        text("salt"),
        optional(text("cell")),
        optional(list("candidates", DataType::Struct(candidate_fields()))),
        optional(list("ranking", DataType::Utf8)),
        optional(list("position_propensities", DataType::Float64)),
        optional(list("blocked", DataType::Utf8)),
        optional(text("step")),
        optional(text("rule_action")),
        optional(text("model_action")),
    ])
});

static OUTCOMES: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("outcome_id"),
        optional(text("decision_id")),
        optional(text("strategy")),
        optional(text("unit")),
        text("event"),
        optional(number("value")),
        optional(text("category")),
        instant("event_time"),
        instant("received_at"),
        optional(text("candidate")),
    ])
});

static BLUEPRINTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("strategy"),
        text("version"),
        small("sequence"),
        instant("applied_at"),
        text("blueprint"),
        text("source"),
        optional(text("reason")),
    ])
});

static MODELS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("strategy"),
        small("version"),
        text("stage"),
        text("stage_reason"),
        instant("stage_changed_at"),
        instant("registered_at"),
        text("target"),
        flag("action_is_feature"),
        text("encoding"),
        text("calibration"),
        Field::new("artifact", DataType::Binary, false),
        text("metric"),
        number("metric_value"),
        optional(number("baseline_value")),
        count("n_train_rows"),
        count("n_validation_rows"),
        count("artifact_bytes"),
        number("latency_p50_us"),
        number("latency_p99_us"),
        number("parity_max_abs"),
        text("blueprint_version"),
        text("training_set_id"),
        map("table_versions", DataType::Int64),
        text("parameters"),
        count("seed"),
        optional(text("prediction_interval")),
        optional(text("card")),
        optional(text("card_markdown")),
        optional(text("uncertainty")),
    ])
});

static TRIALS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("strategy"),
        text("training_set_id"),
        small("trial"),
        text("parameters"),
        text("metric"),
        optional(number("value")),
        optional(small("rounds")),
        optional(count("artifact_bytes")),
        optional(number("cpu_seconds")),
        flag("chosen"),
        instant("started_at"),
        optional(text("error")),
        optional(text("fold_values")),
        optional(text("rungs")),
        optional(flag("is_complete")),
        optional(number("latency_p50_us")),
        optional(number("latency_p99_us")),
        optional(number("feature_cost_us")),
    ])
});

static TRAINING_SETS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("training_set_id"),
        text("strategy"),
        text("blueprint_version"),
        instant("built_at"),
        instant("as_of"),
        optional(instant("window_start")),
        map("table_versions", DataType::Int64),
        count("n_rows"),
        count("n_train_rows"),
        count("n_validation_rows"),
        optional(instant("split_at")),
        optional(number("label_mean")),
        optional(count("n_late_outcomes")),
        optional(count("n_missed_outcomes")),
    ])
});

static TRAINING_ROWS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("training_set_id"),
        text("decision_id"),
        instant("event_time"),
        text("split"),
        optional(text("action")),
        number("propensity"),
        optional(number("label")),
        optional(text("label_category")),
        map("numeric", DataType::Float64),
        map("categorical", DataType::Utf8),
        optional(text("candidate")),
        optional(text("unit")),
    ])
});

static JOB_RUNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("run_id"),
        text("job"),
        optional(text("strategy")),
        text("state"),
        instant("at"),
        optional(instant("lease_until")),
        text("runner"),
        text("detail"),
    ])
});

static EVALUATIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("evaluation_id"),
        text("strategy"),
        text("candidate"),
        text("blueprint_version"),
        optional(small("model_version")),
        text("policy"),
        instant("evaluated_at"),
        instant("as_of"),
        optional(instant("window_start")),
        map("table_versions", DataType::Int64),
        text("estimator"),
        optional(number("value")),
        optional(number("low")),
        optional(number("high")),
        optional(number("bootstrap_low")),
        optional(number("bootstrap_high")),
        number("confidence"),
        optional(number("logged_value")),
        optional(number("gain")),
        optional(number("gain_low")),
        optional(number("gain_high")),
        text("verdict"),
        optional(text("refusal")),
        text("rules"),
        count("n_rows"),
        count("n_units"),
        optional(number("effective_rows")),
        optional(number("mean_weight")),
        optional(number("max_weight")),
        optional(number("overlap")),
        optional(number("unsupported")),
    ])
});

static LADDER_MOVES: LazyLock<SchemaRef> = LazyLock::new(|| {
    columns(vec![
        text("strategy"),
        small("sequence"),
        text("from_step"),
        text("to_step"),
        instant("moved_at"),
        text("moved_by"),
        text("reason"),
        count("n_with_rule"),
        count("n_labelled_default"),
        count("n_labelled_apprentice"),
        count("n_labelled_explored"),
    ])
});
