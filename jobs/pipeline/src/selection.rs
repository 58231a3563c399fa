//! Drops features that do not pay: those whose share of the gain is small, and those of views that are dear to read.
//!
//! The best trial's model says by how much the splits of each column lower the loss. Sets without the weakest columns are
//! fitted as trials of their own, ever more columns at a time; whether one of them is chosen is then the choice's
//! affair, which takes the cheapest model within noise of the best.

use std::sync::Arc;

use lakeloop_domain::Encoding;

use crate::error::PipelineError;
use crate::matrix::Matrix;
use crate::parameters::Parameters;
use crate::search::{Problem, ended};
use crate::trial::{FittedTrial, Fold, Trainers, Trial, run};
use crate::xgb::{LabelledMatrix, Predictor};

/// Columns below these shares of the total gain are left out, one set a share.
const SHARES: [f64; 3] = [0.001, 0.005, 0.02];

/// A view that costs something is left out where its columns have less than this share together.
const SHARE_OF_A_DEAR_VIEW: f64 = 0.05;

/// The encoding without some of its columns.
pub(crate) fn without(encoding: &Encoding, dropped: &[Arc<str>]) -> Encoding {
    let columns = encoding.columns.iter();
    let kept = columns.filter(|column| !dropped.iter().any(|name| **name == *column.name));
    Encoding {
        columns: kept.cloned().collect(),
    }
}

/// The folds of a problem with some of the columns only.
pub(crate) struct Columns<'p> {
    problem: &'p Problem<'p>,
    /// Train and validation rows of each fold; empty where all columns are kept.
    parts: Vec<(Matrix, Matrix)>,
}

impl<'p> Columns<'p> {
    /// The columns of an encoding that is the problem's own without some.
    pub fn of(problem: &'p Problem<'p>, encoding: &Encoding) -> Self {
        let all = &problem.encoding.columns;
        let kept: Vec<usize> = (0..all.len())
            .filter(|idx| encoding.columns.iter().any(|column| column.name == all[*idx].name))
            .collect();
        let of = |fold: &Fold<'_>| (fold.train.rows.columns(&kept), fold.validation.rows.columns(&kept));
        let parts = match kept.len() == all.len() {
            true => Vec::new(),
            false => problem.folds.iter().map(of).collect(),
        };
        Self { problem, parts }
    }

    /// The rows that the model is fitted on and those that it is judged by, with these columns.
    pub fn rows(&self) -> (LabelledMatrix<'_>, LabelledMatrix<'_>) {
        let (train, validation) = (self.problem.train, self.problem.validation);
        // They are the last fold.
        match self.parts.last() {
            None => (train, validation),
            Some((fitted, judged)) => (
                LabelledMatrix { rows: fitted, ..train },
                LabelledMatrix {
                    rows: judged,
                    ..validation
                },
            ),
        }
    }

    /// The folds, with these columns.
    pub fn folds(&self) -> Vec<Fold<'_>> {
        if self.parts.is_empty() {
            return self.problem.folds.to_vec();
        }
        let folds = self.problem.folds.iter().zip(&self.parts);
        folds
            .map(|(fold, (train, validation))| Fold {
                train: LabelledMatrix {
                    rows: train,
                    ..fold.train
                },
                validation: LabelledMatrix {
                    rows: validation,
                    ..fold.validation
                },
            })
            .collect()
    }
}

/// Trials, counted from `first_idx` on, with the parameters of the best one and ever fewer features, until time is over or a set gets worse by more than
/// a hundredth.
pub(crate) fn with_fewer_features(
    problem: &Problem<'_>,
    (best, first_idx): (&Trial, usize),
    is_over: &dyn Fn() -> bool,
) -> Result<Vec<Trial>, PipelineError> {
    let Ok(fitted) = &best.fitted else {
        return Ok(Vec::new());
    };
    let again;
    let artifact = match fitted.artifacts.last() {
        Some(artifact) => artifact,
        // Read back after a crash, it has no model.
        None => {
            again = fitted_again(problem, &best.parameters)?;
            again.artifacts.last().ok_or(PipelineError::NoModelInBundle)?
        }
    };
    let mut trials = Vec::new();
    for dropped in sets(problem, artifact)? {
        if is_over() {
            break;
        }
        let parameters = Parameters {
            without: dropped,
            ..best.parameters.clone()
        };
        let started_at = (problem.clock)();
        let encoding = without(problem.encoding, &parameters.without);
        let columns = Columns::of(problem, &encoding);
        let folds = columns.folds();
        let mut trainers = Trainers::new(&encoding, None, &folds);
        let (rungs, tried) = run(problem, &mut trainers, &parameters, &[], is_over);
        let trial = ended(
            problem,
            (first_idx + trials.len(), parameters),
            started_at,
            rungs,
            tried,
        );
        let is_worse = trial.fitted.as_ref().is_ok_and(|tried| {
            let (found, before) = (
                problem.metric.badness(tried.value),
                problem.metric.badness(fitted.value),
            );
            found - before > before.abs() * 0.01
        });
        trials.push(trial);
        if is_worse {
            break;
        }
    }
    Ok(trials)
}

/// The complete fit of a trial that was read back without its model. It comes out as it was: a fit is a function of rows,
/// parameters and seed.
pub(crate) fn fitted_again(problem: &Problem<'_>, parameters: &Parameters) -> Result<FittedTrial, PipelineError> {
    let encoding = without(problem.encoding, &parameters.without);
    let columns = Columns::of(problem, &encoding);
    let folds = columns.folds();
    let mut trainers = Trainers::new(&encoding, None, &folds);
    run(problem, &mut trainers, parameters, &[], &|| false).1
}

/// The sets of features to do without, each larger than the one before, that leave at least one column.
fn sets(problem: &Problem<'_>, artifact: &[u8]) -> Result<Vec<Vec<Arc<str>>>, PipelineError> {
    let columns = &problem.encoding.columns;
    let gains = Predictor::load(artifact, columns)?.gains()?;
    let share = |name: &str| {
        let column_idx = columns.iter().position(|column| column.name == name);
        column_idx.map_or(0.0, |column_idx| gains[column_idx])
    };
    let blueprint = &problem.applied.blueprint;
    let dear: Vec<&str> = blueprint
        .features
        .iter()
        .filter(|view| view.cost_us.is_some_and(|cost_us| cost_us > 0.0))
        .filter(|view| view.columns.iter().map(|column| share(&column.name)).sum::<f64>() < SHARE_OF_A_DEAR_VIEW)
        .flat_map(|view| view.columns.iter().map(|column| &*column.name))
        .collect();
    // The action stays: decisions are made by what it changes.
    let features = columns.iter().map(|column| column.name.as_str());
    let features: Vec<&str> = features
        .filter(|name| *name != lakeloop_decide::encode::ACTION_COLUMN)
        .collect();
    let mut sets: Vec<Vec<Arc<str>>> = Vec::new();
    for least in SHARES {
        let dropped: Vec<Arc<str>> = features
            .iter()
            .filter(|name| share(name) < least || dear.contains(name))
            .map(|name| Arc::from(*name))
            .collect();
        let is_new = sets.last().is_none_or(|last| last.len() < dropped.len());
        if !dropped.is_empty() && is_new && dropped.len() < columns.len() {
            sets.push(dropped);
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeloop_domain::{EncodedColumn, FeatureType};

    #[test]
    fn an_encoding_loses_the_columns_that_are_dropped() {
        let column = |name: &str| EncodedColumn {
            name: name.into(),
            feature_type: FeatureType::Number,
            vocabulary: Vec::new(),
        };
        let encoding = Encoding {
            columns: ["a", "b", "c"].map(column).to_vec(),
        };
        let left = without(&encoding, &["b".into(), "x".into()]);
        let names: Vec<&str> = left.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        let matrix = Matrix::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        assert_eq!(matrix.columns(&[0, 2]).values(), [1.0, 3.0, 4.0, 6.0]);
    }
}
