//! Owns the ensemble: a checked model that predicts.

use crate::complete::CompleteTrees;
use crate::error::{ModelError, ShapeError};
use crate::objective::Objective;
use crate::technique::{Choice, Forms, Plan};
use crate::{compile, json, ubjson};

/// The rows that are evaluated before the link is applied to their margins; a multiple of what techniques take at once.
const LINKED_ROWS: usize = 4096;

/// A model of boosted trees, ready to predict. Immutable; share it between threads as it is.
///
/// Rows are f32, one value for each of [`n_features`](Self::n_features) columns, row-major. NaN is missing, and
/// nothing else is. At a numeric split a value less than the threshold goes left, an equal one right. At a
/// categorical split the value is a category's code: a code of the split's set goes right, any other left, be it
/// negative, fractional below 0, or one that training never saw. A missing value goes to the split's default side.
#[derive(Debug)]
pub struct Ensemble {
    pub(crate) forms: Forms,
    pub(crate) plan: Plan,
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
        Self::from_bytes_by(model, Choice::Estimated)
    }

    /// Reads a model as [`from_bytes`](Self::from_bytes) does, with another choice of techniques. Predictions are the
    /// same to the last bit, whatever is chosen.
    pub fn from_bytes_by(model: &[u8], choice: Choice<'_>) -> Result<Self, ModelError> {
        // Both formats start with a brace. In UBJSON the length of the first key follows, by its type.
        let start = model.trim_ascii_start();
        match (start.first(), start.get(1)) {
            (Some(b'{'), Some(b'i' | b'U' | b'I' | b'l' | b'L')) => compile::compile(ubjson::read(model)?, choice),
            (Some(b'{'), _) => compile::compile(json::read(model)?, choice),
            _ => Err(ModelError::UnknownFormat {
                start: model[..model.len().min(16)].escape_ascii().to_string(),
            }),
        }
    }

    /// Reads a model saved as `.json`.
    pub fn from_json(model: &[u8]) -> Result<Self, ModelError> {
        compile::compile(json::read(model)?, Choice::Estimated)
    }

    /// Reads a model saved as `.ubj`.
    pub fn from_ubj(model: &[u8]) -> Result<Self, ModelError> {
        compile::compile(ubjson::read(model)?, Choice::Estimated)
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
        self.forms.layout.trees.len()
    }

    /// The bytes that predictions may touch, besides rows and outputs.
    pub fn n_bytes(&self) -> usize {
        let complete = self.forms.complete.as_ref().map_or(0, CompleteTrees::n_bytes);
        self.forms.layout.n_bytes() + complete + size_of_val(self.base_margins.as_slice())
    }

    /// The techniques that serve.
    pub fn plan(&self) -> Plan {
        self.plan
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
        self.margins(rows, out);
        Ok(())
    }

    /// Writes the predictions of `rows` `[n_rows, n_features]` to `out` `[n_rows, n_outputs]`: the margins after the
    /// [`link`](Objective::link). Within 1e-6 of libxgboost's, relative to values above 1, and the same to the last bit on
    /// every machine.
    ///
    /// Allocates nothing. When the shapes do not fit, `out` is left alone.
    pub fn predict_into(&self, rows: &[f32], out: &mut [f32]) -> Result<(), ShapeError> {
        self.check_shape(rows, out)?;
        // Margins are linked while they are still in the cache.
        let rows = rows.chunks(LINKED_ROWS * self.n_features);
        for (rows, out) in rows.zip(out.chunks_mut(LINKED_ROWS * self.n_outputs())) {
            self.margins(rows, out);
            self.objective.link().apply(out, self.n_outputs());
        }
        Ok(())
    }

    fn margins(&self, rows: &[f32], margins: &mut [f32]) {
        let (n_features, n_outputs) = (self.n_features, self.n_outputs());
        for margins in margins.chunks_exact_mut(n_outputs) {
            margins.copy_from_slice(&self.base_margins);
        }
        let n_many = self.plan.n_many(rows.len() / n_features);
        let (many, few) = rows.split_at(n_many * n_features);
        let (many_margins, few_margins) = margins.split_at_mut(n_many * n_outputs);
        if !many.is_empty() {
            self.forms
                .add_leaves(self.plan.many, many, n_features, many_margins, n_outputs);
        }
        self.forms
            .add_leaves(self.plan.one, few, n_features, few_margins, n_outputs);
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
