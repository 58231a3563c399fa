//! Owns what metrics are computed over: one row's score, label and weight, held together so that lengths cannot differ.

/// A row that was scored with one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example<L> {
    /// What the model said: a probability, a prediction, or any number that orders rows, as the metric asks for.
    pub score: f64,
    /// What happened: `bool` for yes/no labels, `f64` for numbers.
    pub label: L,
    /// How much the row counts: finite and at least 0; 1 where all count the same.
    pub weight: f64,
}

impl<L> Example<L> {
    /// A row of weight 1.
    pub fn new(score: f64, label: L) -> Self {
        Self {
            score,
            label,
            weight: 1.0,
        }
    }
}

/// A row that was scored with a probability for each class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassExample<'a> {
    /// The probability of each class.
    pub probabilities: &'a [f64],
    /// The class that was right: a position in `probabilities`.
    pub class: usize,
    /// How much the row counts: finite and at least 0.
    pub weight: f64,
}

pub(crate) fn is_weight(weight: f64) -> bool {
    weight.is_finite() && weight >= 0.0
}

/// The weights of the negative and the positive rows; `None` unless every row is sound and both classes have weight.
pub(crate) fn class_weights(examples: &[Example<bool>]) -> Option<(f64, f64)> {
    let mut weights = (0.0, 0.0);
    for example in examples {
        if !example.score.is_finite() || !is_weight(example.weight) {
            return None;
        }
        if example.label {
            weights.1 += example.weight;
        } else {
            weights.0 += example.weight;
        }
    }
    (weights.0 > 0.0 && weights.1 > 0.0).then_some(weights)
}
