//! Owns how a calibration is applied: from a model's raw probability or quantile to the one that policies and answers use.
//!
//! Fitting is left to training. Both sides take log-odds from [`log_odds`], so what was fitted is what is applied.

use lakeloop_domain::Calibration;

/// How far probabilities are kept from 0 and 1 before their log-odds are taken: 2⁻²⁴, the distance from 1 of the largest
/// f32 below it. A model's f32 probability of exactly 1 therefore counts as the nearest one below.
const EDGE: f64 = 1.0 / 16_777_216.0;

/// ln(p / (1 − p)) of a probability, after moving p into [2⁻²⁴, 1 − 2⁻²⁴]; always finite for p in [0, 1], NaN for NaN.
pub fn log_odds(probability: f64) -> f64 {
    let inside = probability.clamp(EDGE, 1.0 - EDGE);
    (inside / (1.0 - inside)).ln()
}

/// The calibrated probability of a raw one, or the quantile that holds at its rate of a raw one.
///
/// Identity: the raw one. Shift: the raw one plus a number. Platt (Platt 1999, "Probabilistic outputs for support vector
/// machines", with the log-odds of the raw probability as the score): 1 / (1 + exp(−(slope · log_odds(p) + intercept))).
/// Isotonic (Zadrozny & Elkan 2002): the straight line between the two knots around p, and the height of the outermost knot
/// beyond it; O(log knots). NaN gives NaN.
pub fn calibrated(calibration: &Calibration, probability: f64) -> f64 {
    match calibration {
        Calibration::Identity => probability,
        Calibration::Platt { slope, intercept } => 1.0 / (1.0 + (-(slope * log_odds(probability) + intercept)).exp()),
        Calibration::Isotonic {
            raw,
            calibrated: heights,
        } => between_knots(raw, heights, probability),
        Calibration::Shift { by } => probability + by,
    }
}

/// The height of a curve that is given by its knots, of which there is at least one.
fn between_knots(knots: &[f64], heights: &[f64], at: f64) -> f64 {
    if at.is_nan() {
        return f64::NAN;
    }
    let above = knots.partition_point(|knot| *knot <= at);
    let Some(below) = above.checked_sub(1) else {
        return heights[0];
    };
    let Some(next) = knots.get(above) else {
        return heights[below];
    };
    let share = (at - knots[below]) / (next - knots[below]);
    // Rounding must not carry a value past its next knot, which would turn an order around.
    (heights[below] + share * (heights[above] - heights[below])).min(heights[above])
}

/// True when knots and heights are a curve from probabilities to probabilities that never falls.
pub(crate) fn is_isotonic(knots: &[f64], heights: &[f64]) -> bool {
    let are_probabilities = |values: &[f64]| values.iter().all(|value| (0.0..=1.0).contains(value));
    !knots.is_empty()
        && knots.len() == heights.len()
        && are_probabilities(knots)
        && are_probabilities(heights)
        && knots.windows(2).all(|pair| pair[0] < pair[1])
        && heights.windows(2).all(|pair| pair[0] <= pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[test]
    fn the_map_with_slope_one_and_intercept_zero_changes_nothing_but_the_ends() {
        let neutral = Calibration::Platt {
            slope: 1.0,
            intercept: 0.0,
        };
        for probability in [0.001, 0.25, 0.5, 0.9, 0.999] {
            assert!((calibrated(&neutral, probability) - probability).abs() < 1e-15);
            assert_eq!(calibrated(&Calibration::Identity, probability), probability);
        }
        assert!((calibrated(&neutral, 1.0) - (1.0 - EDGE)).abs() < 1e-15);
        assert!((calibrated(&neutral, 0.0) - EDGE).abs() < 1e-15);
        assert_eq!(calibrated(&Calibration::Identity, 1.0), 1.0);
    }

    #[test]
    fn values_by_hand() {
        // log_odds(0.8) = ln 4; 1 / (1 + exp(−(2 · ln 4 − ln 2))) = 1 / (1 + 1/8)
        let platt = Calibration::Platt {
            slope: 2.0,
            intercept: -std::f64::consts::LN_2,
        };
        assert!((calibrated(&platt, 0.8) - 8.0 / 9.0).abs() < 1e-15);
        assert!(calibrated(&platt, f64::NAN).is_nan());
    }

    fn curve(raw: &[f64], calibrated: &[f64]) -> Calibration {
        Calibration::Isotonic {
            raw: raw.to_vec(),
            calibrated: calibrated.to_vec(),
        }
    }

    #[test]
    fn an_isotonic_curve_is_straight_between_its_knots_and_level_beyond() {
        let isotonic = curve(&[0.2, 0.4, 0.6], &[0.1, 0.1, 0.5]);
        for (raw, expected) in [
            (0.0, 0.1),
            (0.2, 0.1),
            (0.3, 0.1),
            (0.4, 0.1),
            (0.5, 0.3),
            (0.6, 0.5),
            (1.0, 0.5),
        ] {
            assert!((calibrated(&isotonic, raw) - expected).abs() < 1e-15, "{raw}");
        }
        assert_eq!(calibrated(&curve(&[0.5], &[0.25]), 0.9), 0.25);
        assert!(calibrated(&isotonic, f64::NAN).is_nan());
    }

    #[test]
    fn a_shift_moves_every_quantile_by_the_same() {
        let shift = Calibration::Shift { by: -1.5 };
        assert_eq!([0.0, 20.25].map(|raw| calibrated(&shift, raw)), [-1.5, 18.75]);
        assert!(calibrated(&shift, f64::NAN).is_nan());
    }

    #[test]
    fn what_is_no_rising_curve_is_told() {
        assert!(is_isotonic(&[0.2, 0.4], &[0.1, 0.1]));
        for (knots, heights) in [
            (&[][..], &[][..]),
            (&[0.2], &[]),
            (&[0.4, 0.2], &[0.1, 0.2]),
            (&[0.2, 0.2], &[0.1, 0.2]),
            (&[0.2, 0.4], &[0.2, 0.1]),
            (&[0.2, 1.1], &[0.1, 0.2]),
            (&[0.2, 0.4], &[0.1, f64::NAN]),
        ] {
            assert!(!is_isotonic(knots, heights), "{knots:?} {heights:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(7),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_positive_slope_keeps_the_order(a in 0.0..=1.0_f64, b in 0.0..=1.0_f64, slope in 0.01..10.0_f64, intercept in -5.0..5.0_f64) {
            let platt = Calibration::Platt { slope, intercept };
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(calibrated(&platt, low) <= calibrated(&platt, high));
            prop_assert!((0.0..=1.0).contains(&calibrated(&platt, a)));
        }

        #[test]
        fn an_isotonic_curve_keeps_the_order(
            a in 0.0..=1.0_f64, b in 0.0..=1.0_f64,
            mut raw in proptest::collection::vec(0.0..=1.0_f64, 1..12), mut heights in proptest::collection::vec(0.0..=1.0_f64, 12),
        ) {
            raw.sort_by(f64::total_cmp);
            raw.dedup();
            heights.truncate(raw.len());
            heights.sort_by(f64::total_cmp);
            let isotonic = curve(&raw, &heights);
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(calibrated(&isotonic, low) <= calibrated(&isotonic, high));
            prop_assert!((0.0..=1.0).contains(&calibrated(&isotonic, a)));
        }
    }
}
