//! Calibrates the probabilities of a binary model where a threshold makes decisions of them and where it helps: by Platt's
//! curve or an isotonic one, whichever validates better.
//!
//! What is fitted on and chosen by are the out-of-fold predictions, so that neither the choice among trials nor the
//! judgement of the model has seen them in this role: both curves are fitted on all folds but the last and tried on the
//! last; the better one is kept when it lowers the log loss there by more than its noise, and fitted again on all folds.
//! A curve that makes the validation rows worse by more than noise (time moved on) is dropped.
//!
//! Policies that compare the scores of actions with each other need no probabilities, and an isotonic curve's level
//! stretches would make ties of their scores.

use lakeloop_decide::calibrate::{calibrated, log_odds};
use lakeloop_domain::{Blueprint, Calibration, LearningTarget, Policy};
use lakeloop_stats::Example;
use lakeloop_stats::calibrate::fit_platt;
use lakeloop_stats::isotonic::fit_isotonic;

use crate::loss::{Gain, losses};

/// An isotonic curve of fewer rows follows their noise (Niculescu-Mizil & Caruana 2005 find Platt's the better one below about
/// a thousand rows; the last fold decides between them anyhow).
const MIN_ISOTONIC_ROWS: usize = 200;

/// What a model says before calibration, a probability or a number, with what happened, in the order of time.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    /// What the model says.
    pub predictions: &'a [f64],
    /// What happened: of yes/no outcomes 1 and 0.
    pub labels: &'a [f64],
    /// How much each row counts; `None`: all count the same.
    pub weights: Option<&'a [f64]>,
}

/// A calibration, with the reason for it in a clause.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    /// The map.
    pub map: Calibration,
    /// Why.
    pub reason: String,
}

/// Chooses the calibration of a model by its out-of-fold probabilities, whose last fold begins at `last_fold_from`, and checks
/// it on the validation rows.
pub(crate) fn calibration(blueprint: &Blueprint, folds: Raw<'_>, last_fold_from: usize, validation: Raw<'_>) -> Chosen {
    let none = |reason: &str| Chosen {
        map: Calibration::Identity,
        reason: reason.to_owned(),
    };
    let decides_by_probability = matches!(blueprint.policy, Policy::Threshold { .. });
    if !decides_by_probability || blueprint.learning_target() != LearningTarget::Binary {
        return none("the policy compares scores and needs no probabilities");
    }
    let (earlier, last) = folds.split_at(last_fold_from);
    let tried = [fit_platt_map(earlier), fit_isotonic_map(earlier)];
    let gains = tried.iter().flatten().filter_map(|map| Some((map, last.gain(map)?)));
    let Some((best, gain)) = gains.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)) else {
        return none("too few rows in the folds to tell");
    };
    if gain.mean <= gain.standard_error {
        return none("no curve lowers the log loss of the last fold beyond noise");
    }
    let fitted = match best {
        Calibration::Isotonic { .. } => fit_isotonic_map(folds),
        _ => fit_platt_map(folds),
    };
    let Some(map) = fitted else {
        return none("no curve fits all folds");
    };
    if validation
        .gain(&map)
        .is_some_and(|gain| gain.mean < -gain.standard_error)
    {
        return none("the curve that the folds ask for makes the later validation rows worse");
    }
    Chosen {
        map,
        reason: format!(
            "lowers the log loss of the last fold by {:.5} ± {:.5}",
            gain.mean, gain.standard_error
        ),
    }
}

impl<'a> Raw<'a> {
    /// What labels are above predictions.
    pub fn residuals(self) -> impl Iterator<Item = f64> + 'a {
        let rows = self.labels.iter().zip(self.predictions);
        rows.map(|(label, predicted)| label - predicted)
    }

    /// The rows before a position, and those from it on.
    pub fn split_at(self, row_idx: usize) -> (Self, Self) {
        let part = |range: std::ops::Range<usize>| Self {
            predictions: &self.predictions[range.clone()],
            labels: &self.labels[range.clone()],
            weights: self.weights.map(|weights| &weights[range]),
        };
        (part(0..row_idx), part(row_idx..self.labels.len()))
    }

    /// How much a map lowers the log loss. Only yes/no decisions get here, so that each row is a decision.
    fn gain(self, map: &Calibration) -> Option<Gain> {
        let mapped: Vec<f64> = self.predictions.iter().map(|raw| calibrated(map, *raw)).collect();
        let decisions: Vec<usize> = (0..mapped.len()).collect();
        let lost = |predictions: &[f64]| losses(&LearningTarget::Binary, predictions, self.labels);
        Gain::over(&lost(self.predictions), &lost(&mapped), &decisions, self.weights)
    }

    fn examples(self, score: fn(f64) -> f64) -> Vec<Example<bool>> {
        let example = |row_idx: usize| Example {
            score: score(self.predictions[row_idx]),
            label: self.labels[row_idx] != 0.0,
            weight: self.weights.map_or(1.0, |weights| weights[row_idx]),
        };
        (0..self.labels.len()).map(example).collect()
    }
}

/// Platt's map; `None` when there is none, or when it would turn the order of scores around.
fn fit_platt_map(raw: Raw<'_>) -> Option<Calibration> {
    let platt = fit_platt(&raw.examples(log_odds))?;
    let (slope, intercept) = (platt.slope, platt.intercept);
    (slope > 0.0 && slope.is_finite() && intercept.is_finite()).then_some(Calibration::Platt { slope, intercept })
}

/// An isotonic map; `None` with too few rows, or one class. Its heights stay away from 0 and 1 by as much as Laplace's
/// rule of succession asks for, because a stretch without a positive is no proof that there will be none.
fn fit_isotonic_map(raw: Raw<'_>) -> Option<Calibration> {
    let n_rows = raw.labels.len();
    let curve = fit_isotonic(&raw.examples(|probability| probability)).filter(|_| n_rows >= MIN_ISOTONIC_ROWS)?;
    let least = 1.0 / (n_rows as f64 + 2.0);
    Some(Calibration::Isotonic {
        raw: curve.scores,
        calibrated: curve
            .values
            .iter()
            .map(|value| value.clamp(least, 1.0 - least))
            .collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use lakeloop_config::parse_blueprint;
    use lakeloop_stats::metrics::expected_calibration_error;
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
    fn rows(n_rows: usize, seed: u64, said: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let row = |_| {
            let probability: f64 = rng.random_range(0.02..0.98);
            (said(probability), f64::from(u8::from(rng.random_bool(probability))))
        };
        (0..n_rows).map(row).unzip()
    }

    /// The calibration that 3,000 folded rows ask for, and the calibration error before and after it on 20,000 others.
    fn calibrate(text: &str, said: impl Fn(f64) -> f64 + Copy) -> (Calibration, f64, f64) {
        let (folded, labels) = rows(3_000, 11, said);
        let (validated, later) = rows(600, 12, said);
        let raw = |predictions, labels| Raw {
            predictions,
            labels,
            weights: None,
        };
        let chosen = calibration(&blueprint(text), raw(&folded, &labels), 2_000, raw(&validated, &later));
        let (asked, happened) = rows(20_000, 13, said);
        let error = |map: &Calibration| {
            let rows: Vec<_> = asked
                .iter()
                .zip(&happened)
                .map(|(raw, label)| Example::new(calibrated(map, *raw), *label != 0.0))
                .collect();
            expected_calibration_error(&rows, 10).unwrap()
        };
        let errors = (error(&Calibration::Identity), error(&chosen.map));
        (chosen.map, errors.0, errors.1)
    }

    #[test]
    fn probabilities_too_sure_of_themselves_are_drawn_back_by_platt() {
        let (map, before, after) = calibrate(YES_NO, |p| 1.0 / (1.0 + (-3.0 * log_odds(p)).exp()));
        let Calibration::Platt { slope, intercept } = map else {
            panic!("{map:?}")
        };
        assert!((slope - 1.0 / 3.0).abs() < 0.05, "slope {slope}");
        assert!(intercept.abs() < 0.2, "intercept {intercept}");
        assert!(after <= before / 2.0, "{before} became {after}");
    }

    #[test]
    fn a_distortion_that_is_no_logistic_curve_is_mended_by_an_isotonic_one() {
        // Everything below one half is said to be 0.1 to 0.2, everything above 0.4 to 0.5: a step.
        let (map, before, after) = calibrate(YES_NO, |p| if p < 0.5 { 0.1 + 0.2 * p } else { 0.3 + 0.2 * p });
        assert!(matches!(map, Calibration::Isotonic { .. }), "{map:?}");
        assert!(after <= before / 2.0 && after < 0.03, "{before} became {after}");
    }

    #[test]
    fn honest_probabilities_and_policies_without_a_threshold_are_left_alone() {
        let overconfident = |p: f64| 1.0 / (1.0 + (-3.0 * log_odds(p)).exp());
        assert_eq!(calibrate(YES_NO, |p| p).0, Calibration::Identity);
        let explores = format!("{YES_NO}policy = {{ kind = \"epsilon_greedy\", epsilon = 0.1 }}\n");
        assert_eq!(calibrate(&explores, overconfident).0, Calibration::Identity);
        let few = Raw {
            predictions: &[0.5; 3],
            labels: &[1.0; 3],
            weights: None,
        };
        assert_eq!(calibration(&blueprint(YES_NO), few, 2, few).map, Calibration::Identity);
    }

    #[test]
    fn a_curve_that_time_has_outrun_is_dropped() {
        let overconfident = |p: f64| 1.0 / (1.0 + (-3.0 * log_odds(p)).exp());
        let (folded, labels) = rows(3_000, 11, overconfident);
        let (honest, later) = rows(2_000, 12, |p| p);
        let raw = |predictions, labels| Raw {
            predictions,
            labels,
            weights: None,
        };
        let chosen = calibration(&blueprint(YES_NO), raw(&folded, &labels), 2_000, raw(&honest, &later));
        assert_eq!(chosen.map, Calibration::Identity);
        assert!(
            chosen.reason.contains("later validation rows worse"),
            "{}",
            chosen.reason
        );
    }
}
