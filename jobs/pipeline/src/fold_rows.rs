//! Copies of the rows of folds that lie inside the rows fitted on, for trials and for refits.

use crate::folds::Fold;
use crate::matrix::Matrix;
use crate::trial;
use crate::xgb::LabelledMatrix;

/// The rows of one fold.
pub(crate) struct FoldRows {
    train: Part,
    validation: Part,
}

struct Part {
    rows: Matrix,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl FoldRows {
    /// Copies the rows of a fold out of all rows, whose positions it names. Rankings are not kept together.
    pub fn of(all: LabelledMatrix<'_>, fold: &Fold) -> Self {
        let part = |positions: &[usize]| Part {
            rows: all.rows.select(positions),
            labels: selected(all.labels, positions),
            weights: all.weights.map(|weights| selected(weights, positions)),
        };
        Self {
            train: part(&fold.train),
            validation: part(&fold.validation),
        }
    }

    /// The same, as trials take it.
    pub fn as_fold(&self) -> trial::Fold<'_> {
        trial::Fold {
            train: self.train.labelled(),
            validation: self.validation.labelled(),
        }
    }
}

impl Part {
    fn labelled(&self) -> LabelledMatrix<'_> {
        LabelledMatrix {
            rows: &self.rows,
            labels: &self.labels,
            weights: self.weights.as_deref(),
            groups: &[],
        }
    }
}

/// The values at some positions.
pub(crate) fn selected<T: Copy>(values: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().map(|position| values[*position]).collect()
}
