//! Owns how to look at many things at once and not take chance for a finding.

/// Holm's adjusted p-values (Holm 1979): what is below 0.05 is wrong, in any of the looks, in at most one of twenty
/// cases, whatever the looks have to do with each other. In the order given; capped at 1. NaN counts as 1.
///
/// ```
/// assert_eq!(lakeloop_stats::looks::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let p_value = |idx: &usize| if p_values[*idx].is_nan() { 1.0 } else { p_values[*idx] };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| p_value(a).total_cmp(&p_value(b)));
    let mut adjusted = vec![1.0; n];
    let mut largest = 0.0_f64;
    for (rank, idx) in order.iter().enumerate() {
        largest = largest.max((p_value(idx) * (n - rank) as f64).min(1.0));
        adjusted[*idx] = largest;
    }
    adjusted
}

/// The probability that a standard normal variable lies above `z`: a one-sided p-value. Source: Numerical approximation
/// of erfc by the continued fraction and series of Abramowitz & Stegun 1964, 26.2.10 and 26.2.14.
pub fn upper_tail(z: f64) -> f64 {
    if z.is_nan() {
        return f64::NAN;
    }
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 2.5 {
        // 1/2 − φ(z) · Σ z^(2k + 1) / (1 · 3 · 5 ⋯ (2k + 1)).
        let (mut term, mut sum) = (z, z);
        for k in 1..60 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // φ(z) / (z + 1/(z + 2/(z + 3/(z + …)))), from the inside out.
    let fraction = (1..=80).rev().fold(z, |inner, k| z + f64::from(k) / inner);
    density / fraction
}
