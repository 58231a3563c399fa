//! Owns the ensemble: a checked model that predicts.

use crate::error::{ModelError, ShapeError};
use crate::layout::Layout;
use crate::objective::Objective;
use crate::{compile, json, ubjson, walk};

/// A model of boosted trees, ready to predict. Immutable; share it between threads as it is.
///
/// Rows are f32, one value for each of [`n_features`](Self::n_features) columns, row-major. NaN is missing, and
/// nothing else is. At a numeric split a value less than the threshold goes left, an equal one right. At a
/// categorical split the value is a category's code: a code of the split's set goes right, any other left, be it
/// negative, fractional below 0, or one that training never saw. A missing value goes to the split's default side.
#[derive(Debug)]
pub struct Ensemble {
    pub(crate) layout: Layout,
    pub(crate) base_margins: Vec<f32>,
    pub(crate) n_features: usize,
    pub(crate) objective: Objective,
    pub(crate) feature_names: Vec<String>,
}

impl Ensemble {
    /// Reads a model as XGBoost's `save_model` writes it, JSON or UBJSON, whichever the bytes are.
    ///
    /// Takes a few milliseconds for 200 trees of depth 6. The caller limits the size of the file; what is allocated is in
    /// proportion to it.
    pub fn from_bytes(model: &[u8]) -> Result<Self, ModelError> {
        // Both formats start with a brace. In UBJSON the length of the first key follows, by its type.
        let start = model.trim_ascii_start();
        match (start.first(), start.get(1)) {
            (Some(b'{'), Some(b'i' | b'U' | b'I' | b'l' | b'L')) => Self::from_ubj(model),
            (Some(b'{'), _) => Self::from_json(model),
            _ => Err(ModelError::UnknownFormat {
                start: model[..model.len().min(16)].escape_ascii().to_string(),
            }),
        }
    }

    /// Reads a model saved as `.json`.
    pub fn from_json(model: &[u8]) -> Result<Self, ModelError> {
        compile::compile(json::read(model)?)
    }

    /// Reads a model saved as `.ubj`.
    pub fn from_ubj(model: &[u8]) -> Result<Self, ModelError> {
        compile::compile(ubjson::read(model)?)
    }

    /// The columns of a row; at least 1.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The values that a row gives: the number of classes, of quantiles or of targets; otherwise 1.
    pub fn n_outputs(&self) -> usize {
        self.base_margins.len()
    }

    /// The number of trees, those of all outputs together. All of them count; a `best_iteration` in the model's
    /// attributes does not cut them.
    pub fn n_trees(&self) -> usize {
        self.layout.trees.len()
    }

    /// The bytes that predictions may touch, besides rows and outputs.
    pub fn n_bytes(&self) -> usize {
        self.layout.n_bytes() + size_of_val(self.base_margins.as_slice())
    }

    /// What the model was trained for.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The names of the columns, if the model was saved with names; otherwise empty.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// Writes the margins of `rows` `[n_rows, n_features]` to `out` `[n_rows, n_outputs]`: base score and leaves,
    /// before the link. Equal bit for bit to libxgboost 3.4's `output_margin`.
    ///
    /// Allocates nothing. When the shapes do not fit, `out` is left alone.
    pub fn margins_into(&self, rows: &[f32], out: &mut [f32]) -> Result<(), ShapeError> {
        self.check_shape(rows, out)?;
        for (row, margins) in self.pairs(rows, out) {
            self.margins(row, margins);
        }
        Ok(())
    }

    /// Writes the predictions of `rows` `[n_rows, n_features]` to `out` `[n_rows, n_outputs]`: the margins after the
    /// [`link`](Objective::link). Within 1e-6 of libxgboost's, relative to values above 1.
    ///
    /// Allocates nothing. When the shapes do not fit, `out` is left alone.
    pub fn predict_into(&self, rows: &[f32], out: &mut [f32]) -> Result<(), ShapeError> {
        self.check_shape(rows, out)?;
        let link = self.objective.link();
        for (row, predictions) in self.pairs(rows, out) {
            self.margins(row, predictions);
            link.apply(predictions);
        }
        Ok(())
    }

    fn margins(&self, row: &[f32], margins: &mut [f32]) {
        margins.copy_from_slice(&self.base_margins);
        walk::add_leaves(&self.layout, row, margins);
    }

    fn pairs<'a>(&self, rows: &'a [f32], out: &'a mut [f32]) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> {
        rows.chunks_exact(self.n_features)
            .zip(out.chunks_exact_mut(self.n_outputs()))
    }

    fn check_shape(&self, rows: &[f32], out: &[f32]) -> Result<(), ShapeError> {
        if !rows.len().is_multiple_of(self.n_features) {
            return Err(ShapeError::Rows {
                found: rows.len(),
                n_features: self.n_features,
            });
        }
        let n_rows = rows.len() / self.n_features;
        match n_rows.checked_mul(self.n_outputs()) == Some(out.len()) {
            true => Ok(()),
            false => Err(ShapeError::Outputs {
                found: out.len(),
                n_rows,
                n_outputs: self.n_outputs(),
            }),
        }
    }
}
