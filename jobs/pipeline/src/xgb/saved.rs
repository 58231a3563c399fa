//! Saved models, read back into libxgboost: cut to fewer rounds, evaluated, and asked what they go by.

use lakeloop_domain::EncodedColumn;
use xgb::Booster;

use super::lean::lean;
use super::{XgbError, call, dense};
use crate::matrix::Matrix;

pub(super) fn cut(booster: &Booster, n_rounds: u32) -> Result<Vec<u8>, XgbError> {
    let kept = booster
        .slice(0, n_rounds as i32)
        .map_err(call("cut the model to its first rounds"))?;
    kept.save_buffer(true).map(lean).map_err(call("save the model"))
}

/// A saved model cut to its first rounds, of which it has at least as many.
pub(crate) fn cut_saved(artifact: &[u8], n_rounds: u32) -> Result<Vec<u8>, XgbError> {
    cut(
        &Booster::load_buffer(artifact).map_err(call("load the saved model"))?,
        n_rounds,
    )
}

/// A saved model, loaded back into libxgboost.
pub(crate) struct Predictor {
    booster: Booster,
    columns: Vec<EncodedColumn>,
}

impl Predictor {
    /// Loads a saved model whose rows have these columns.
    pub fn load(artifact: &[u8], columns: &[EncodedColumn]) -> Result<Self, XgbError> {
        let mut booster = Booster::load_buffer(artifact).map_err(call("load the saved model"))?;
        for (name, value) in [("verbosity", "0"), ("nthread", "1")] {
            booster.set_param(name, value).map_err(call("take a parameter"))?;
        }
        Ok(Self {
            booster,
            columns: columns.to_vec(),
        })
    }

    /// Predicts: `[n_rows, n_outputs]`, after the link.
    pub fn predict(&self, rows: &Matrix) -> Result<Vec<f32>, XgbError> {
        if rows.n_rows() == 0 {
            return Ok(Vec::new());
        }
        self.booster
            .predict(&dense(rows, &self.columns)?)
            .map_err(call("predict"))
    }

    /// For each column its share of the gain of all splits; all 0 for a model without splits.
    pub fn gains(&self) -> Result<Vec<f64>, XgbError> {
        let mut gains = vec![0.0; self.columns.len()];
        for tree in self
            .booster
            .dump_model_vec(true)
            .map_err(call("write the model as text"))?
        {
            for (column, gain) in tree.lines().filter_map(split_of) {
                let by_name = self.columns.iter().position(|known| known.name == column);
                let by_position = || column.strip_prefix('f').and_then(|digits| digits.parse().ok());
                if let Some(sum) = by_name.or_else(by_position).and_then(|idx: usize| gains.get_mut(idx)) {
                    *sum += gain;
                }
            }
        }
        let total: f64 = gains.iter().sum();
        gains.iter_mut().filter(|_| total > 0.0).for_each(|gain| *gain /= total);
        Ok(gains)
    }

    /// For each column the mean over rows, and over outputs, of the size of its SHAP value (Lundberg et al. 2020, TreeSHAP), in
    /// units of the margin.
    pub fn mean_shap(&self, rows: &Matrix) -> Result<Vec<f64>, XgbError> {
        let n_columns = self.columns.len();
        let mut sums = vec![0.0; n_columns];
        if rows.n_rows() == 0 {
            return Ok(sums);
        }
        let (contributions, _) = self
            .booster
            .predict_contributions(&dense(rows, &self.columns)?)
            .map_err(call("explain predictions"))?;
        // Each output has one value a column and then its bias.
        let mut n_outputs = 0.0;
        for output in contributions.chunks_exact(n_columns + 1) {
            sums.iter_mut()
                .zip(output)
                .for_each(|(sum, value)| *sum += f64::from(value.abs()));
            n_outputs += 1.0;
        }
        Ok(sums.into_iter().map(|sum| sum / n_outputs).collect())
    }
}

/// The column and the gain of a line of a dumped tree, such as `0:[x<0.5] yes=1,no=2,missing=1,gain=3.5,cover=80`; `None`
/// for a leaf.
pub(super) fn split_of(line: &str) -> Option<(&str, f64)> {
    let (_, condition) = line.split_once('[')?;
    let column = &condition[..condition.find(['<', ':', ']'])?];
    let (_, gain) = condition.split_once("gain=")?;
    let gain = gain.split(',').next()?.trim().parse().ok()?;
    Some((column, gain))
}
