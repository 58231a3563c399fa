//! Owns the pictures of a model of probabilities as points: how often what was said came true, and how much better than chance the
//! rows are that it ranks first.

use crate::example::Example;
use crate::interval::{Interval, wilson};

/// Rows of similar probability: what was said of them, and what came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityPoint {
    /// The mean probability.
    pub predicted: f64,
    /// The share of positives.
    pub observed: f64,
    /// Wilson's 95 % interval of that share, for independent rows.
    pub interval: Interval,
    /// How many rows.
    pub n_rows: usize,
}

/// A calibration plot: rows in the order of their probabilities, cut into at most `n_bins` parts of about equal numbers;
/// equal probabilities stay together. Empty without rows or bins, or when a score is not finite. Rows count once each.
pub fn reliability(examples: &[Example<bool>], n_bins: usize) -> Vec<ReliabilityPoint> {
    if examples.iter().any(|example| !example.score.is_finite()) {
        return Vec::new();
    }
    let mut ordered: Vec<&Example<bool>> = examples.iter().collect();
    ordered.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut points = Vec::new();
    let mut from = 0;
    for bin in 1..=n_bins {
        let mut to = (bin * ordered.len() / n_bins).max(from);
        while to > from && to < ordered.len() && ordered[to].score == ordered[to - 1].score {
            to += 1;
        }
        points.extend(point(&ordered[from..to]));
        from = to;
    }
    points
}

fn point(rows: &[&Example<bool>]) -> Option<ReliabilityPoint> {
    let n_positive = rows.iter().filter(|row| row.label).count();
    let interval = wilson(n_positive as u64, rows.len() as u64, 0.95)?;
    Some(ReliabilityPoint {
        predicted: rows.iter().map(|row| row.score).sum::<f64>() / rows.len() as f64,
        observed: n_positive as f64 / rows.len() as f64,
        interval,
        n_rows: rows.len(),
    })
}

/// One point of a lift curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiftPoint {
    /// The share of rows with the highest scores.
    pub share_of_rows: f64,
    /// The share of all that the labels add up to which they hold.
    pub share_of_labels: f64,
    /// Their mean label over that of all rows; 1 is chance.
    pub lift: f64,
}

/// The lift curve at `n_points` even shares of the rows, highest score first; labels are counts or amounts of at least 0.
/// Rows of equal score count with their mean label, whatever their order. Empty when labels add up to nothing or a score
/// or label is no number.
pub fn lift(examples: &[Example<f64>], n_points: usize) -> Vec<LiftPoint> {
    let is_sound =
        |example: &Example<f64>| example.score.is_finite() && example.label.is_finite() && example.label >= 0.0;
    let total: f64 = examples.iter().map(|example| example.label).sum();
    if !examples.iter().all(is_sound) || total <= 0.0 {
        return Vec::new();
    }
    let mut ordered: Vec<&Example<f64>> = examples.iter().collect();
    ordered.sort_by(|a, b| b.score.total_cmp(&a.score));
    // The running sum of labels after each row, with ties evened out.
    let mut running = vec![0.0];
    let mut sum = 0.0;
    for ties in ordered.chunk_by(|a, b| a.score == b.score) {
        let mean = ties.iter().map(|example| example.label).sum::<f64>() / ties.len() as f64;
        for _ in ties {
            sum += mean;
            running.push(sum);
        }
    }
    let n_rows = ordered.len();
    (1..=n_points)
        .filter_map(|point| {
            let n_first = point * n_rows / n_points;
            let share_of_rows = n_first as f64 / n_rows as f64;
            let share_of_labels = running[n_first] / total;
            (n_first > 0).then(|| LiftPoint {
                share_of_rows,
                share_of_labels,
                lift: share_of_labels / share_of_rows,
            })
        })
        .collect()
}
