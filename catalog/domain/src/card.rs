//! The card of a model: what it was made from, how good it is and where it is weak, for whoever has to answer for it.
//!
//! The JSON form is the record; [`ModelCard::to_markdown`] is the same for people. Instants are texts (RFC 3339), shares are
//! between 0 and 1, and what is not defined is absent, never 0.

mod markdown;

use serde::{Deserialize, Serialize};

use crate::{Baseline, Calibration, LearningTarget, ModelVersion, StrategyName};

/// Where the label of a row lies around its prediction: `[prediction + low, prediction + high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionInterval {
    /// The share of labels that it is made to cover.
    pub coverage: f64,
    /// Added for the lower end; mostly below 0.
    pub low: f64,
    /// Added for the upper end.
    pub high: f64,
}

/// Everything that is said about one model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The strategy.
    pub strategy: StrategyName,
    /// The version; absent until it is registered.
    pub version: Option<ModelVersion>,
    /// What the decision is for, in the blueprint's words.
    pub description: String,
    /// What it predicts.
    pub target: LearningTarget,
    /// From what it was made.
    pub data: CardData,
    /// How good it is on the validation rows.
    pub metrics: Vec<CardMetric>,
    /// The ladder of baselines on the same rows.
    pub baselines: Vec<CardBaseline>,
    /// The same parameters on folds inside the rows fitted on.
    pub folds: Vec<CardFold>,
    /// How its probabilities are calibrated; absent for other targets.
    pub calibration: Option<CardCalibration>,
    /// Where labels lie around predictions; absent for other targets than numbers, and with too few rows.
    pub interval: Option<CardInterval>,
    /// How much more of the label the rows ranked first hold; empty where labels can be below 0.
    pub lift: Vec<CardLift>,
    /// What it decides by, the most important column first.
    pub importance: Vec<CardImportance>,
    /// Where it is worse than elsewhere beyond noise, the worst first.
    pub weak_slices: Vec<CardSlice>,
    /// How many slices were looked at to find them.
    pub n_slices: usize,
    /// What the guards found, in sentences.
    pub guards: Vec<String>,
    /// What it costs.
    pub cost: CardCost,
}

/// From what a model was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardData {
    /// The blueprint's version.
    pub blueprint_version: String,
    /// The training set.
    pub training_set_id: String,
    /// The table versions that it was read from.
    pub table_versions: Vec<(String, i64)>,
    /// When the first and the last row fitted on were decided.
    pub fitted_on: (String, String),
    /// When the first and the last row validated on were decided.
    pub validated_on: (String, String),
    /// Rows fitted on.
    pub n_train_rows: usize,
    /// Rows between the two, used for neither.
    pub n_gap_rows: usize,
    /// Rows validated on.
    pub n_validation_rows: usize,
    /// Units among the rows validated on.
    pub n_validation_units: usize,
    /// The share of validation rows whose unit was fitted on.
    pub share_of_known_units: f64,
    /// The mean label of the rows fitted on and of those validated on; absent for several classes.
    pub label_means: Option<(f64, f64)>,
}

/// One metric with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardMetric {
    /// Its name: `log_loss`, `auc`, `rmse`, …
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The 95 % interval; absent where its noise is unknown.
    pub interval: Option<(f64, f64)>,
    /// How the interval was made.
    pub method: String,
}

/// One rung of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardBaseline {
    /// Which.
    pub baseline: Baseline,
    /// Its metric on the validation rows.
    pub value: f64,
    /// How much less the model loses a row; below 0: it loses more.
    pub gain: f64,
    /// The standard error of that.
    pub standard_error: f64,
    /// True when the model had to beat it.
    pub must_beat: bool,
}

/// One fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardFold {
    /// Rows fitted on.
    pub n_train_rows: usize,
    /// Later rows validated on.
    pub n_validation_rows: usize,
    /// The metric there.
    pub value: f64,
    /// The mean label there; absent for several classes.
    pub label_mean: Option<f64>,
}

/// How probabilities are calibrated, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardCalibration {
    /// The map.
    pub map: Calibration,
    /// Why this one.
    pub reason: String,
    /// The expected calibration error (ten bins) of the raw probabilities on the validation rows.
    pub error_before: f64,
    /// The same of the calibrated ones.
    pub error_after: f64,
    /// The calibration plot of the calibrated probabilities.
    pub points: Vec<CardReliability>,
}

/// One point of a calibration plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardReliability {
    /// The mean probability of the rows.
    pub predicted: f64,
    /// The share of positives among them.
    pub observed: f64,
    /// The 95 % interval of that share.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How many rows.
    pub n_rows: usize,
}

/// An interval around predictions, and how often it held.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardInterval {
    /// The interval.
    pub interval: PredictionInterval,
    /// The share of validation rows that an interval made without them, by the last fold alone, covered.
    pub covered: f64,
}

/// One point of a lift curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardLift {
    /// The share of rows with the highest scores.
    pub share_of_rows: f64,
    /// The share of the label's sum that they hold.
    pub share_of_labels: f64,
    /// Their mean label over that of all rows.
    pub lift: f64,
}

/// How much one column matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardImportance {
    /// The column.
    pub column: String,
    /// Its share of the gain of all splits.
    pub gain: f64,
    /// The mean of |SHAP value| over validation rows, in units of the margin (log-odds, or the label's unit).
    pub shap: f64,
}

/// Rows on which a model is worse than on the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardSlice {
    /// The column that cuts them out.
    pub column: String,
    /// Which of its values.
    pub values: String,
    /// How many rows.
    pub n_rows: usize,
    /// The metric on them.
    pub value: f64,
    /// The metric on all other rows.
    pub elsewhere: f64,
    /// The p-value of "no worse than elsewhere", corrected for all slices looked at.
    pub p_value: f64,
}

/// What a model costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardCost {
    /// Size of the saved model, compressed as the registry keeps it.
    pub artifact_bytes: u64,
    /// Boosting rounds that it keeps.
    pub n_rounds: u32,
    /// Median time of scoring one row, in microseconds.
    pub latency_p50_us: f64,
    /// 99th percentile of the same.
    pub latency_p99_us: f64,
    /// Trials of the search.
    pub n_trials: usize,
    /// Processor seconds of the trials that came to a model, at most.
    pub search_cpu_seconds: f64,
    /// Seconds that folds, baselines and this card took.
    pub validation_seconds: f64,
}
