//! Owns how good a model's scores are: AUC, log loss, RMSE and calibration error over scored rows.
//!
//! All are weighted by the rows' weights. All are `None` when there is no row, when no row has weight, or when a score,
//! label or weight is not what the metric is defined for; each says what else makes it undefined.

use crate::example::{ClassExample, Example, class_weights, is_weight};

/// Probabilities are kept this far from 0 and 1 in log losses, as scikit-learn does for f64: a certain error then costs
/// about 36 instead of infinity.
const EDGE: f64 = f64::EPSILON;

/// The area under the ROC curve: the probability that a positive row scores above a negative one, ties counting half
/// (the Mann–Whitney statistic; Hanley & McNeil 1982). In [0, 1]; scores may be any finite numbers.
///
/// `None` also when one class has no weight. O(n log n).
///
/// ```
/// use lakeloop_stats::{Example, metrics::auc};
///
/// let rows = [Example::new(0.1, false), Example::new(0.4, true), Example::new(0.4, false), Example::new(0.9, true)];
/// assert_eq!(auc(&rows), Some(0.875));
/// assert_eq!(auc(&rows[..1]), None);
/// ```
pub fn auc(examples: &[Example<bool>]) -> Option<f64> {
    let (negative, positive) = class_weights(examples)?;
    let mut ordered: Vec<_> = examples.iter().collect();
    ordered.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut negative_below = 0.0;
    let mut pairs_won = 0.0;
    // `==` rather than equal bits, so that −0 ties with 0; the two are neighbours in the order.
    for ties in ordered.chunk_by(|a, b| a.score == b.score) {
        let weight_of = |label| ties.iter().filter(|e| e.label == label).map(|e| e.weight).sum::<f64>();
        let negative_tied = weight_of(false);
        pairs_won += weight_of(true) * (negative_below + negative_tied / 2.0);
        negative_below += negative_tied;
    }
    Some(pairs_won / (negative * positive))
}

/// The mean of −ln p of what happened, with p the probability that the model gave it (binary cross-entropy, in nats).
///
/// `None` also when a score is outside [0, 1]. Probabilities are kept 2⁻⁵² away from 0 and 1.
pub fn log_loss(examples: &[Example<bool>]) -> Option<f64> {
    weighted_mean(examples.iter().map(|example| {
        let probability = probability(example.score)?;
        let given = if example.label { probability } else { 1.0 - probability };
        Some((surprise(given), example.weight))
    }))
}

/// The mean of −ln p of the class that was right (cross-entropy, in nats).
///
/// Probabilities are taken as they are, without scaling them to a sum of 1, and kept 2⁻⁵² away from 0 and 1. `None`
/// also when a class has no probability in its row, or one outside [0, 1].
pub fn multi_log_loss<'a>(examples: impl IntoIterator<Item = ClassExample<'a>>) -> Option<f64> {
    weighted_mean(examples.into_iter().map(|example| {
        let given = probability(*example.probabilities.get(example.class)?)?;
        Some((surprise(given), example.weight))
    }))
}

/// The root of the mean squared difference between score and label, in the label's unit.
///
/// `None` also when a score or label is not finite.
pub fn rmse(examples: &[Example<f64>]) -> Option<f64> {
    let mean_square = weighted_mean(examples.iter().map(|example| {
        let error = example.score - example.label;
        error.is_finite().then_some((error * error, example.weight))
    }))?;
    Some(mean_square.sqrt())
}

/// The expected calibration error: over `n_bins` bins of equal width on [0, 1], the mean over rows of the absolute
/// difference between the bin's mean probability and its share of positives (Naeini, Cooper & Hauskrecht 2015).
///
/// Bin b holds probabilities in [b / n, (b + 1) / n), the last one also 1. In [0, 1]; biased upwards when bins hold few
/// rows. `None` also when a score is outside [0, 1] or there are no bins.
pub fn expected_calibration_error(examples: &[Example<bool>], n_bins: usize) -> Option<f64> {
    // Within a bin of weight w, w · |mean score − mean label| is the absolute sum of the weighted differences.
    let mut differences = vec![0.0; n_bins];
    let mut total = 0.0;
    for example in examples {
        let probability = probability(example.score)?;
        if n_bins == 0 || !is_weight(example.weight) {
            return None;
        }
        let bin_idx = ((probability * n_bins as f64) as usize).min(n_bins - 1);
        differences[bin_idx] += example.weight * (probability - f64::from(u8::from(example.label)));
        total += example.weight;
    }
    let error: f64 = differences.iter().map(|difference: &f64| difference.abs()).sum();
    (total > 0.0).then_some(error / total)
}

fn probability(score: f64) -> Option<f64> {
    (0.0..=1.0).contains(&score).then_some(score)
}

fn surprise(probability: f64) -> f64 {
    -probability.clamp(EDGE, 1.0 - EDGE).ln()
}

/// Σ weight · value / Σ weight over (value, weight) pairs; `None` when a pair is missing or the weights are no weights.
fn weighted_mean(pairs: impl Iterator<Item = Option<(f64, f64)>>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for pair in pairs {
        let (value, weight) = pair?;
        if !is_weight(weight) {
            return None;
        }
        sum += weight * value;
        total += weight;
    }
    (total > 0.0).then_some(sum / total)
}
