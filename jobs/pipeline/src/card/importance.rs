//! What a model decides by: each column's share of the gain, and the mean size of its SHAP values.

use lakeloop_domain::CardImportance;

use crate::error::PipelineError;
use crate::search::Problem;
use crate::xgb::Predictor;

/// Rows that are explained; TreeSHAP takes some hundred times as long as a prediction.
const MAX_ROWS: usize = 1_000;

/// Every column, the one with the largest SHAP values first.
pub(super) fn importance(predictor: &Predictor, problem: &Problem<'_>) -> Result<Vec<CardImportance>, PipelineError> {
    let n_rows = problem.validation.rows.n_rows();
    // Evenly over the validation rows, so that all of their time is seen.
    let step = n_rows.div_ceil(MAX_ROWS).max(1);
    let explained: Vec<usize> = (0..n_rows).step_by(step).collect();
    let shap = predictor.mean_shap(&problem.validation.rows.select(&explained))?;
    let columns = problem.encoding.columns.iter().zip(predictor.gains()?).zip(shap);
    let mut importance: Vec<CardImportance> = columns
        .map(|((column, gain), shap)| CardImportance {
            column: column.name.clone(),
            gain,
            shap,
        })
        .collect();
    importance.sort_by(|a, b| b.shap.total_cmp(&a.shap).then_with(|| a.column.cmp(&b.column)));
    Ok(importance)
}
