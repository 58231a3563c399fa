//! Fits the winner's parameters again on folds inside the rows fitted on, and predicts what each fold left out.
//!
//! No validation row is touched, and nothing was chosen by the predictions, so that calibration and intervals can be
//! fitted on them and the validation rows still judge both. The fits have the winner's rounds and no early stopping;
//! three folds cost about one and a half fits on all rows, side by side where there are threads.

use lakeloop_domain::{CardFold, LearningTarget};

use crate::error::PipelineError;
use crate::fold_rows::{FoldRows, selected};
use crate::folds::Fold;
use crate::loss::{losses, metric};
use crate::parameters::Parameters;
use crate::search::Problem;
use crate::trial;
use crate::xgb::{Trainer, TrainerOptions, XgbError};

/// Predictions for rows that the fits had not seen.
pub(crate) struct OutOfFold {
    /// Positions of the rows among those fitted on, in the order of time.
    pub rows: Vec<usize>,
    /// Raw predictions: `[n_rows, n_outputs]`.
    pub predictions: Vec<f64>,
    /// Their labels.
    pub labels: Vec<f64>,
    /// How much each counts; `None`: all count the same.
    pub weights: Option<Vec<f64>>,
    /// Where the last fold begins.
    pub last_fold_from: usize,
    /// How each fold did.
    pub folds: Vec<CardFold>,
}

/// Fits on every fold and predicts the rest of it.
pub(crate) fn out_of_fold(
    problem: &Problem<'_>,
    folds: &[Fold],
    parameters: &Parameters,
    n_rounds: u32,
) -> Result<OutOfFold, PipelineError> {
    let fit = |fold: &Fold| fit_fold(problem, fold, parameters, n_rounds);
    let predicted: Vec<Result<Vec<f64>, XgbError>> = if problem.max_threads > 1 {
        std::thread::scope(|scope| {
            let running: Vec<_> = folds.iter().map(|fold| scope.spawn(move || fit(fold))).collect();
            let joined = running.into_iter().map(|thread| thread.join());
            joined
                .map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    } else {
        folds.iter().map(fit).collect()
    };
    let mut out = OutOfFold {
        rows: Vec::new(),
        predictions: Vec::new(),
        labels: Vec::new(),
        weights: problem.train.weights.map(|_| Vec::new()),
        last_fold_from: 0,
        folds: Vec::new(),
    };
    for (fold, predictions) in folds.iter().zip(predicted) {
        let predictions = predictions?;
        let labels = selected(problem.train.labels, &fold.validation);
        let weights = problem.train.weights.map(|weights| selected(weights, &fold.validation));
        let value = metric(
            problem.target,
            &losses(problem.target, &predictions, &labels),
            weights.as_deref(),
        );
        let is_number = !matches!(problem.target, LearningTarget::MultiClass { .. });
        out.folds.push(CardFold {
            n_train_rows: fold.train.len(),
            n_validation_rows: labels.len(),
            value: value.unwrap_or(f64::NAN),
            label_mean: is_number.then(|| labels.iter().sum::<f64>() / labels.len() as f64),
        });
        out.last_fold_from = out.rows.len();
        out.rows.extend(&fold.validation);
        out.predictions.extend(predictions);
        out.labels.extend(labels);
        if let (Some(all), Some(own)) = (&mut out.weights, weights) {
            all.extend(own);
        }
    }
    Ok(out)
}

fn fit_fold(problem: &Problem<'_>, fold: &Fold, parameters: &Parameters, n_rounds: u32) -> Result<Vec<f64>, XgbError> {
    let options = TrainerOptions {
        columns: &problem.encoding.columns,
        target: problem.target,
        n_threads: 1,
        seed: problem.seed,
    };
    let rows = FoldRows::of(problem.train, fold);
    let trial::Fold { train, validation } = rows.as_fold();
    let trainer = Trainer::new(train, validation, &options)?;
    let trainer = trial::configured(problem, problem.encoding, trainer);
    let predictions = trainer.predictions_after(parameters, &[], n_rounds)?;
    debug_assert_eq!(predictions.len(), fold.validation.len() * problem.target.n_outputs());
    Ok(predictions.into_iter().map(f64::from).collect())
}
