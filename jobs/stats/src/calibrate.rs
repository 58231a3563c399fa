//! Owns how a calibration is fitted: Platt scaling, a logistic curve from scores to probabilities.
//!
//! Source: Platt 1999, "Probabilistic outputs for support vector machines", fitted as in Lin, Lin & Weng 2007, "A note
//! on Platt's probabilistic outputs for support vector machines" (Newton's method with backtracking). Applying the curve
//! is left to serving, which owns it.

use crate::example::{Example, class_weights};

/// p(s) = 1 / (1 + exp(−(slope · s + intercept))). The paper's A and B are −slope and −intercept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platt {
    /// Multiplies the score; negative when higher scores go with fewer positives.
    pub slope: f64,
    /// Is added to it.
    pub intercept: f64,
}

/// Newton steps before giving up; the paper's bound. Problems of one dimension end in about ten.
const MAX_STEPS: usize = 100;
/// Added to the Hessian's diagonal so that it can be inverted when all scores are equal; the paper's value.
const RIDGE: f64 = 1e-12;
/// A step shorter than this share of Newton's is no step; the paper's value.
const MIN_STEP: f64 = 1e-10;
/// The fit ends when each gradient is below this share of the largest that the rows could give.
const TOLERANCE: f64 = 1e-12;
/// Where no step lowers the loss, a gradient below this share is rounding, and a larger one a failure.
const ROUGH_TOLERANCE: f64 = 1e-6;

/// Fits Platt scaling to rows whose scores are log-odds, or any finite numbers.
///
/// It minimises the weighted cross-entropy against Platt's targets instead of 0 and 1, (N₊ + 1) / (N₊ + 2) for positive
/// and 1 / (N₋ + 2) for negative rows, with N the weight of each class: this keeps the fit finite when the classes can be
/// separated. `None` when one class has no weight, when a score or weight is not finite, or when Newton's method does
/// not end. Scores that are all equal give slope 0.
pub fn fit_platt(examples: &[Example<bool>]) -> Option<Platt> {
    let (negative, positive) = class_weights(examples)?;
    let total = negative + positive;
    // Around their mean, slope and intercept hardly depend on each other, and equal scores leave the slope at 0.
    let mean = examples
        .iter()
        .map(|example| example.weight * example.score)
        .sum::<f64>()
        / total;
    let centred: Vec<_> = examples
        .iter()
        .map(|example| Example {
            score: example.score - mean,
            ..*example
        })
        .collect();
    let fitted = fit_centred(&centred, negative, positive)?;
    Some(Platt {
        slope: fitted.slope,
        intercept: fitted.intercept - fitted.slope * mean,
    })
}

fn fit_centred(examples: &[Example<bool>], negative: f64, positive: f64) -> Option<Platt> {
    let size_of = |example: &Example<bool>| example.weight * example.score.abs();
    let problem = Problem {
        examples,
        target_positive: (positive + 1.0) / (positive + 2.0),
        target_negative: 1.0 / (negative + 2.0),
        largest_gradient: (examples.iter().map(size_of).sum(), negative + positive),
    };
    let mut at = Platt {
        slope: 0.0,
        intercept: ((positive + 1.0) / (negative + 1.0)).ln(),
    };
    let mut loss = problem.loss(at);
    for _ in 0..MAX_STEPS {
        let slopes = problem.slopes(at);
        if problem.is_flat(&slopes, TOLERANCE) {
            return Some(at);
        }
        let Some(next) = problem.step(at, loss, &slopes) else {
            return problem.is_flat(&slopes, ROUGH_TOLERANCE).then_some(at);
        };
        (at, loss) = next;
    }
    problem.is_flat(&problem.slopes(at), ROUGH_TOLERANCE).then_some(at)
}

struct Problem<'a> {
    examples: &'a [Example<bool>],
    target_positive: f64,
    target_negative: f64,
    /// What the gradient by slope and by intercept cannot exceed.
    largest_gradient: (f64, f64),
}

/// First and second derivatives of the loss by slope and intercept.
struct Slopes {
    gradient: (f64, f64),
    hessian: (f64, f64, f64),
}

impl Problem<'_> {
    fn is_flat(&self, slopes: &Slopes, tolerance: f64) -> bool {
        slopes.gradient.0.abs() <= tolerance * self.largest_gradient.0
            && slopes.gradient.1.abs() <= tolerance * self.largest_gradient.1
    }

    fn target(&self, example: &Example<bool>) -> f64 {
        if example.label {
            self.target_positive
        } else {
            self.target_negative
        }
    }

    /// Σ w · (ln(1 + exp(m)) − t · m) with the margin m = slope · s + intercept, written so that exp never overflows.
    fn loss(&self, at: Platt) -> f64 {
        let loss_of = |example: &Example<bool>| {
            let margin = at.slope * example.score + at.intercept;
            let softplus = margin.max(0.0) + (-margin.abs()).exp().ln_1p();
            example.weight * (softplus - self.target(example) * margin)
        };
        self.examples.iter().map(loss_of).sum()
    }

    fn slopes(&self, at: Platt) -> Slopes {
        let mut slopes = Slopes {
            gradient: (0.0, 0.0),
            hessian: (RIDGE, 0.0, RIDGE),
        };
        for example in self.examples {
            let probability = 1.0 / (1.0 + (-(at.slope * example.score + at.intercept)).exp());
            let error = example.weight * (probability - self.target(example));
            slopes.gradient.0 += error * example.score;
            slopes.gradient.1 += error;
            let curvature = example.weight * probability * (1.0 - probability);
            slopes.hessian.0 += curvature * example.score * example.score;
            slopes.hessian.1 += curvature * example.score;
            slopes.hessian.2 += curvature;
        }
        slopes
    }

    /// Newton's step, halved until the loss falls enough (Armijo) or by no more than f64 can tell, as it does next to the
    /// minimum; `None` when no step does.
    fn step(&self, at: Platt, loss: f64, slopes: &Slopes) -> Option<(Platt, f64)> {
        let (g, h) = (slopes.gradient, slopes.hessian);
        let determinant = h.0 * h.2 - h.1 * h.1;
        let direction = (
            (h.1 * g.1 - h.2 * g.0) / determinant,
            (h.1 * g.0 - h.0 * g.1) / determinant,
        );
        let descent = g.0 * direction.0 + g.1 * direction.1;
        let rounding = 4.0 * f64::EPSILON * loss.abs();
        let mut length = 1.0;
        while length >= MIN_STEP {
            let next = Platt {
                slope: at.slope + length * direction.0,
                intercept: at.intercept + length * direction.1,
            };
            let next_loss = self.loss(next);
            if next_loss <= loss + 1e-4 * length * descent + rounding {
                return Some((next, next_loss));
            }
            length /= 2.0;
        }
        None
    }
}
