//! Owns isotonic regression: the rising curve from scores to labels with the least squared error.
//!
//! Source: the pool-adjacent-violators algorithm (Ayer, Brunk, Ewing, Reid & Silverman 1955); as a calibration of
//! probabilities Zadrozny & Elkan 2002. Between two knots the curve is a straight line, beyond the first and last it
//! is level, as in scikit-learn. It bends freely, so that it needs some hundreds of rows where Platt's curve needs
//! tens.

use crate::example::{Example, class_weights};

/// A curve that never falls, given by its knots.
#[derive(Debug, Clone, PartialEq)]
pub struct Isotonic {
    /// Where the knots lie: strictly ascending.
    pub scores: Vec<f64>,
    /// Their height: never descending.
    pub values: Vec<f64>,
}

/// Rows of neighbouring scores that share one height.
struct Block {
    from: f64,
    to: f64,
    sum: f64,
    weight: f64,
}

impl Block {
    fn height(&self) -> f64 {
        self.sum / self.weight
    }
}

/// Fits the curve to rows; those of equal scores count as one with their mean label. `None` when one class has no
/// weight, or when a score or weight is no number. O(n log n).
///
/// ```
/// use lakeloop_stats::{Example, isotonic::fit_isotonic};
///
/// let rows = [(0.1, false), (0.4, true), (0.6, false), (0.9, true)].map(|(score, label)| Example::new(score, label));
/// let curve = fit_isotonic(&rows).expect("both labels are there");
/// assert_eq!((curve.at(0.0), curve.at(0.5), curve.at(0.75)), (0.0, 0.5, 0.75));
/// ```
pub fn fit_isotonic(examples: &[Example<bool>]) -> Option<Isotonic> {
    class_weights(examples)?;
    let mut ordered: Vec<&Example<bool>> = examples.iter().filter(|example| example.weight > 0.0).collect();
    ordered.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut blocks: Vec<Block> = Vec::new();
    for ties in ordered.chunk_by(|a, b| a.score == b.score) {
        let weight: f64 = ties.iter().map(|example| example.weight).sum();
        let positive = ties
            .iter()
            .filter(|example| example.label)
            .map(|example| example.weight);
        let mut block = Block {
            from: ties[0].score,
            to: ties[0].score,
            sum: positive.sum(),
            weight,
        };
        while let Some(before) = blocks.pop_if(|before| before.height() >= block.height()) {
            block = Block {
                from: before.from,
                to: block.to,
                sum: before.sum + block.sum,
                weight: before.weight + block.weight,
            };
        }
        blocks.push(block);
    }
    let (mut scores, mut values) = (Vec::new(), Vec::new());
    for block in &blocks {
        let ends = if block.from < block.to {
            &[block.from, block.to][..]
        } else {
            &[block.from][..]
        };
        for end in ends {
            scores.push(*end);
            values.push(block.height());
        }
    }
    Some(Isotonic { scores, values })
}

impl Isotonic {
    /// The height of the curve at a score.
    pub fn at(&self, score: f64) -> f64 {
        let above = self.scores.partition_point(|knot| *knot <= score);
        match (above.checked_sub(1), self.scores.get(above)) {
            (None, _) => self.values[0],
            (Some(below), None) => self.values[below],
            (Some(below), Some(next)) => {
                let share = (score - self.scores[below]) / (next - self.scores[below]);
                self.values[below] + share * (self.values[above] - self.values[below])
            }
        }
    }
}
