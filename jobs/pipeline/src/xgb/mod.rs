//! Fits and evaluates gradient-boosted trees with libxgboost: the only module that touches it.
//!
//! libxgboost keeps its objects in memory of its own and reports failures as text, so everything here is made, used
//! and dropped within one blocking call on one thread; only plain numbers and bytes come out. Parameters are set by
//! name: the binding's own parameter types always send a base score of 0.5, which is taken back here so that
//! libxgboost starts from the mean of the labels.
//!
//! A fit is a function of matrix, parameters, seed and thread count. The thread count matters because partial sums of
//! gradients are added in the order of the threads' blocks.

mod lean;
mod saved;
mod trainer;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub(crate) use saved::{Predictor, cut_saved};
pub(crate) use trainer::{MAX_ROUNDS, Stand, Trainer, TrainerOptions, Training};

use lakeloop_domain::{EncodedColumn, FeatureType};
use xgb::{DMatrix, XGBError};

use crate::matrix::Matrix;

/// Why libxgboost could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XgbError {
    /// A call failed.
    #[error("libxgboost could not {doing}: {}", first_line(source))]
    Call {
        /// What was being done.
        doing: &'static str,
        /// What libxgboost said.
        source: XGBError,
    },
    /// The evaluation did not name the metric that was asked for.
    #[error("libxgboost's evaluation of round {round} holds no `{metric}`")]
    NoMetric {
        /// The round.
        round: u32,
        /// The metric.
        metric: &'static str,
    },
    /// The loss is not a number: the fit went astray.
    #[error("the validation {metric} of round {round} is {found}; the labels are too large or the fit diverged")]
    NotFinite {
        /// The round.
        round: u32,
        /// The metric.
        metric: &'static str,
        /// The value.
        found: f32,
    },
}

/// libxgboost appends a stack trace to its message; only the message is of use.
fn first_line(error: &XGBError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn call(doing: &'static str) -> impl FnOnce(XGBError) -> XgbError {
    move |source| XgbError::Call { doing, source }
}
/// Rows with their labels; for several classes the label is the class's position.
#[derive(Clone, Copy)]
pub(crate) struct LabelledMatrix<'a> {
    /// The rows.
    pub rows: &'a Matrix,
    /// One label a row; libxgboost keeps it in single precision.
    pub labels: &'a [f64],
    /// How much each row counts, above 0; `None`: all count the same.
    pub weights: Option<&'a [f64]>,
    /// The number of rows of each ranking, in the rows' order; empty where no order is learned.
    pub groups: &'a [u32],
}

fn type_word(column: &EncodedColumn) -> &'static str {
    match column.feature_type {
        FeatureType::Category => "c",
        FeatureType::Number | FeatureType::Boolean => "float",
    }
}

fn dense(rows: &Matrix, columns: &[EncodedColumn]) -> Result<DMatrix, XgbError> {
    let mut matrix = DMatrix::from_dense(rows.values(), rows.n_rows()).map_err(call("take rows"))?;
    let types: Vec<&str> = columns.iter().map(type_word).collect();
    matrix
        .set_feature_types(&types)
        .map_err(call("take the types of columns"))?;
    Ok(matrix)
}
