//! Owns estimates that are ratios of sums over rows, and how sure they are.
//!
//! A mean is Σ x / Σ 1, a weighted mean Σ ωx / Σ ω, a self-normalised estimate Σ wr / Σ w; sums and differences of such
//! ratios are estimates of the same kind: R = Σₖ Nₖ / Dₖ with Nₖ = Σᵢ nᵢₖ and Dₖ = Σᵢ dᵢₖ. So the variance of all of
//! them is one formula, and one way to resample them serves all.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::interval::Interval;
use crate::student::student_two_sided;

/// What was sampled independently of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Independent {
    /// Each row. Wrong, and too sure, where a user brings several rows that go up and down together.
    Rows,
    /// Each unit, with all its rows. A row without a unit stands for itself.
    Units,
}

/// How often, and from which seed, a bootstrap draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many times the rows or units are drawn again. The ends of a 95 % interval are off by about 2.7 standard
    /// errors divided by √n_resamples: 0.27 of one for 100, 0.03 for 10,000.
    pub n_resamples: usize,
    /// The same seed gives the same interval.
    pub seed: u64,
}

/// What one row, or all rows of a unit, add to the numerator and the denominator of one ratio.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Share {
    pub(crate) numerator: f64,
    pub(crate) denominator: f64,
}

/// An estimate that is a sum of ratios of sums, with all that its spread is computed from.
#[derive(Debug, Clone)]
pub struct RatioEstimate<'a> {
    /// `[n_rows, n_ratios]`, row-major.
    shares: Vec<Share>,
    totals: Vec<Share>,
    /// The unit of each row, from 0.
    unit_idxs: &'a [u32],
    n_units: usize,
}

impl<'a> RatioEstimate<'a> {
    /// From the shares of all rows, `[n_rows, n_ratios]` row-major. `None` where a ratio's denominator is 0 or a sum is
    /// not finite: the estimate is not defined then.
    pub(crate) fn new(shares: Vec<Share>, unit_idxs: &'a [u32], n_units: usize) -> Option<Self> {
        let n_ratios = shares.len().checked_div(unit_idxs.len())?;
        let totals = sum(shares.chunks_exact(n_ratios.max(1)), n_ratios);
        let is_defined =
            |total: &Share| total.numerator.is_finite() && (total.numerator / total.denominator).is_finite();
        (n_ratios > 0 && totals.iter().all(is_defined)).then_some(Self {
            shares,
            totals,
            unit_idxs,
            n_units,
        })
    }

    /// The estimate.
    pub fn value(&self) -> f64 {
        value(&self.totals)
    }

    /// The linearised (delta-method) standard error: √(G/(G − 1) · Σ_g ψ_g²) where ψ_g = Σₖ (n_gk − (Nₖ/Dₖ) d_gk) / Dₖ
    /// is what row or unit g adds to the error of the estimate, and G counts them.
    ///
    /// Sources: for one ratio and independent rows, Cochran 1977, "Sampling Techniques", chapter 6, and for
    /// self-normalised weights Owen 2013, "Monte Carlo theory, methods and examples", section 9.2; for units, the
    /// cluster-robust variance of Liang & Zeger 1986 with the factor G/(G − 1) of Cameron & Miller 2015, "A
    /// practitioner's guide to cluster-robust inference". Assumes that rows (or units) are independent of each other and
    /// none dominates the sums. `None` for fewer than two of them.
    pub fn standard_error(&self, independent: Independent) -> Option<f64> {
        let errors = self.errors(independent);
        let n = errors.len() as f64;
        let squares: f64 = errors.iter().map(|error| error * error).sum();
        (errors.len() >= 2).then(|| (squares * n / (n - 1.0)).sqrt())
    }

    /// The interval value ± t · standard error, with Student's t of G − 1 degrees of freedom for G rows or units
    /// (Cameron & Miller 2015, section VI). It covers about as often as `confidence` says once G is large against the
    /// skewness, see [`Self::skewness`]. `None` where the standard error is, and for a confidence outside (0, 1).
    pub fn interval(&self, confidence: f64, independent: Independent) -> Option<Interval> {
        let degrees = self.n_independent(independent).checked_sub(1)? as u64;
        let half = student_two_sided(confidence, degrees)? * self.standard_error(independent)?;
        let value = self.value();
        Some(Interval {
            low: value - half,
            high: value + half,
        })
    }

    /// The percentile interval of a bootstrap (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13):
    /// rows, or units with all their rows (the cluster bootstrap), are drawn with replacement as often as there are of
    /// them, the whole estimate is computed again with its denominators, and the interval lies between the quantiles
    /// (1 ∓ confidence) / 2 of what comes out, interpolated linearly.
    ///
    /// The draws are ChaCha8's: one seed gives the same interval everywhere. `None` for fewer than two rows or units, no
    /// resamples, a confidence outside (0, 1), or when in one of the resamples the estimate is not defined.
    /// O(n_resamples · G).
    pub fn bootstrap_interval(&self, confidence: f64, independent: Independent, how: &Bootstrap) -> Option<Interval> {
        let n = self.n_independent(independent);
        if n < 2 || how.n_resamples == 0 || !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let n_ratios = self.totals.len();
        let shares = self.grouped(independent);
        let mut random = ChaCha8Rng::seed_from_u64(how.seed);
        let mut values = Vec::with_capacity(how.n_resamples);
        for _ in 0..how.n_resamples {
            let drawn = (0..n).map(|_| {
                let start = random.random_range(0..n) * n_ratios;
                &shares[start..start + n_ratios]
            });
            let resampled = value(&sum(drawn, n_ratios));
            if !resampled.is_finite() {
                return None;
            }
            values.push(resampled);
        }
        values.sort_by(f64::total_cmp);
        Some(Interval {
            low: quantile(&values, (1.0 - confidence) / 2.0),
            high: quantile(&values, (1.0 + confidence) / 2.0),
        })
    }

    /// The skewness of what rows or units add to the error: G½ Σ ψ³ / (Σ ψ²)^1.5. The normal approximation behind
    /// intervals holds once G is larger than about 25 times its square (Cochran 1977, section 2.15). `None` when there
    /// is no spread.
    pub fn skewness(&self, independent: Independent) -> Option<f64> {
        let errors = self.errors(independent);
        let moment = |power| errors.iter().map(|error| error.powi(power)).sum::<f64>();
        let skewness = (errors.len() as f64).sqrt() * moment(3) / moment(2).powf(1.5);
        skewness.is_finite().then_some(skewness)
    }

    /// This estimate less another one over the same rows. What they have in common cancels in the spread, as in a paired
    /// test. `None` when the rows are others.
    pub fn minus(&self, other: &RatioEstimate<'a>) -> Option<Self> {
        if self.unit_idxs.len() != other.unit_idxs.len() || !std::ptr::eq(self.unit_idxs, other.unit_idxs) {
            return None;
        }
        let negative = |share: &Share| Share {
            numerator: -share.numerator,
            ..*share
        };
        let rows = self.rows().zip(other.rows());
        let shares = rows.flat_map(|(mine, theirs)| mine.iter().copied().chain(theirs.iter().map(negative)));
        Self::new(shares.collect(), self.unit_idxs, self.n_units)
    }

    /// How many rows or units there are.
    pub fn n_independent(&self, independent: Independent) -> usize {
        match independent {
            Independent::Rows => self.unit_idxs.len(),
            Independent::Units => self.n_units,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[Share]> {
        self.shares.chunks_exact(self.totals.len())
    }

    /// ψ of each row or unit.
    fn errors(&self, independent: Independent) -> Vec<f64> {
        let error_of = |shares: &[Share]| -> f64 {
            let parts = shares.iter().zip(&self.totals);
            parts
                .map(|(share, total)| {
                    (share.numerator - total.numerator / total.denominator * share.denominator) / total.denominator
                })
                .sum()
        };
        match independent {
            Independent::Rows => self.rows().map(error_of).collect(),
            Independent::Units => {
                let mut errors = vec![0.0; self.n_units];
                for (row, unit_idx) in self.rows().zip(self.unit_idxs) {
                    errors[*unit_idx as usize] += error_of(row);
                }
                errors
            }
        }
    }

    /// The shares of each row or unit, `[n, n_ratios]`.
    fn grouped(&self, independent: Independent) -> std::borrow::Cow<'_, [Share]> {
        let n_ratios = self.totals.len();
        match independent {
            Independent::Rows => (&self.shares).into(),
            Independent::Units => {
                let mut grouped = vec![Share::default(); self.n_units * n_ratios];
                for (row, unit_idx) in self.rows().zip(self.unit_idxs) {
                    add(&mut grouped[*unit_idx as usize * n_ratios..][..n_ratios], row);
                }
                grouped.into()
            }
        }
    }
}

fn add(totals: &mut [Share], shares: &[Share]) {
    for (total, share) in totals.iter_mut().zip(shares) {
        total.numerator += share.numerator;
        total.denominator += share.denominator;
    }
}

fn sum<'s>(rows: impl Iterator<Item = &'s [Share]>, n_ratios: usize) -> Vec<Share> {
    let mut totals = vec![Share::default(); n_ratios];
    rows.for_each(|row| add(&mut totals, row));
    totals
}

fn value(totals: &[Share]) -> f64 {
    totals.iter().map(|total| total.numerator / total.denominator).sum()
}

/// Of sorted numbers, at least one: interpolated linearly between the two next to (n − 1) · probability.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let at = (sorted.len() - 1) as f64 * probability;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
