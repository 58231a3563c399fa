//! The loss of each validation row, the metric that losses add up to, and the constant prediction to beat.
//!
//! | target | loss of a row | metric |
//! |---|---|---|
//! | binary | −ln of the probability given to the label | `log_loss`: the mean |
//! | several classes | −ln of the probability given to the class | `multi_log_loss`: the mean |
//! | regression | squared error | `rmse`: the root of the mean |
//! | a quantile | pinball loss (Koenker and Bassett 1978) | `pinball`: the mean |
//! | amounts | Tweedie deviance (Jørgensen 1987, unit deviance) | `tweedie_deviance`, `gamma_deviance`: the mean |
//! | an order | see [`crate::order`] | `ndcg` |
//!
//! Where rows have weights, each mean is Σ w · x / Σ w.
//!
//! All losses are better when lower. They are kept row by row because what is judged is their difference between two
//! models on the same rows. A blueprint may ask for `auc` or `mae` instead: trials are then chosen by these, while what is
//! within noise goes on being judged by the losses.

use lakeloop_domain::{LearningTarget, QualityMetric};
use lakeloop_stats::Example;
use lakeloop_stats::clustered::clustered_mean;

/// Probabilities are kept 2⁻⁵² from 0, so that one certain error costs much (36) but not everything.
const LEAST_PROBABILITY: f64 = f64::EPSILON;

/// What trials are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    LogLoss,
    Auc,
    MultiLogLoss,
    Rmse,
    Mae,
    Pinball,
    TweedieDeviance,
    GammaDeviance,
    Ndcg,
}

impl Metric {
    /// The metric that a blueprint asks for, else the target's own.
    pub fn of(target: &LearningTarget, asked: Option<QualityMetric>) -> Self {
        match asked {
            Some(QualityMetric::Auc) => Self::Auc,
            Some(QualityMetric::LogLoss) => Self::LogLoss,
            Some(QualityMetric::Rmse) => Self::Rmse,
            Some(QualityMetric::Mae) => Self::Mae,
            Some(QualityMetric::MultiLogLoss) => Self::MultiLogLoss,
            None => match target {
                LearningTarget::Binary => Self::LogLoss,
                LearningTarget::Regression => Self::Rmse,
                LearningTarget::MultiClass { .. } => Self::MultiLogLoss,
                LearningTarget::Quantile { .. } => Self::Pinball,
                LearningTarget::Amount { power } if *power >= 2.0 => Self::GammaDeviance,
                LearningTarget::Amount { .. } => Self::TweedieDeviance,
                LearningTarget::Order => Self::Ndcg,
            },
        }
    }

    /// The word that tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogLoss => "log_loss",
            Self::Auc => "auc",
            Self::MultiLogLoss => "multi_log_loss",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::Pinball => "pinball",
            Self::TweedieDeviance => "tweedie_deviance",
            Self::GammaDeviance => "gamma_deviance",
            Self::Ndcg => "ndcg",
        }
    }

    /// True for those of which more is better.
    pub fn higher_is_better(self) -> bool {
        matches!(self, Self::Auc | Self::Ndcg)
    }

    /// The value turned so that lower is better.
    pub fn badness(self, value: f64) -> f64 {
        if self.higher_is_better() { -value } else { value }
    }

    /// The value on rows; `scores` is `[n_rows, n_outputs]`. `None` where it is undefined.
    pub fn value(
        self,
        target: &LearningTarget,
        scores: &[f64],
        labels: &[f64],
        weights: Option<&[f64]>,
    ) -> Option<f64> {
        match self {
            Self::Auc => {
                let rows = scores.iter().zip(labels).enumerate();
                let example = |(row_idx, (score, label)): (usize, (&f64, &f64))| Example {
                    score: *score,
                    label: *label != 0.0,
                    weight: weights.map_or(1.0, |weights| weights[row_idx]),
                };
                lakeloop_stats::metrics::auc(&rows.map(example).collect::<Vec<_>>())
            }
            Self::Mae => {
                let errors = scores.iter().zip(labels).map(|(score, label)| (score - label).abs());
                (!labels.is_empty()).then(|| weighted_mean(&errors.collect::<Vec<_>>(), weights))
            }
            Self::Rmse => {
                let squared = losses(&LearningTarget::Regression, scores, labels);
                metric(&LearningTarget::Regression, &squared, weights)
            }
            _ => metric(target, &losses(target, scores, labels), weights),
        }
    }
}

/// The name of what the losses of a target add up to.
pub(crate) fn metric_name(target: &LearningTarget) -> &'static str {
    Metric::of(target, None).as_str()
}

/// The loss of each row. `scores` is `[n_rows, n_outputs]`; the label of several classes is the class's position.
pub(crate) fn losses(target: &LearningTarget, scores: &[f64], labels: &[f64]) -> Vec<f64> {
    let rows = scores.chunks_exact(target.n_outputs()).zip(labels);
    rows.map(|(outputs, label)| match target {
        LearningTarget::Binary => surprise(if *label != 0.0 { outputs[0] } else { 1.0 - outputs[0] }),
        LearningTarget::Regression => (outputs[0] - label).powi(2),
        // Losses of an order are those of whole rankings; this one only says how far a score is from its label.
        LearningTarget::Order => (outputs[0] - label).powi(2),
        LearningTarget::Quantile { quantile } => pinball(*quantile, outputs[0], *label),
        LearningTarget::Amount { power } => deviance(*power, outputs[0], *label),
        // Positions come from the list of classes itself.
        LearningTarget::MultiClass { .. } => surprise(outputs[*label as usize]),
    })
    .collect()
}

fn surprise(probability: f64) -> f64 {
    -probability.clamp(LEAST_PROBABILITY, 1.0).ln()
}

/// What is missed below the quantile costs its share, what is missed above costs the rest.
fn pinball(quantile: f64, predicted: f64, label: f64) -> f64 {
    let missed = label - predicted;
    if missed >= 0.0 {
        quantile * missed
    } else {
        (quantile - 1.0) * missed
    }
}

/// The unit deviance of a Tweedie model of variance power `power` in (1, 2]. Predictions are kept above 0, where the model
/// lives; for the gamma deviance (2) labels are too.
fn deviance(power: f64, predicted: f64, label: f64) -> f64 {
    const LEAST_AMOUNT: f64 = 1e-12;
    let mean = predicted.max(LEAST_AMOUNT);
    if power >= 2.0 {
        let label = label.max(LEAST_AMOUNT);
        return 2.0 * ((label - mean) / mean - (label / mean).ln());
    }
    let (one, two) = (1.0 - power, 2.0 - power);
    2.0 * (label.max(0.0).powf(two) / (one * two) - label * mean.powf(one) / one + mean.powf(two) / two)
}

/// The mean of some values, each counted by its weight; `None` for the weights: all count the same.
pub(crate) fn weighted_mean(values: &[f64], weights: Option<&[f64]>) -> f64 {
    match weights {
        None => values.iter().sum::<f64>() / values.len() as f64,
        Some(weights) => {
            let total = values.iter().zip(weights).map(|(value, weight)| value * weight);
            total.sum::<f64>() / weights.iter().sum::<f64>()
        }
    }
}

/// The metric of losses; `None` without rows.
pub(crate) fn metric(target: &LearningTarget, losses: &[f64], weights: Option<&[f64]>) -> Option<f64> {
    let mean = weighted_mean(losses, weights);
    match target {
        _ if losses.is_empty() => None,
        LearningTarget::Regression => Some(mean.sqrt()),
        _ => Some(mean),
    }
}

/// The best constant prediction for labels that were fitted on, repeated for `n_rows` rows: their mean, their quantile, or
/// the share of each class with one imagined row more (Laplace), because a class that was never seen is not impossible.
pub(crate) fn constant_scores(
    target: &LearningTarget,
    fitted_on: &[f64],
    weights: Option<&[f64]>,
    n_rows: usize,
) -> Vec<f64> {
    let constant = match target {
        LearningTarget::Binary | LearningTarget::Regression | LearningTarget::Amount { .. } | LearningTarget::Order => {
            vec![weighted_mean(fitted_on, weights)]
        }
        LearningTarget::Quantile { quantile } => vec![quantile_of(fitted_on, weights, *quantile)],
        LearningTarget::MultiClass { classes } => {
            let mut counts = vec![1.0; classes.len()];
            for (row_idx, label) in fitted_on.iter().enumerate() {
                counts[*label as usize] += weights.map_or(1.0, |weights| weights[row_idx]);
            }
            let total = counts.iter().sum::<f64>();
            counts.into_iter().map(|count| count / total).collect()
        }
    };
    constant.repeat(n_rows)
}

/// The smallest value up to which there is at least this share of the weight; NaN without values.
pub(crate) fn quantile_of(values: &[f64], weights: Option<&[f64]>, quantile: f64) -> f64 {
    let weight = |row_idx: usize| weights.map_or(1.0, |weights| weights[row_idx]);
    let mut sorted: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .map(|(idx, value)| (*value, weight(idx)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    let found = sorted.iter().find(|(_, weight)| {
        below += weight;
        below >= quantile * total
    });
    found.or(sorted.last()).map_or(f64::NAN, |(value, _)| *value)
}

/// How much less one model loses than another on the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// The mean of (the other's loss − this one's loss) over rows; above 0: this one is better.
    pub mean: f64,
    /// The standard error of that mean, which takes clusters for independent of each other, but not the rows of one.
    pub standard_error: f64,
    /// Rows compared.
    pub n_rows: usize,
    /// Clusters that they stem from: units, or decisions.
    pub n_clusters: usize,
}

impl Gain {
    /// Compares losses row by row; `None` with fewer than two clusters, where the noise is unknown, and for losses that are
    /// not finite. `clusters` says for each row which one it belongs to.
    ///
    /// The candidates of one ranking share their user and their moment, and the rows of one unit much else, so their
    /// gains go up and down together: the standard error is cluster-robust, see [`lakeloop_stats::clustered`]. With weights
    /// the mean is Σ w · gain / Σ w.
    pub fn over(other: &[f64], this: &[f64], clusters: &[usize], weights: Option<&[f64]>) -> Option<Self> {
        let gains: Vec<f64> = other.iter().zip(this).map(|(other, this)| other - this).collect();
        let found = clustered_mean(&gains, clusters.get(..gains.len())?, weights)?;
        Some(Self {
            mean: found.mean,
            standard_error: found.standard_error,
            n_rows: gains.len(),
            n_clusters: found.n_clusters,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn losses_and_metrics_of_each_target() {
        let binary = LearningTarget::Binary;
        let lost = losses(&binary, &[0.25, 0.5, 0.9], &[1.0, 0.0, 1.0]);
        close(
            metric(&binary, &lost, None).unwrap(),
            (4f64.ln() + 2f64.ln() + (10f64 / 9.0).ln()) / 3.0,
        );
        let lost = losses(&LearningTarget::Regression, &[1.0, 3.0], &[2.0, 1.0]);
        close(metric(&LearningTarget::Regression, &lost, None).unwrap(), 2.5f64.sqrt());
        let classes = LearningTarget::MultiClass {
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        };
        let lost = losses(&classes, &[0.2, 0.3, 0.5, 1.0, 0.0, 0.0], &[2.0, 1.0]);
        close(lost[0], 2f64.ln());
        close(lost[1], 52.0 * 2f64.ln());
        assert_eq!(metric(&binary, &[], None), None);
    }

    #[test]
    fn losses_of_quantiles_and_amounts() {
        let target = LearningTarget::Quantile { quantile: 0.9 };
        // scikit-learn 1.9.1, mean_pinball_loss([1, 2, 3], [2, 2, 2], alpha=0.9).
        let (labels, scores) = ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]);
        close(
            metric(&target, &losses(&target, &scores, &labels), None).unwrap(),
            1.0 / 3.0,
        );
        close(losses(&target, &scores, &labels)[0], 0.1);
        close(losses(&target, &scores, &labels)[2], 0.9);
        // scikit-learn 1.9.1: mean_tweedie_deviance([2, 0, 1, 4], [0.5, 0.5, 2, 2], power=1.5) and mean_gamma_deviance.
        let (labels, scores) = ([2.0, 0.0, 1.0, 4.0], [0.5, 0.5, 2.0, 2.0]);
        let target = LearningTarget::Amount { power: 1.5 };
        close(
            metric(&target, &losses(&target, &scores, &labels), None).unwrap(),
            1.7781745930520232,
        );
        let (labels, scores) = ([2.0, 1.0, 4.0], [0.5, 2.0, 2.0]);
        let target = LearningTarget::Amount { power: 2.0 };
        close(
            metric(&target, &losses(&target, &scores, &labels), None).unwrap(),
            1.4091370925867395,
        );
        assert_eq!(
            constant_scores(
                &LearningTarget::Quantile { quantile: 0.5 },
                &[3.0, 1.0, 2.0, 9.0],
                None,
                1
            ),
            [2.0]
        );
    }

    #[test]
    fn the_constant_is_the_mean_or_the_smoothed_shares() {
        assert_eq!(
            constant_scores(&LearningTarget::Binary, &[1.0, 0.0, 0.0, 0.0], None, 2),
            [0.25, 0.25]
        );
        let classes = LearningTarget::MultiClass {
            classes: vec!["a".into(), "b".into()],
        };
        assert_eq!(constant_scores(&classes, &[0.0, 0.0], None, 1), [0.75, 0.25]);
    }

    #[test]
    fn a_gain_has_the_standard_error_of_a_paired_difference() {
        let gain = Gain::over(&[1.0, 2.0, 3.0, 4.0], &[0.5, 1.5, 2.0, 5.0], &[0, 1, 2, 3], None).unwrap();
        // Differences 0.5, 0.5, 1, −1: mean 0.25, sample variance 2.25 / 3.
        close(gain.mean, 0.25);
        close(gain.standard_error, (0.75f64 / 4.0).sqrt());
        assert_eq!(Gain::over(&[1.0], &[1.0], &[0], None), None);
        assert_eq!(Gain::over(&[1.0, f64::INFINITY], &[1.0, 1.0], &[0, 1], None), None);
    }

    #[test]
    fn candidates_of_one_decision_are_not_taken_for_independent() {
        // Gains 1, 1, −1, −1 of two decisions: mean 0, residuals of each decision add up to 2 and −2.
        let gain = Gain::over(&[2.0, 2.0, 1.0, 1.0], &[1.0, 1.0, 2.0, 2.0], &[7, 7, 8, 8], None).unwrap();
        close(gain.mean, 0.0);
        close(gain.standard_error, (2.0f64 * 8.0).sqrt() / 4.0);
        assert_eq!((gain.n_rows, gain.n_clusters), (4, 2));
        let apart = Gain::over(&[2.0, 2.0, 1.0, 1.0], &[1.0, 1.0, 2.0, 2.0], &[0, 1, 2, 3], None).unwrap();
        assert!(apart.standard_error < gain.standard_error);
        assert_eq!(
            Gain::over(&[2.0, 2.0], &[1.0, 1.5], &[3, 3], None),
            None,
            "one decision"
        );
    }

    #[test]
    fn a_row_of_weight_two_counts_as_two_rows_do() {
        let (once, twice) = ([1.0, 4.0], [1.0, 4.0, 4.0]);
        let weights = [1.0, 2.0];
        close(weighted_mean(&once, Some(&weights)), weighted_mean(&twice, None));
        let regression = LearningTarget::Regression;
        assert_eq!(
            metric(&regression, &once, Some(&weights)),
            metric(&regression, &twice, None)
        );
        let classes = LearningTarget::MultiClass {
            classes: vec!["a".into(), "b".into()],
        };
        assert_eq!(
            constant_scores(&classes, &[0.0, 1.0], Some(&weights), 1),
            constant_scores(&classes, &[0.0, 1.0, 1.0], None, 1)
        );
        // The two rows that a weight stands for are one decision.
        let weighted = Gain::over(&[1.0, 4.0, 0.5], &[0.0; 3], &[0, 1, 2], Some(&[1.0, 2.0, 1.0])).unwrap();
        let repeated = Gain::over(&[1.0, 4.0, 4.0, 0.5], &[0.0; 4], &[0, 1, 1, 2], None).unwrap();
        close(weighted.mean, repeated.mean);
        close(weighted.standard_error, repeated.standard_error);
        assert_eq!((weighted.n_rows, weighted.n_clusters), (3, 3));
    }
}
