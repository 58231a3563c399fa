//! Moves predicted quantiles to where as many labels lie below them as should.
//!
//! The pinball loss draws a model's quantile to where its own rows ask for it, and early stopping and penalties hold it back, so
//! that later rows are covered at another rate. What is added is a quantile of the residuals of rows that the model was not fitted
//! on (conformalized quantile regression: Romano, Patterson and Candès 2019, of one side), of the same rows as intervals are made
//! of and for the same reasons (see [`crate::interval`]): those of the last fold and the validation rows. On a year of flights, which
//! drifts, these two miss in opposite ways.

use lakeloop_domain::Calibration;

use crate::calibrate::{Chosen, Raw};
use crate::loss::{quantile_of, weighted_mean};

/// With fewer rows the tail beyond a quantile is a handful of them.
const MIN_ROWS: usize = 100;

/// The shift that a quantile asks for by the rows of the last fold and the validation rows, where they miss its rate by more than a
/// standard error.
pub(crate) fn shift(quantile: f64, last_fold: Raw<'_>, validation: Raw<'_>) -> Chosen {
    let none = |reason: String| Chosen {
        map: Calibration::Identity,
        reason,
    };
    let residuals: Vec<f64> = last_fold.residuals().chain(validation.residuals()).collect();
    let n_rows = residuals.len();
    if n_rows < MIN_ROWS {
        return none(format!("{n_rows} rows are too few to tell where a quantile lies"));
    }
    let weights = match (last_fold.weights, validation.weights) {
        (Some(earlier), Some(later)) => Some([earlier, later].concat()),
        _ => None,
    };
    let below: Vec<f64> = residuals
        .iter()
        .map(|residual| f64::from(u8::from(*residual <= 0.0)))
        .collect();
    let covered = weighted_mean(&below, weights.as_deref());
    let noise = (quantile * (1.0 - quantile) / n_rows as f64).sqrt();
    if (covered - quantile).abs() <= noise {
        return none(format!("{:.1} % lie below, as should", covered * 100.0));
    }
    let by = quantile_of(&residuals, weights.as_deref(), quantile);
    if !by.is_finite() {
        return none("a residual is no number".to_owned());
    }
    Chosen {
        map: Calibration::Shift { by },
        reason: format!(
            "{:.1} % of the last fold's and the validation labels lay below, {:.1} % should",
            covered * 100.0,
            quantile * 100.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for by two parts of labels from 0 to 1, of which a model says that nine in ten lie below `said`.
    fn asked(said: f64, n_rows: usize) -> Calibration {
        let labels: Vec<f64> = (0..n_rows).map(|idx| (idx as f64 + 0.5) / n_rows as f64).collect();
        let predictions = vec![said; n_rows];
        let raw = Raw {
            predictions: &predictions,
            labels: &labels,
            weights: None,
        };
        shift(0.9, raw, raw).map
    }

    #[test]
    fn a_quantile_is_moved_to_its_rate_and_left_where_it_holds() {
        for said in [0.7, 0.97] {
            let found = asked(said, 500);
            let Calibration::Shift { by } = found else {
                unreachable!("{found:?}")
            };
            assert!((said + by - 0.9).abs() < 0.003, "{said} is moved by {by}");
        }
        assert_eq!(asked(0.905, 500), Calibration::Identity);
        assert_eq!(asked(0.5, 49), Calibration::Identity);
    }

    #[test]
    fn rows_count_by_their_weights() {
        let labels: Vec<f64> = (0..200).map(|idx| f64::from(idx % 10)).collect();
        let weights: Vec<f64> = labels
            .iter()
            .map(|label| if *label >= 5.0 { 3.0 } else { 1.0 })
            .collect();
        let raw = Raw {
            predictions: &[4.5; 200],
            labels: &labels,
            weights: Some(&weights),
        };
        // Three quarters of the weight lie above 4.5.
        assert_eq!(shift(0.25, raw, raw).map, Calibration::Identity);
        assert_eq!(shift(0.5, raw, raw).map, Calibration::Shift { by: 1.5 });
    }
}
