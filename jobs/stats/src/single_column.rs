//! Owns what one column alone says about the label: how a leak is found.
//!
//! A column's values are cut into bins (a number by quantiles, a category by its codes, what is missing into a bin of
//! its own), and each bin predicts the mean label of the rows that were fitted on. Missing values count as much as values:
//! that a field is filled at all may be what was known only afterwards.

/// Quantile bins of a number column.
const N_BINS: usize = 64;

/// How values of a column are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// By size.
    Number,
    /// Each by itself.
    Category,
}

/// Predicts labels of `asked` rows from one column, as learned from `fitted_on` rows with their labels; NaN is missing.
///
/// Each bin's mean is drawn to the overall one by one row of it, so that a bin of one row says little. A bin that was not
/// fitted on predicts the overall mean. `None` without rows fitted on. O(n log n).
pub fn scores_of_column(kind: ColumnKind, fitted_on: &[f32], labels: &[f64], asked: &[f32]) -> Option<Vec<f64>> {
    let bins = Bins::new(kind, fitted_on);
    let rows = fitted_on.iter().zip(labels);
    let overall = labels.iter().take(fitted_on.len()).sum::<f64>() / fitted_on.len().min(labels.len()) as f64;
    let mut sums = vec![(overall, 1.0); bins.n_bins() + 1];
    for (value, label) in rows {
        let (sum, weight) = &mut sums[bins.bin(*value)];
        *sum += label;
        *weight += 1.0;
    }
    let score = |value: &f32| {
        let (sum, weight) = sums[bins.bin(*value)];
        sum / weight
    };
    overall.is_finite().then(|| asked.iter().map(score).collect())
}

/// Predicts labels of `asked` rows by the straight line through one number column, as fitted on `fitted_on` rows by least
/// squares; NaN is missing, and then the mean label is predicted. A line finds a copied number in fewer rows than bins do. `None`
/// for fewer than two different values. O(n).
pub fn line_of_column(fitted_on: &[f32], labels: &[f64], asked: &[f32]) -> Option<Vec<f64>> {
    let rows = || {
        let present = fitted_on.iter().zip(labels).filter(|(value, _)| !value.is_nan());
        present.map(|(value, label)| (f64::from(*value), *label))
    };
    let n_rows = rows().count() as f64;
    let mean_value = rows().map(|(value, _)| value).sum::<f64>() / n_rows;
    let mean_label = rows().map(|(_, label)| label).sum::<f64>() / n_rows;
    let spread: f64 = rows().map(|(value, _)| (value - mean_value).powi(2)).sum();
    let shared: f64 = rows()
        .map(|(value, label)| (value - mean_value) * (label - mean_label))
        .sum();
    let slope = shared / spread;
    let score = |value: &f32| {
        let from_mean = if value.is_nan() {
            0.0
        } else {
            f64::from(*value) - mean_value
        };
        mean_label + slope * from_mean
    };
    (spread > 0.0 && slope.is_finite()).then(|| asked.iter().map(score).collect())
}

/// The share of `asked` rows whose class the most frequent class of their bin names. `None` without rows on either side.
pub fn accuracy_of_column(
    kind: ColumnKind,
    (fitted_on, labels): (&[f32], &[f64]),
    (asked, truths): (&[f32], &[f64]),
) -> Option<f64> {
    let bins = Bins::new(kind, fitted_on);
    let n_classes = labels.iter().fold(0, |most, label| most.max(*label as usize + 1));
    let mut counts = vec![0_u32; (bins.n_bins() + 1) * n_classes];
    for (value, label) in fitted_on.iter().zip(labels) {
        counts[bins.bin(*value) * n_classes + *label as usize] += 1;
    }
    let named = |value: &f32| {
        let from = bins.bin(*value) * n_classes;
        let of_bin = &counts[from..from + n_classes];
        (0..n_classes).max_by_key(|class| (of_bin[*class], n_classes - class))
    };
    let n_right = asked
        .iter()
        .zip(truths)
        .filter(|(value, truth)| named(value) == Some(**truth as usize))
        .count();
    let n_asked = asked.len().min(truths.len());
    (n_asked > 0 && n_classes > 0).then(|| n_right as f64 / n_asked as f64)
}

/// The upper ends of a number's bins, or the number of a category's codes.
enum Bins {
    Edges(Vec<f32>),
    Codes(usize),
}

impl Bins {
    fn new(kind: ColumnKind, values: &[f32]) -> Self {
        let mut present: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        if kind == ColumnKind::Category {
            let largest = present.iter().copied().fold(-1.0_f32, f32::max);
            return Self::Codes((largest + 1.0) as usize);
        }
        present.sort_by(f32::total_cmp);
        let mut edges: Vec<f32> = (1..N_BINS)
            .filter_map(|bin| present.get(bin * present.len() / N_BINS).copied())
            .collect();
        edges.dedup();
        Self::Edges(edges)
    }

    /// Bins for values that are there; the one after them is for those that are missing, or were never seen.
    fn n_bins(&self) -> usize {
        match self {
            Self::Edges(edges) => edges.len() + 1,
            Self::Codes(n_codes) => *n_codes,
        }
    }

    fn bin(&self, value: f32) -> usize {
        match self {
            _ if value.is_nan() => self.n_bins(),
            Self::Edges(edges) => edges.partition_point(|edge| *edge <= value),
            Self::Codes(n_codes) => (value.max(0.0) as usize).min(*n_codes),
        }
    }
}

/// 1 − Σ (label − prediction)² / Σ (label − mean)²: the share of the labels' variance that predictions explain. `None` for
/// labels that are all equal, or without rows.
pub fn explained_variance(predictions: &[f64], labels: &[f64]) -> Option<f64> {
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    let total: f64 = labels.iter().map(|label| (label - mean).powi(2)).sum();
    let left: f64 = predictions
        .iter()
        .zip(labels)
        .map(|(predicted, label)| (label - predicted).powi(2))
        .sum();
    (total > 0.0 && left.is_finite() && total.is_finite()).then(|| 1.0 - left / total)
}
