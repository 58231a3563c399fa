//! Owns how sure a measurement is where rows come in clusters: those of one unit go up and down together, so that a
//! hundred rows of ten units say little more than ten rows do.
//!
//! A cluster is any number that its rows share; rows of a cluster need not follow each other. Assumes that clusters are
//! independent of each other and that none dominates.

use std::collections::{HashMap, HashSet};

use crate::example::Example;
use crate::interval::{AucError, Interval, scores_by_class};
use crate::student::student_two_sided;

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredMean {
    /// Σ w · x / Σ w.
    pub mean: f64,
    /// Its cluster-robust standard error.
    pub standard_error: f64,
    /// How many clusters there are.
    pub n_clusters: usize,
}

impl ClusteredMean {
    /// mean ± t · standard error, with Student's t of C − 1 degrees of freedom for C clusters (Cameron & Miller 2015,
    /// section VI). `None` for a confidence outside (0, 1).
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let half = student_two_sided(confidence, self.n_clusters.saturating_sub(1) as u64)? * self.standard_error;
        Some(Interval {
            low: self.mean - half,
            high: self.mean + half,
        })
    }
}

/// The mean of values, each counted by its weight (`None`: all the same), and its standard error
/// √(C/(C − 1) · Σ_c (Σ w · (x − mean))²) / Σ w over the C clusters (Liang & Zeger 1986, with the factor of Cameron &
/// Miller 2015). `None` for fewer than two clusters, lengths that differ, or anything that is not finite. O(n).
pub fn clustered_mean(values: &[f64], clusters: &[usize], weights: Option<&[f64]>) -> Option<ClusteredMean> {
    let n_rows = values.len();
    if clusters.len() != n_rows || weights.is_some_and(|weights| weights.len() != n_rows) {
        return None;
    }
    let weight = |row_idx: usize| weights.map_or(1.0, |weights| weights[row_idx]);
    let total: f64 = (0..n_rows).map(weight).sum();
    let mean = (0..n_rows)
        .map(|row_idx| weight(row_idx) * values[row_idx])
        .sum::<f64>()
        / total;
    let residuals = (0..n_rows).map(|row_idx| weight(row_idx) * (values[row_idx] - mean));
    let sums = sums_by_cluster(residuals.map(|residual| (residual, 0.0)), clusters);
    let squares: f64 = sums.iter().map(|sum| sum.0 * sum.0).sum();
    let n_clusters = sums.len();
    let factor = n_clusters as f64 / (n_clusters as f64 - 1.0);
    let standard_error = (factor * squares).sqrt() / total;
    (n_clusters >= 2 && standard_error.is_finite()).then_some(ClusteredMean {
        mean,
        standard_error,
        n_clusters,
    })
}

/// The AUC with the standard error of Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data" (equations
/// 3 to 6): the structural components of DeLong are added up within clusters, and positive and negative rows of one
/// cluster may depend on each other. With one row a cluster it is DeLong's. Rows count once each.
///
/// `None` for fewer than two clusters with positive, or with negative, rows, lengths that differ, or a score that is not
/// finite. O(n log n).
pub fn clustered_auc(examples: &[Example<bool>], clusters: &[usize]) -> Option<AucError> {
    if examples.len() != clusters.len() {
        return None;
    }
    let (negatives, positives) = scores_by_class(examples)?;
    let (n_negative, n_positive) = (negatives.len() as f64, positives.len() as f64);
    // The share of the other class's rows that a row is on the right side of, ties counting half.
    let component = |example: &Example<bool>| {
        let others = if example.label { &negatives } else { &positives };
        let below = others.partition_point(|score| *score < example.score);
        let not_above = others.partition_point(|score| *score <= example.score);
        let share_below = (below + not_above) as f64 / (2 * others.len()) as f64;
        if example.label { share_below } else { 1.0 - share_below }
    };
    let components: Vec<f64> = examples.iter().map(component).collect();
    let of_positive = examples.iter().zip(&components).filter(|(example, _)| example.label);
    let auc = of_positive.map(|(_, component)| component).sum::<f64>() / n_positive;
    let parts = examples.iter().zip(&components).map(|(example, component)| {
        let residual = component - auc;
        if example.label {
            (residual, 0.0)
        } else {
            (0.0, residual)
        }
    });
    let sums = sums_by_cluster(parts, clusters);
    let n_with = |label| {
        let with = examples
            .iter()
            .zip(clusters)
            .filter(|(example, _)| example.label == label);
        with.map(|(_, cluster)| *cluster).collect::<HashSet<_>>().len() as f64
    };
    let (with_positive, with_negative, n_clusters) = (n_with(true), n_with(false), sums.len() as f64);
    if with_positive < 2.0 || with_negative < 2.0 {
        return None;
    }
    let sum_of = |term: fn(&(f64, f64)) -> f64| sums.iter().map(term).sum::<f64>();
    let variance = with_positive / (with_positive - 1.0) * sum_of(|sum| sum.0 * sum.0) / (n_positive * n_positive)
        + with_negative / (with_negative - 1.0) * sum_of(|sum| sum.1 * sum.1) / (n_negative * n_negative)
        + 2.0 * n_clusters / (n_clusters - 1.0) * sum_of(|sum| sum.0 * sum.1) / (n_positive * n_negative);
    Some(AucError {
        auc,
        standard_error: variance.max(0.0).sqrt(),
    })
}

/// Adds pairs up by cluster, in the order in which clusters first appear, so that the sums are the same to the bit each time.
fn sums_by_cluster(pairs: impl Iterator<Item = (f64, f64)>, clusters: &[usize]) -> Vec<(f64, f64)> {
    let mut positions: HashMap<usize, usize> = HashMap::new();
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (pair, cluster) in pairs.zip(clusters) {
        let idx = *positions.entry(*cluster).or_insert_with(|| {
            sums.push((0.0, 0.0));
            sums.len() - 1
        });
        sums[idx].0 += pair.0;
        sums[idx].1 += pair.1;
    }
    sums
}
