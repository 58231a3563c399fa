//! Owns the standard normal distribution, as far as intervals need it.

/// The number below which a standard normal variable falls with the given probability.
///
/// Source: Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution", PPND16: rational
/// approximations with a relative error of about 1e-16. `None` outside (0, 1).
///
/// ```
/// assert_eq!(lakeloop_stats::normal_quantile(0.5), Some(0.0));
/// assert_eq!(lakeloop_stats::normal_quantile(1.0), None);
/// ```
pub fn normal_quantile(probability: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0) {
        return None;
    }
    let from_middle = probability - 0.5;
    if from_middle.abs() <= 0.425 {
        let r = 0.180625 - from_middle * from_middle;
        return Some(from_middle * polynomial(&MIDDLE.0, r) / polynomial(&MIDDLE.1, r));
    }
    let tail = if from_middle < 0.0 {
        probability
    } else {
        1.0 - probability
    };
    let r = (-tail.ln()).sqrt();
    let size = if r <= 5.0 {
        polynomial(&TAIL.0, r - 1.6) / polynomial(&TAIL.1, r - 1.6)
    } else {
        polynomial(&FAR_TAIL.0, r - 5.0) / polynomial(&FAR_TAIL.1, r - 5.0)
    };
    Some(size.copysign(from_middle))
}

/// The quantile that leaves (1 − confidence) / 2 on each side; `None` unless confidence is in (0, 1).
pub(crate) fn two_sided(confidence: f64) -> Option<f64> {
    if confidence > 0.0 && confidence < 1.0 {
        normal_quantile(0.5 + confidence / 2.0)
    } else {
        None
    }
}

/// The coefficients of a rational function, numerator and denominator, lowest power first.
type Rational = ([f64; 8], [f64; 8]);

/// For probabilities within 0.425 of the middle.
#[allow(clippy::excessive_precision)] // as printed in the paper
const MIDDLE: Rational = (
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ],
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ],
);

/// For tails down to exp(−25).
#[allow(clippy::excessive_precision)] // as printed in the paper
const TAIL: Rational = (
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ],
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ],
);

/// For tails beyond.
#[allow(clippy::excessive_precision)] // as printed in the paper
const FAR_TAIL: Rational = (
    [
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ],
    [
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ],
);

fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: scipy 1.17.1, `scipy.stats.norm.ppf`.
    #[test]
    #[allow(clippy::unwrap_used)]
    fn quantiles_equal_those_of_scipy() {
        for (probability, expected) in [
            (1e-300, -37.0470962993612),
            (1e-12, -7.034483825301131),
            (1e-05, -4.264890793922825),
            (0.01, -2.3263478740408408),
            (0.0749, -1.4402382675279635),
            (0.0751, -1.4388253927525403),
            (0.3, -0.5244005127080409),
            (0.51, 0.02506890825871106),
            (0.9, 1.2815515655446004),
            (0.925, 1.4395314709384563),
            (0.975, 1.959963984540054),
            (0.99, 2.3263478740408408),
            (0.995, 2.5758293035489004),
            (0.9999999, 5.199337582290661),
        ] {
            let found: f64 = normal_quantile(probability).unwrap();
            assert!(
                (found / expected - 1.0_f64).abs() < 1e-14,
                "{probability}: {found} instead of {expected}"
            );
        }
        assert_eq!(two_sided(0.95), normal_quantile(0.975));
    }

    #[test]
    fn there_is_no_quantile_outside_the_open_unit_interval() {
        for probability in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(normal_quantile(probability), None);
            assert_eq!(two_sided(probability), None);
        }
    }
}
