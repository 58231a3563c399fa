//! Rows of the `evaluations` table.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{BlueprintVersion, EvaluationId, Micros, ModelVersion, StrategyName};

use super::cells::{
    Cells, batch, counts, instants, numbers, optional_instants, optional_numbers, optional_smalls, optional_texts,
    texts,
};
use super::features;
use crate::{LakeError, TableName};

/// One estimate of an evaluation: what a candidate is worth by one estimator, on decisions that were logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Names the evaluation; its estimates share it.
    pub evaluation_id: EvaluationId,
    /// Of which strategy.
    pub strategy: StrategyName,
    /// What was valued: the name of a file without its ending, `model-<version>`, or `live`.
    pub candidate: String,
    /// The version of the candidate's blueprint.
    pub blueprint_version: BlueprintVersion,
    /// The model that it decides by; `None` without one, and where models were fitted for the evaluation.
    pub model_version: Option<ModelVersion>,
    /// Its policy, as JSON.
    pub policy: String,
    /// When.
    pub evaluated_at: Micros,
    /// Decisions whose window had closed by then.
    pub as_of: Micros,
    /// Decisions from then on; `None`: all.
    pub window_start: Option<Micros>,
    /// The tables read, with their versions.
    pub table_versions: Vec<(String, i64)>,
    /// The estimator, with its parameter where it has one: `SNIPS`, `Switch-DR (τ = 10)`.
    pub estimator: String,
    /// The expected label of a decision if the candidate decided; `None` where it was refused.
    pub value: Option<f64>,
    /// The ends of its interval, by units.
    pub interval: Option<(f64, f64)>,
    /// The ends of its bootstrap interval, by units.
    pub bootstrap: Option<(f64, f64)>,
    /// The confidence of the intervals.
    pub confidence: f64,
    /// What was logged on the same decisions.
    pub logged_value: Option<f64>,
    /// The value less what was logged.
    pub gain: Option<f64>,
    /// The ends of its interval, by units.
    pub gain_interval: Option<(f64, f64)>,
    /// What follows.
    pub verdict: Verdict,
    /// Why there is no estimate.
    pub refusal: Option<String>,
    /// The rules of support: `default` or `lenient`.
    pub rules: String,
    /// How many decisions it rests on.
    pub n_rows: u64,
    /// Of how many units.
    pub n_units: u64,
    /// Kish's effective sample size; of rankings at the position where it is smallest.
    pub effective_rows: Option<f64>,
    /// The mean importance weight; of rankings at the position where it is farthest from 1.
    pub mean_weight: Option<f64>,
    /// The largest importance weight.
    pub max_weight: Option<f64>,
    /// How much of their choices the two policies share; of rankings at the position where it is smallest.
    pub overlap: Option<f64>,
    /// The share of the candidate's choices that the log has no support for; `None` for rankings.
    pub unsupported: Option<f64>,
}

/// What an estimate says about a candidate, next to what was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The interval of the gain lies above 0.
    Better,
    /// It lies below 0.
    Worse,
    /// It holds 0.
    Undecided,
    /// There is no estimate.
    Refused,
}

impl Verdict {
    /// The word that the table uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Undecided => "undecided",
            Self::Refused => "refused",
        }
    }

    /// The verdict that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Better, Self::Worse, Self::Undecided, Self::Refused]
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The estimates as rows.
pub fn evaluations_to_batch(evaluations: &[Evaluation]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Evaluations;
    let each = || evaluations.iter();
    let low = |interval: Option<(f64, f64)>| interval.map(|(low, _)| low);
    let high = |interval: Option<(f64, f64)>| interval.map(|(_, high)| high);
    let columns: Vec<ArrayRef> = vec![
        texts(each().map(|row| row.evaluation_id.as_str())),
        texts(each().map(|row| row.strategy.as_str())),
        texts(each().map(|row| row.candidate.as_str())),
        texts(each().map(|row| row.blueprint_version.as_str())),
        optional_smalls(
            &table,
            "model_version",
            each().map(|row| row.model_version.map(|version| version.0)),
        )?,
        texts(each().map(|row| row.policy.as_str())),
        instants(each().map(|row| row.evaluated_at)),
        instants(each().map(|row| row.as_of)),
        optional_instants(each().map(|row| row.window_start)),
        features::numbers_by_name(&table, each().map(|row| row.table_versions.as_slice()))?,
        texts(each().map(|row| row.estimator.as_str())),
        optional_numbers(each().map(|row| row.value)),
        optional_numbers(each().map(|row| low(row.interval))),
        optional_numbers(each().map(|row| high(row.interval))),
        optional_numbers(each().map(|row| low(row.bootstrap))),
        optional_numbers(each().map(|row| high(row.bootstrap))),
        numbers(each().map(|row| row.confidence)),
        optional_numbers(each().map(|row| row.logged_value)),
        optional_numbers(each().map(|row| row.gain)),
        optional_numbers(each().map(|row| low(row.gain_interval))),
        optional_numbers(each().map(|row| high(row.gain_interval))),
        texts(each().map(|row| row.verdict.as_str())),
        optional_texts(each().map(|row| row.refusal.as_deref())),
        texts(each().map(|row| row.rules.as_str())),
        counts(&table, "n_rows", each().map(|row| row.n_rows))?,
        counts(&table, "n_units", each().map(|row| row.n_units))?,
        optional_numbers(each().map(|row| row.effective_rows)),
        optional_numbers(each().map(|row| row.mean_weight)),
        optional_numbers(each().map(|row| row.max_weight)),
        optional_numbers(each().map(|row| row.overlap)),
        optional_numbers(each().map(|row| row.unsupported)),
    ];
    batch(table, columns)
}

/// The rows as estimates.
pub fn evaluations_from_batch(batch: &RecordBatch) -> Result<Vec<Evaluation>, LakeError> {
    Cells::new(TableName::Evaluations, batch)?.rows(|cells, row| {
        let interval = |low, high| -> Result<Option<(f64, f64)>, LakeError> {
            Ok(cells.optional_number(low, row)?.zip(cells.optional_number(high, row)?))
        };
        Ok(Evaluation {
            evaluation_id: cells.parsed("evaluation_id", row)?,
            strategy: cells.parsed("strategy", row)?,
            candidate: cells.text("candidate", row)?.to_owned(),
            blueprint_version: cells.parsed("blueprint_version", row)?,
            model_version: cells.optional_ordinal("model_version", row)?.map(ModelVersion),
            policy: cells.text("policy", row)?.to_owned(),
            evaluated_at: cells.instant("evaluated_at", row)?,
            as_of: cells.instant("as_of", row)?,
            window_start: cells.optional_instant("window_start", row)?,
            table_versions: cells.numbers_by_name("table_versions", row)?,
            estimator: cells.text("estimator", row)?.to_owned(),
            value: cells.optional_number("value", row)?,
            interval: interval("low", "high")?,
            bootstrap: interval("bootstrap_low", "bootstrap_high")?,
            confidence: cells.number("confidence", row)?,
            logged_value: cells.optional_number("logged_value", row)?,
            gain: cells.optional_number("gain", row)?,
            gain_interval: interval("gain_low", "gain_high")?,
            verdict: cells.word("verdict", row, Verdict::parse)?,
            refusal: cells.optional_text("refusal", row)?.map(str::to_owned),
            rules: cells.text("rules", row)?.to_owned(),
            n_rows: cells.unsigned("n_rows", row)?,
            n_units: cells.unsigned("n_units", row)?,
            effective_rows: cells.optional_number("effective_rows", row)?,
            mean_weight: cells.optional_number("mean_weight", row)?,
            max_weight: cells.optional_number("max_weight", row)?,
            overlap: cells.optional_number("overlap", row)?,
            unsupported: cells.optional_number("unsupported", row)?,
        })
    })
}
