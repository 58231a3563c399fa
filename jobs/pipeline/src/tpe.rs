//! Proposes what to try next: tree-structured Parzen estimators (Bergstra, Bardenet, Bengio and Kégl 2011), with the
//! kernels of all parameters multiplied as in BOHB (Falkner, Klein and Hutter 2018).
//!
//! A proposal is a function of the seed, its number, and what earlier trials came to: nothing is carried from one
//! proposal to the next, so that a search that broke off goes on as if it had not. That is why this is not taken from a
//! library: those that were looked at keep a random generator that moves with every call.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::parameters::N_VARIED;

/// A point of the unit cube.
pub(crate) type Point = [f64; N_VARIED];

/// Points drawn around the start before there is something to learn from.
const N_STARTUP: usize = 6;

/// The share of the observations that count as good.
const GOOD_SHARE: f64 = 0.25;

/// Points that are drawn near the good ones; the most promising of them is proposed.
const N_DRAWN: usize = 48;

/// One proposal in this many is drawn evenly from the whole space, so that no corner stays unseen for ever.
const ONE_IN_EVEN: u32 = 10;

/// No kernel is narrower than this, so that proposals do not repeat themselves.
const NARROWEST: f64 = 0.06;

/// What an earlier trial came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Observation {
    /// Where it was.
    pub point: Point,
    /// How bad it was; lower is better.
    pub badness: f64,
}

/// Proposes the point of a trial. `start` is where the search began: with few observations, points are drawn around the
/// best of them, at first the start.
pub(crate) fn propose(seed: u64, trial_idx: u64, start: &Point, observed: &[Observation]) -> Point {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(trial_idx.wrapping_add(1));
    let mut ordered: Vec<&Observation> = observed.iter().filter(|seen| seen.badness.is_finite()).collect();
    ordered.sort_by(|a, b| a.badness.total_cmp(&b.badness));
    if ordered.len() < N_STARTUP {
        let centre = ordered.first().map_or(start, |best| &best.point);
        let spread = if ordered.is_empty() { 0.3 } else { 0.22 };
        return centre.map(|middle| near(&mut rng, middle, spread));
    }
    if rng.random_range(0..ONE_IN_EVEN) == 0 {
        return std::array::from_fn(|_| rng.random());
    }
    let n_good = ((ordered.len() as f64 * GOOD_SHARE).ceil() as usize).clamp(3, 16);
    let (good, bad) = ordered.split_at(n_good.min(ordered.len() - 1));
    let (good, bad) = (Kernels::over(good), Kernels::over(bad));
    let drawn: Vec<Point> = (0..N_DRAWN).map(|_| good.draw(&mut rng)).collect();
    let gain = |point: &Point| good.log_density(point) - bad.log_density(point);
    let scored = drawn.into_iter().map(|point| (gain(&point), point));
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(*start, |(_, point)| point)
}

/// A density: the mean of one product of Gaussian kernels for each point.
struct Kernels<'a> {
    points: Vec<&'a Point>,
    widths: Point,
}

impl<'a> Kernels<'a> {
    /// Kernels whose width follows Scott's rule (Scott 1992) in each direction.
    fn over(observed: &[&'a Observation]) -> Self {
        let points: Vec<&Point> = observed.iter().map(|seen| &seen.point).collect();
        let n = points.len() as f64;
        let factor = n.powf(-1.0 / (N_VARIED as f64 + 4.0));
        let widths = std::array::from_fn(|axis| {
            let mean = points.iter().map(|point| point[axis]).sum::<f64>() / n;
            let variance = points.iter().map(|point| (point[axis] - mean).powi(2)).sum::<f64>() / n;
            (variance.sqrt() * factor).max(NARROWEST)
        });
        Self { points, widths }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Point {
        let centre = self.points[rng.random_range(0..self.points.len())];
        std::array::from_fn(|axis| near(rng, centre[axis], self.widths[axis]))
    }

    fn log_density(&self, point: &Point) -> f64 {
        let exponents: Vec<f64> = self
            .points
            .iter()
            .map(|centre| {
                let distances = (0..N_VARIED).map(|axis| ((point[axis] - centre[axis]) / self.widths[axis]).powi(2));
                -0.5 * distances.sum::<f64>()
            })
            .collect();
        let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = exponents.iter().map(|exponent| (exponent - largest).exp()).sum();
        let width: f64 = self.widths.iter().map(|width| width.ln()).sum();
        largest + (sum / exponents.len() as f64).ln() - width
    }
}

/// A number near `middle`, normally distributed, thrown back into [0, 1] where it left it.
fn near(rng: &mut ChaCha8Rng, middle: f64, spread: f64) -> f64 {
    let value = middle + spread * standard_normal(rng);
    let folded = value.rem_euclid(2.0);
    if folded > 1.0 { 2.0 - folded } else { folded }
}

/// Box and Muller's transform (1958).
fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius: f64 = 1.0 - rng.random::<f64>();
    let angle: f64 = rng.random::<f64>() * std::f64::consts::TAU;
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A valley around a point that the start is far from, in which only two directions matter.
    fn badness(point: &Point) -> f64 {
        (point[0] - 0.8).powi(2) + 0.5 * (point[2] - 0.15).powi(2)
    }

    fn searched(seed: u64, n_trials: u64) -> Vec<Observation> {
        let start = [0.5; N_VARIED];
        let mut observed = Vec::new();
        for trial_idx in 0..n_trials {
            let point = propose(seed, trial_idx, &start, &observed);
            assert!(point.iter().all(|share| (0.0..=1.0).contains(share)), "{point:?}");
            observed.push(Observation {
                point,
                badness: badness(&point),
            });
        }
        observed
    }

    fn best(observed: &[Observation]) -> f64 {
        observed.iter().map(|seen| seen.badness).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn proposals_come_closer_than_draws_from_the_whole_space() {
        let mut n_won = 0;
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(1_000 + seed);
            let drawn = (0..40).map(|_| badness(&std::array::from_fn(|_| rng.random())));
            n_won += u32::from(best(&searched(seed, 40)) < drawn.fold(f64::INFINITY, f64::min));
        }
        assert!(n_won >= 14, "only {n_won} of 20 searches beat random draws");
    }

    #[test]
    fn a_proposal_depends_on_nothing_but_seed_number_and_observations() {
        let observed = searched(3, 12);
        let start = [0.5; N_VARIED];
        assert_eq!(propose(3, 12, &start, &observed), propose(3, 12, &start, &observed));
        assert_ne!(propose(3, 12, &start, &observed), propose(3, 13, &start, &observed));
        assert_ne!(propose(3, 12, &start, &observed), propose(4, 12, &start, &observed));
    }

    #[test]
    fn observations_that_are_no_numbers_are_passed_over() {
        let mut observed = searched(1, 10);
        let start = [0.5; N_VARIED];
        let before = propose(1, 10, &start, &observed);
        observed.push(Observation {
            point: start,
            badness: f64::NAN,
        });
        assert_eq!(propose(1, 10, &start, &observed), before);
    }
}
