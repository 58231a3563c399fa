//! The ladder of baselines: what can be predicted without a model, or with hardly one, on the very rows that judge it.
//!
//! | rung | what it predicts |
//! |---|---|
//! | constant | the mean label, or each class's share, of the rows fitted on |
//! | last value | what the unit's latest label says that was known at the decision, as learned on the rows fitted on |
//! | stump | one split of one column |
//! | linear | a linear booster over all columns: numbers standardised, frequent categories each a column |
//!
//! The last two are fitted by libxgboost on at most [`MAX_ROWS`] rows, the latest ones: fractions of a second.

use std::collections::HashMap;

use lakeloop_domain::{Baseline, EncodedColumn, FeatureType, LearningTarget};

use crate::error::PipelineError;
use crate::loss::constant_scores;
use crate::matrix::Matrix;
use crate::parameters::Parameters;
use crate::search::Problem;
use crate::training_set::TrainingData;
use crate::xgb::{LabelledMatrix, Trainer, TrainerOptions};

/// Rows that the stump and the linear model are fitted on, at most.
const MAX_ROWS: usize = 50_000;
/// Values of the linear model's columns, at most (160 MB); beyond it the rung is left out.
const MAX_LINEAR_VALUES: usize = 40_000_000;
/// Categories of a column that get a linear column of their own: the most frequent ones.
const N_ONE_HOT: usize = 16;
/// Sweeps over all columns; coordinate descent on standardised columns is done after some tens.
const N_LINEAR_ROUNDS: u32 = 30;
/// Rows with a known last label that it takes to learn what it says.
const MIN_ROWS_WITH_LAST: usize = 20;
/// A group's shares are drawn to the overall ones as by this many rows.
const PRIOR_ROWS: f64 = 5.0;

/// The predictions of one rung for the validation rows: `[n_rows, n_outputs]`.
pub(crate) struct Rung {
    /// Which.
    pub baseline: Baseline,
    /// What it predicts.
    pub scores: Vec<f64>,
}

/// Every rung that can be climbed with these rows.
pub(crate) fn ladder(data: &TrainingData, problem: &Problem<'_>, ranks: bool) -> Result<Vec<Rung>, PipelineError> {
    let n_rows = problem.validation.labels.len();
    let mut rungs = vec![Rung {
        baseline: Baseline::Constant,
        scores: constant_scores(problem.target, problem.train.labels, problem.train.weights, n_rows),
    }];
    // One split or one line is no order of its own: of orders, only the constant one is compared with.
    if *problem.target == LearningTarget::Order {
        return Ok(rungs);
    }
    // The candidates of a ranking share their unit; its last label is that of one of them.
    let last = if ranks { None } else { last_value(data, problem.target) };
    rungs.extend(last.map(|scores| Rung {
        baseline: Baseline::LastValue,
        scores,
    }));
    rungs.push(Rung {
        baseline: Baseline::Stump,
        scores: stump(problem)?,
    });
    if let Some(scores) = linear(problem)? {
        rungs.push(Rung {
            baseline: Baseline::Linear,
            scores,
        });
    }
    Ok(rungs)
}

fn stump(problem: &Problem<'_>) -> Result<Vec<f64>, PipelineError> {
    let changed = [
        ("max_depth", "1"),
        ("max_leaves", "0"),
        ("eta", "1"),
        ("subsample", "1"),
        ("colsample_bytree", "1"),
        ("lambda", "1"),
    ];
    fitted(
        problem,
        &problem.encoding.columns,
        (problem.train.rows, problem.validation.rows),
        &changed,
        1,
    )
}

fn linear(problem: &Problem<'_>) -> Result<Option<Vec<f64>>, PipelineError> {
    let design = Design::new(problem);
    let n_rows = problem.train.rows.n_rows().min(MAX_ROWS) + problem.validation.rows.n_rows();
    if design.columns.is_empty() || design.columns.len() * n_rows > MAX_LINEAR_VALUES {
        return Ok(None);
    }
    let changed = [
        ("booster", "gblinear"),
        ("updater", "coord_descent"),
        ("feature_selector", "cyclic"),
        ("eta", "1"),
        ("lambda", "0.001"),
    ];
    let names: Vec<EncodedColumn> = design.columns.iter().map(LinearColumn::named).collect();
    let (train, validation) = (design.apply(problem.train.rows), design.apply(problem.validation.rows));
    fitted(problem, &names, (&train, &validation), &changed, N_LINEAR_ROUNDS).map(Some)
}

/// Fits on the latest rows and predicts the validation rows.
fn fitted(
    problem: &Problem<'_>,
    columns: &[EncodedColumn],
    (train, validation): (&Matrix, &Matrix),
    changed: &[(&'static str, &str)],
    n_rounds: u32,
) -> Result<Vec<f64>, PipelineError> {
    let n_rows = train.n_rows();
    let latest: Vec<usize> = (n_rows - n_rows.min(MAX_ROWS)..n_rows).collect();
    let rows = train.select(&latest);
    let options = TrainerOptions {
        columns,
        target: problem.target,
        n_threads: problem.max_threads,
        seed: problem.seed,
    };
    let trainer = Trainer::new(
        LabelledMatrix {
            rows: &rows,
            labels: &problem.train.labels[latest[0]..],
            weights: problem.train.weights.map(|weights| &weights[latest[0]..]),
            groups: &[],
        },
        LabelledMatrix {
            rows: validation,
            labels: problem.validation.labels,
            weights: problem.validation.weights,
            groups: &[],
        },
        &options,
    )?;
    let predictions = trainer.predictions_after(&Parameters::defaults(problem.target), changed, n_rounds)?;
    Ok(predictions.into_iter().map(f64::from).collect())
}

/// How the linear model sees a column.
enum LinearColumn {
    /// (value − mean) / deviation; 0 where missing.
    Standardised { from: usize, mean: f32, deviation: f32 },
    /// 1 where a category has this code.
    OneHot { from: usize, code: f32 },
}

impl LinearColumn {
    fn named(&self) -> EncodedColumn {
        let name = match self {
            Self::Standardised { from, .. } => format!("c{from}"),
            Self::OneHot { from, code } => format!("c{from}_{code}"),
        };
        EncodedColumn {
            name,
            feature_type: FeatureType::Number,
            vocabulary: Vec::new(),
        }
    }

    fn value(&self, row: &[f32]) -> f32 {
        match self {
            Self::Standardised { from, mean, deviation } => {
                let value = (row[*from] - mean) / deviation;
                if value.is_nan() { 0.0 } else { value }
            }
            Self::OneHot { from, code } => f32::from(u8::from(row[*from] == *code)),
        }
    }
}

/// The columns of the linear model.
struct Design {
    columns: Vec<LinearColumn>,
    n_from: usize,
}

impl Design {
    /// Learns means and deviations on the rows fitted on; columns without spread are left out.
    fn new(problem: &Problem<'_>) -> Self {
        let encoded = &problem.encoding.columns;
        let n_from = encoded.len();
        let mut columns = Vec::new();
        for (from, column) in encoded.iter().enumerate() {
            if column.feature_type == FeatureType::Category {
                let n_codes = column.vocabulary.len().min(N_ONE_HOT);
                columns.extend((0..n_codes).map(|code| LinearColumn::OneHot {
                    from,
                    code: code as f32,
                }));
                continue;
            }
            let values = problem.train.rows.values().iter().skip(from).step_by(n_from.max(1));
            let moments: lakeloop_stats::Moments = values
                .filter(|value| !value.is_nan())
                .map(|value| f64::from(*value))
                .collect();
            if let (Some(mean), Some(variance)) =
                (moments.mean(), moments.variance().filter(|variance| *variance > 0.0))
            {
                columns.push(LinearColumn::Standardised {
                    from,
                    mean: mean as f32,
                    deviation: variance.sqrt() as f32,
                });
            }
        }
        Self { columns, n_from }
    }

    fn apply(&self, rows: &Matrix) -> Matrix {
        let of_row = |row: &[f32]| {
            self.columns
                .iter()
                .map(|column| column.value(row))
                .collect::<Vec<f32>>()
        };
        let values = rows
            .values()
            .chunks_exact(self.n_from.max(1))
            .flat_map(of_row)
            .collect();
        Matrix::new(values, rows.n_rows())
    }
}

/// Predicts each validation row from the latest label of its unit whose window had closed when the row was decided. `None`
/// where too few rows fitted on have such a label.
fn last_value(data: &TrainingData, target: &LearningTarget) -> Option<Vec<f64>> {
    let known = last_known(data);
    let n_train = data.split.n_train;
    let with_last: Vec<(f64, f64)> = (0..n_train)
        .filter_map(|row_idx| Some((known[row_idx]?, data.labels[row_idx])))
        .collect();
    if with_last.len() < MIN_ROWS_WITH_LAST {
        return None;
    }
    let fitted_on = &data.labels[..n_train];
    let asked = &known[data.validation()];
    Some(match target {
        LearningTarget::Binary => shares(&with_last, fitted_on, asked, 2)
            .chunks_exact(2)
            .map(|shares| shares[1])
            .collect(),
        LearningTarget::MultiClass { .. } => shares(&with_last, fitted_on, asked, target.n_outputs()),
        _ => line(&with_last, fitted_on, asked),
    })
}

/// For each row its unit's latest label that was known by then.
fn last_known(data: &TrainingData) -> Vec<Option<f64>> {
    let (times, units) = (data.rows.event_times(), data.rows.units());
    // Of each unit: its earlier rows, and how many of them had closed by the latest row looked at.
    let mut earlier: HashMap<usize, (Vec<usize>, usize)> = HashMap::new();
    let mut known = Vec::with_capacity(times.len());
    for row_idx in 0..times.len() {
        let (rows, n_closed) = earlier.entry(units[row_idx]).or_default();
        while rows
            .get(*n_closed)
            .is_some_and(|row| times[*row].saturating_add(data.window_us) <= times[row_idx])
        {
            *n_closed += 1;
        }
        known.push(n_closed.checked_sub(1).map(|last| data.labels[rows[last]]));
        rows.push(row_idx);
    }
    known
}

/// Least squares of the label on the last one; the mean where there is none.
fn line(with_last: &[(f64, f64)], fitted_on: &[f64], asked: &[Option<f64>]) -> Vec<f64> {
    let n_rows = with_last.len() as f64;
    let mean_of = |of: fn(&(f64, f64)) -> f64| with_last.iter().map(of).sum::<f64>() / n_rows;
    let (mean_last, mean_label) = (mean_of(|pair| pair.0), mean_of(|pair| pair.1));
    let spread: f64 = with_last.iter().map(|(last, _)| (last - mean_last).powi(2)).sum();
    let shared: f64 = with_last
        .iter()
        .map(|(last, label)| (last - mean_last) * (label - mean_label))
        .sum();
    let slope = if spread > 0.0 { shared / spread } else { 0.0 };
    let overall = fitted_on.iter().sum::<f64>() / fitted_on.len() as f64;
    let predict = |last: &Option<f64>| last.map_or(overall, |last| mean_label + slope * (last - mean_last));
    asked.iter().map(predict).collect()
}

/// The shares of classes after each last class, drawn to the overall ones.
fn shares(with_last: &[(f64, f64)], fitted_on: &[f64], asked: &[Option<f64>], n_classes: usize) -> Vec<f64> {
    let mut overall = vec![1.0; n_classes];
    fitted_on.iter().for_each(|label| overall[*label as usize] += 1.0);
    let total: f64 = overall.iter().sum();
    overall.iter_mut().for_each(|count| *count /= total);
    let mut after: Vec<Vec<f64>> = (0..n_classes)
        .map(|_| overall.iter().map(|share| share * PRIOR_ROWS).collect())
        .collect();
    with_last
        .iter()
        .for_each(|(last, label)| after[*last as usize][*label as usize] += 1.0);
    for counts in &mut after {
        let total: f64 = counts.iter().sum();
        counts.iter_mut().for_each(|count| *count /= total);
    }
    asked
        .iter()
        .flat_map(|last| last.map_or(&overall, |last| &after[last as usize]).clone())
        .collect()
}
