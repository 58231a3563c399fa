//! Owns the probability that each of some independent normal variables is the largest.
//!
//! P(i is the largest) = ∫ φᵢ(x) · Π_{j≠i} Φⱼ(x) dx, for all i by one quadrature of the same nodes.
//!
//! Below the largest of all mean − 6 σ nothing can be the largest but with a probability under 10⁻⁹, so variables that lie
//! there get 0 and are left out. From there to the largest mean + 6 σ the line is cut into panels, each at most as wide as
//! the smallest σ of the variables that it meets, and on each panel Gauss and Legendre's rule of four nodes is taken. The
//! results are divided by their sum. Against Simpson's rule on steps of an eighth of every σ (2 to 12 variables with σ up to a
//! thousand times apart, 1,000 seeded draws) no probability is off by more than 10⁻⁷: the largest difference found was
//! 6.5 · 10⁻⁸. The test `the_error_of_being_the_best_is_as_stated` measures it again.
//!
//! A variable without uncertainty is taken for one whose σ is a millionth of the largest σ. Where all have none, the
//! largest is certain, and of equals the first.

use super::normal::density_and_below;
use super::{Beliefs, highest};

/// So many standard deviations count.
const REACH: f64 = 6.0;

/// No σ is taken for smaller than this share of the largest one: it bounds the number of panels.
const SMALLEST_SHARE: f64 = 1e-6;

/// The nodes and weights of Gauss and Legendre's rule on [−1, 1] (Abramowitz & Stegun 1964, table 25.4).
#[allow(clippy::excessive_precision)] // as printed
const RULE: [(f64, f64); 4] = [
    (-0.861_136_311_594_052_575, 0.347_854_845_137_453_857),
    (-0.339_981_043_584_856_264, 0.652_145_154_862_546_142),
    (0.339_981_043_584_856_264, 0.652_145_154_862_546_142),
    (0.861_136_311_594_052_575, 0.347_854_845_137_453_857),
];

/// Buffers, reused from call to call.
#[derive(Debug, Default)]
pub(super) struct Quadrature {
    /// Those that can be the largest: (position, mean, σ).
    contenders: Vec<(usize, f64, f64)>,
    /// For each contender at one node, density and probability below.
    at_node: Vec<(f64, f64)>,
    /// For each contender at one node, the probability that all before it lie below.
    before: Vec<f64>,
}

impl Quadrature {
    /// Writes the probability of each variable to be the largest: `probabilities` is as long as the beliefs. They add up to
    /// 1 but for rounding. Costs about 50 · n evaluations of Φ where the σ are alike.
    pub(super) fn best_of(&mut self, beliefs: Beliefs<'_>, probabilities: &mut [f64]) {
        let Beliefs { means, deviations } = beliefs;
        let widest = deviations.iter().copied().fold(0.0, f64::max);
        probabilities.fill(0.0);
        if widest <= 0.0 {
            probabilities[highest(means)] = 1.0;
            return;
        }
        let each = move || {
            let sigma = move |deviation: f64| deviation.max(widest * SMALLEST_SHARE);
            means
                .iter()
                .zip(deviations)
                .map(move |(mean, deviation)| (*mean, sigma(*deviation)))
        };
        let from = each()
            .map(|(mean, sigma)| mean - REACH * sigma)
            .fold(f64::NEG_INFINITY, f64::max);
        self.contenders.clear();
        let all = each().enumerate().map(|(idx, (mean, sigma))| (idx, mean, sigma));
        self.contenders
            .extend(all.filter(|(_, mean, sigma)| mean + REACH * sigma > from));
        let to = self.contenders.iter().map(|(_, mean, sigma)| mean + REACH * sigma);
        let to = to.fold(from, f64::max);
        let mut start = from;
        while start < to {
            let end = self.panel_end(start, to);
            self.add_panel(start, end, probabilities);
            start = end;
        }
        let sum: f64 = probabilities.iter().sum();
        if sum <= 0.0 {
            // The σ are below what f64 resolves around these means.
            probabilities[highest(means)] = 1.0;
            return;
        }
        probabilities.iter_mut().for_each(|probability| *probability /= sum);
    }

    /// Where a panel that begins at `start` ends: after the smallest σ of the variables that reach there, but no further
    /// than where a narrower one begins.
    fn panel_end(&self, start: f64, to: f64) -> f64 {
        let reaching = self
            .contenders
            .iter()
            .filter(|(_, mean, sigma)| mean - REACH * sigma <= start && start < mean + REACH * sigma);
        let width = reaching.map(|(_, _, sigma)| *sigma).fold(f64::INFINITY, f64::min);
        let begins = self.contenders.iter().filter(|(_, _, sigma)| *sigma < width);
        let begins = begins
            .map(|(_, mean, sigma)| mean - REACH * sigma)
            .filter(|begin| *begin > start);
        let end = begins.fold((start + width).min(to), f64::min);
        // Far from 0 a step may be too small to be a step; the rest is then one panel.
        if end > start { end } else { to }
    }

    fn add_panel(&mut self, start: f64, end: f64, probabilities: &mut [f64]) {
        let (middle, half) = (f64::midpoint(start, end), (end - start) / 2.0);
        for (node, weight) in RULE {
            self.add_node(middle + half * node, half * weight, probabilities);
        }
    }

    fn add_node(&mut self, x: f64, weight: f64, probabilities: &mut [f64]) {
        let Self {
            contenders,
            at_node,
            before,
        } = self;
        at_node.clear();
        before.clear();
        let mut all_before = 1.0;
        for (_, mean, sigma) in contenders.iter() {
            let (density, below) = density_and_below((x - mean) / sigma);
            at_node.push((density / sigma, below));
            before.push(all_before);
            all_before *= below;
        }
        let mut all_after = 1.0;
        for (slot, (idx, _, _)) in contenders.iter().enumerate().rev() {
            let (density, below) = at_node[slot];
            probabilities[*idx] += weight * density * before[slot] * all_after;
            all_after *= below;
        }
    }
}
