//! Owns intervals for single predictions: split-conformal quantiles of residuals.
//!
//! Source: Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World"; Lei, G'Sell, Rinaldo, Tibshirani &
//! Wasserman 2018, "Distribution-free predictive inference for regression", theorem 2. The residuals come from rows
//! that the model was not fitted on. As long as later rows are exchangeable with those, the interval covers at least
//! at its stated rate, whatever the model and the noise; where the noise drifts or depends on the features, it does so
//! on average only.

/// What is added to a prediction to get the two ends of its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResidualBounds {
    /// Added for the lower end; mostly below 0.
    pub low: f64,
    /// Added for the upper end.
    pub high: f64,
}

/// The bounds for residuals (label − prediction) such that half of what is not covered lies on each side: the lower one
/// is the ⌊(n + 1) · α/2⌋-th smallest residual, the upper one the ⌈(n + 1) · (1 − α/2)⌉-th, with α = 1 − `coverage`.
/// Each side then misses at most α/2 of the rows (Linusson, Johansson & Löfström 2014, "Signed-error conformal
/// regression").
///
/// `None` for a coverage outside (0, 1), residuals that are not finite, or fewer of them than that needs: n + 1 ≥ 2/α, 19
/// for 90 %.
///
/// ```
/// let residuals: Vec<f64> = (-49..=49).map(f64::from).collect();
/// let bounds = lakeloop_stats::conformal::residual_bounds(&residuals, 0.9).expect("99 residuals");
/// assert_eq!((bounds.low, bounds.high), (-45.0, 45.0));
/// ```
pub fn residual_bounds(residuals: &[f64], coverage: f64) -> Option<ResidualBounds> {
    let is_share = coverage > 0.0 && coverage < 1.0;
    if !is_share || residuals.iter().any(|residual| !residual.is_finite()) {
        return None;
    }
    let mut sorted = residuals.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    // The product is rounded first where it is a whole number but for the last bits, as 100 · 0.05 is.
    let beyond = (n as f64 + 1.0) * (1.0 - coverage) / 2.0;
    let rank = (beyond + 1e-9).floor() as usize;
    let low = sorted.get(rank.checked_sub(1)?)?;
    Some(ResidualBounds {
        low: *low,
        high: sorted[n - rank],
    })
}
