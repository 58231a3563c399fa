//! Owns how sure a measurement is: an interval for a share, a standard error for an AUC.
//!
//! Both assume rows that are independent of each other. Intervals of means are in [`crate::Moments`].

use crate::example::Example;
use crate::normal::two_sided;

/// Two ends of an interval that is closed on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// An AUC with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AucError {
    /// The area under the ROC curve.
    pub auc: f64,
    /// Its standard error; 0 when the classes are separated without overlap, where the method sees no spread.
    pub standard_error: f64,
}

/// Wilson's interval for a share of `n_successes` in `n_rows` (Wilson 1927, the score interval, without continuity
/// correction): (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). It stays within [0, 1] and is useful for few rows
/// and for shares near 0 and 1.
///
/// `confidence` is the nominal coverage, such as 0.95. `None` without rows, with more successes than rows, or with a
/// confidence outside (0, 1).
///
/// ```
/// let interval = lakeloop_stats::interval::wilson(0, 10, 0.95).expect("ten rows");
/// assert_eq!(interval.low, 0.0);
/// assert!((interval.high - 0.2775).abs() < 1e-4);
/// ```
pub fn wilson(n_successes: u64, n_rows: u64, confidence: f64) -> Option<Interval> {
    if n_rows == 0 || n_successes > n_rows {
        return None;
    }
    let z = two_sided(confidence)?;
    let n = n_rows as f64;
    let share = n_successes as f64 / n;
    let z2_n = z * z / n;
    let middle = (share + z2_n / 2.0) / (1.0 + z2_n);
    let half = z * (share * (1.0 - share) / n + z2_n / (4.0 * n)).sqrt() / (1.0 + z2_n);
    // At the ends the formula gives exactly 0 or 1; rounding would leave a trace.
    let low = if n_successes == 0 {
        0.0
    } else {
        (middle - half).max(0.0)
    };
    let high = if n_successes == n_rows {
        1.0
    } else {
        (middle + half).min(1.0)
    };
    Some(Interval { low, high })
}

/// The AUC with the standard error of DeLong, DeLong & Clarke-Pearson 1988 (equations 4 to 6), computed from mid-ranks
/// as in Sun & Xu 2014. No distribution of the scores is assumed; ties count half.
///
/// The share of negatives that each positive row beats, and of positives that each negative row loses to, are samples
/// whose variances over their numbers add up to the variance of the AUC. Rows count once each: their weights are not
/// used. `None` with fewer than two rows of a class, or with a score that is not finite. O(n log n).
pub fn auc_error(examples: &[Example<bool>]) -> Option<AucError> {
    let (negatives, positives) = scores_by_class(examples)?;
    let beaten = shares_below(&positives, &negatives)?;
    let lost_to = shares_below(&negatives, &positives)?;
    let variance = beaten.variance()? / positives.len() as f64 + lost_to.variance()? / negatives.len() as f64;
    Some(AucError {
        auc: beaten.mean()?,
        standard_error: variance.sqrt(),
    })
}

/// The scores of the negative and of the positive rows, each ascending; `None` where one is not finite.
pub(crate) fn scores_by_class(examples: &[Example<bool>]) -> Option<(Vec<f64>, Vec<f64>)> {
    if examples.iter().any(|example| !example.score.is_finite()) {
        return None;
    }
    let sorted = |label| {
        let mut scores: Vec<f64> = examples.iter().filter(|e| e.label == label).map(|e| e.score).collect();
        scores.sort_by(f64::total_cmp);
        scores
    };
    Some((sorted(false), sorted(true)))
}

/// Moments of: for each of `scores`, the share of `others` below it, ties counting half. Both ascending.
fn shares_below(scores: &[f64], others: &[f64]) -> Option<crate::Moments> {
    if others.is_empty() {
        return None;
    }
    let mut moments = crate::Moments::default();
    let (mut n_below, mut n_not_above) = (0, 0);
    for score in scores {
        while n_below < others.len() && others[n_below] < *score {
            n_below += 1;
        }
        while n_not_above < others.len() && others[n_not_above] <= *score {
            n_not_above += 1;
        }
        moments.push((n_below + n_not_above) as f64 / (2 * others.len()) as f64);
    }
    Some(moments)
}
