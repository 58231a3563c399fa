//! Calibrates the probabilities of a binary model, where a threshold makes decisions of them and where it helps.
//!
//! Platt's map is fitted on the earlier half of the validation rows and tried on the later half; only when it lowers
//! the log loss there, by more than its noise, is it fitted on all of them and kept. The metrics of a model stay those of
//! its raw probabilities, which no validation row has shaped but through the choice among trials.

use lakeloop_decide::calibrate::{calibrated, log_odds};
use lakeloop_domain::{Blueprint, Calibration, LearningTarget, Policy};
use lakeloop_stats::Example;
use lakeloop_stats::calibrate::fit_platt;

use crate::loss::{Gain, losses};

/// The calibration of a model by its raw probabilities on the validation rows, which are in the order of time.
pub(crate) fn calibration(blueprint: &Blueprint, raw: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Calibration {
    let target = blueprint.learning_target();
    let decides_by_probability = matches!(blueprint.policy, Policy::Threshold { .. });
    if !decides_by_probability || target != LearningTarget::Binary {
        return Calibration::Identity;
    }
    let half = raw.len() / 2;
    let (earlier, later) = (
        weights.map(|weights| &weights[..half]),
        weights.map(|weights| &weights[half..]),
    );
    let helps = fit(&raw[..half], &labels[..half], earlier).is_some_and(|fitted| {
        let mapped: Vec<f64> = raw[half..].iter().map(|raw| calibrated(&fitted, *raw)).collect();
        let plain = losses(&target, &raw[half..], &labels[half..]);
        // Only yes/no decisions get here, so that each row is a decision.
        let decisions: Vec<usize> = (half..raw.len()).collect();
        let gain = Gain::over(&plain, &losses(&target, &mapped, &labels[half..]), &decisions, later);
        gain.is_some_and(|gain| gain.mean > gain.standard_error)
    });
    let fitted = if helps { fit(raw, labels, weights) } else { None };
    fitted.unwrap_or(Calibration::Identity)
}

/// Platt's map for raw probabilities; `None` when there is none, or when it would turn the order of scores around.
fn fit(raw: &[f64], labels: &[f64], weights: Option<&[f64]>) -> Option<Calibration> {
    let examples: Vec<Example<bool>> = raw
        .iter()
        .zip(labels)
        .enumerate()
        .map(|(row_idx, (raw, label))| Example {
            score: log_odds(*raw),
            label: *label != 0.0,
            weight: weights.map_or(1.0, |weights| weights[row_idx]),
        })
        .collect();
    let platt = fit_platt(&examples)?;
    let (slope, intercept) = (platt.slope, platt.intercept);
    (slope > 0.0 && slope.is_finite() && intercept.is_finite()).then_some(Calibration::Platt { slope, intercept })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use lakeloop_config::parse_blueprint;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const YES_NO: &str = r#"
name = "late"
description = "Will it be late?"
unit = "flight"
decision = { kind = "yes_no", default = false }
context = { x = "number" }
outcome = { event = "arrived", aggregation = "last", type = "yes_no", window = "1h", absent = "exclude" }
"#;

    fn blueprint(text: &str) -> Blueprint {
        parse_blueprint("late.toml", text).unwrap().blueprint
    }

    /// Labels drawn with the true probabilities, and what a model says about them.
    fn rows(n_rows: usize, said: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let row = |_| {
            let probability: f64 = rng.random_range(0.02..0.98);
            (said(probability), f64::from(u8::from(rng.random_bool(probability))))
        };
        (0..n_rows).map(row).unzip()
    }

    #[test]
    fn overconfident_probabilities_are_drawn_back() {
        let (raw, labels) = rows(4_000, |p| 1.0 / (1.0 + (-3.0 * log_odds(p)).exp()));
        let Calibration::Platt { slope, intercept } = calibration(&blueprint(YES_NO), &raw, &labels, None) else {
            panic!("probabilities three times too sure of themselves were left as they are")
        };
        assert!((slope - 1.0 / 3.0).abs() < 0.05, "slope {slope}");
        assert!(intercept.abs() < 0.2, "intercept {intercept}");
    }

    #[test]
    fn honest_probabilities_and_policies_without_a_threshold_are_left_alone() {
        let (raw, labels) = rows(4_000, |p| p);
        assert_eq!(
            calibration(&blueprint(YES_NO), &raw, &labels, None),
            Calibration::Identity
        );
        let (raw, labels) = rows(4_000, |p| 1.0 / (1.0 + (-3.0 * log_odds(p)).exp()));
        let explores = blueprint(&format!(
            "{YES_NO}policy = {{ kind = \"epsilon_greedy\", epsilon = 0.1 }}\n"
        ));
        assert_eq!(calibration(&explores, &raw, &labels, None), Calibration::Identity);
        assert_eq!(
            calibration(&blueprint(YES_NO), &raw[..3], &[1.0; 3], None),
            Calibration::Identity
        );
    }
}
