//! Owns the standard normal distribution, as far as the probability of being the best needs it.

/// 1 / √(2π).
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_7;

/// From here on the rational approximation gives way to the continued fraction.
const FAR: f64 = 7.071_067_811_865_47;

/// Numerator and denominator of the tail divided by exp(−z²/2), highest power first.
#[allow(clippy::excessive_precision)] // as printed
const NUMERATOR: [f64; 7] = [
    3.526_249_659_989_11e-2,
    0.700_383_064_443_688,
    6.373_962_203_531_65,
    33.912_866_078_383,
    112.079_291_497_871,
    221.213_596_169_931,
    220.206_867_912_376,
];
#[allow(clippy::excessive_precision)] // as printed
const DENOMINATOR: [f64; 8] = [
    8.838_834_764_831_84e-2,
    1.755_667_163_182_64,
    16.064_177_579_207,
    86.780_732_202_946_1,
    296.564_248_779_674,
    637.333_633_378_831,
    793.826_512_519_948,
    440.413_735_824_752,
];

/// The density at z, and the probability below z; the latter within 10⁻¹⁵.
///
/// Source: West 2005, "Better approximations to cumulative normal functions", Wilmott Magazine, after Hart 1968, "Computer
/// approximations", algorithm 5666.
pub(super) fn density_and_below(z: f64) -> (f64, f64) {
    let size = z.abs();
    let falling = (-0.5 * size * size).exp();
    let density = DENSITY_AT_ZERO * falling;
    let tail = if size < FAR {
        falling * polynomial(&NUMERATOR, size) / polynomial(&DENOMINATOR, size)
    } else {
        let fraction = [4.0, 3.0, 2.0, 1.0]
            .iter()
            .fold(size + 0.65, |below, over| size + over / below);
        density / fraction
    };
    (density, if z > 0.0 { 1.0 - tail } else { tail })
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: scipy 1.17.1, `scipy.stats.norm.cdf`.
    #[test]
    fn probabilities_equal_those_of_scipy() {
        for (z, expected) in [
            (-9.0, 1.1285884059538324e-19),
            (-6.0, 9.865876450376946e-10),
            (-3.0, 0.0013498980316300933),
            (-1.0, 0.15865525393145707),
            (0.0, 0.5),
            (0.5, 0.6914624612740131),
            (1.959963984540054, 0.975),
            (4.5, 0.9999966023268753),
            (9.0, 1.0),
        ] {
            let (_, below) = density_and_below(z);
            assert!((below - expected).abs() < 1e-15, "{z}: {below} instead of {expected}");
        }
    }

    #[test]
    fn the_density_is_the_slope() {
        for z in [-3.0, -0.7, 0.0, 1.1, 2.5] {
            let h = 1e-5;
            let slope = (density_and_below(z + h).1 - density_and_below(z - h).1) / (2.0 * h);
            assert!((density_and_below(z).0 - slope).abs() < 1e-9, "{z}");
        }
    }
}
