//! Owns whether a log can speak for a target policy: what is measured, what is asked for, and the verdict.

use super::log::{Log, Tally};
use super::{Estimator, Refusal};
use crate::ratio::{Independent, RatioEstimate, Share};

/// What a log must offer before anything is estimated from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How much of the target policy's choices may go to actions without support. An estimate is off by up to this share
    /// times the range of rewards.
    pub max_unsupported: f64,
    /// Kish's effective sample size, at least.
    pub min_effective_rows: f64,
    /// By how many of its standard errors the mean of the importance weights may differ from 1, its expectation under
    /// full support and right propensities. A difference below 0.01 always passes.
    pub max_mean_weight_errors: f64,
    /// An estimate needs this many rows (units) times its squared skewness.
    pub rows_per_squared_skewness: f64,
}

/// A mean weight this close to 1 is never refused.
const MEAN_WEIGHT_TOLERANCE: f64 = 0.01;

impl Default for Rules {
    /// 0.001 of the choices without support; 100 effective rows; a mean weight within 5 standard errors; 25 rows for each
    /// squared skewness (Cochran 1977, "Sampling Techniques", section 2.15: with fewer, two-sided 95 % intervals by the
    /// normal approximation are wrong in more than 6 % of cases).
    fn default() -> Self {
        Self {
            max_unsupported: 0.001,
            min_effective_rows: 100.0,
            max_mean_weight_errors: 5.0,
            rows_per_squared_skewness: 25.0,
        }
    }
}

impl Rules {
    /// Asks for nothing but a defined result, as other tools do.
    pub fn lenient() -> Self {
        Self {
            max_unsupported: 1.0,
            min_effective_rows: 0.0,
            max_mean_weight_errors: f64::INFINITY,
            rows_per_squared_skewness: 0.0,
        }
    }
}

/// How much a log and a target policy have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostics {
    /// How many rows were logged.
    pub n_rows: usize,
    /// For how many units; each row without one counts as one.
    pub n_units: usize,
    /// Kish's effective sample size (Σ ωw)² / Σ (ωw)² (Kish 1965, "Survey Sampling", section 8.2): how many rows of the
    /// target policy itself would give a mean as sure. `None` when every weight is 0.
    pub effective_rows: Option<f64>,
    /// The mean importance weight, Σ ωw / Σ ω; 1 in expectation under full support. `None` without rows.
    pub mean_weight: Option<f64>,
    /// Its standard error, by units. `None` for fewer than two.
    pub mean_weight_error: Option<f64>,
    /// The largest importance weight w. `None` without rows.
    pub max_weight: Option<f64>,
    /// The share of all weight that the heaviest row has. `None` when every weight is 0.
    pub max_share: Option<f64>,
    /// How much of their choices the policies share, Σ ω min(1, w) / Σ ω: it estimates 1 less the total variation
    /// distance between them, 1 for the same policy and 0 for two that never choose the same. `None` without rows.
    pub overlap: Option<f64>,
    /// The share of the target policy's choices without support. `None` without rows.
    pub unsupported: Option<f64>,
    /// Each action at each position, by position and action.
    pub actions: Vec<ActionSupport>,
}

/// One action at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActionSupport {
    /// The position, from 0.
    pub position: usize,
    /// The action.
    pub action_idx: usize,
    /// How often it was logged.
    pub n_logged: u64,
    /// The share of the target policy's choices that goes to it. Over all positions and actions the shares sum to 1.
    pub target_share: f64,
    /// The part of that share which has no support: rows in which the logging policy is known to have had probability 0
    /// of it, or, where only the chosen action's probability is known, all rows if it was never logged at all.
    pub unsupported: f64,
}

impl Log {
    /// Measures how much the log and the target policy have in common.
    pub fn diagnose(&self) -> Diagnostics {
        let total: f64 = self.rows().iter().map(|row| row.weight).sum();
        let per_weight = |sum: f64| (total > 0.0).then(|| sum / total);
        let weights = Weights::of(self.rows().iter().map(|row| (row.weight, row.ratio)));
        let actions = self.actions(total);
        let mean = self.mean_weight();
        Diagnostics {
            n_rows: self.n_rows(),
            n_units: self.n_units(),
            effective_rows: weights.effective_rows(),
            mean_weight: mean.as_ref().map(RatioEstimate::value),
            mean_weight_error: mean.and_then(|mean| mean.standard_error(Independent::Units)),
            max_weight: self.rows().iter().map(|row| row.ratio).reduce(f64::max),
            max_share: (weights.sum > 0.0).then(|| weights.max / weights.sum),
            overlap: per_weight(self.rows().iter().map(|row| row.weight * row.ratio.min(1.0)).sum()),
            unsupported: per_weight(total * actions.iter().map(|action| action.unsupported).sum::<f64>()),
            actions,
        }
    }

    /// The log, if it can speak for the target policy by these rules.
    pub fn supported(&self, rules: &Rules) -> Result<Supported<'_>, Refusal> {
        let diagnostics = self.diagnose();
        let (Some(mean_weight), Some(unsupported)) = (diagnostics.mean_weight, diagnostics.unsupported) else {
            return Err(Refusal::NoRows);
        };
        if unsupported > rules.max_unsupported {
            return Err(refuse_unsupported(&diagnostics, unsupported, rules));
        }
        let effective_rows = diagnostics.effective_rows.ok_or(Refusal::NoOverlap)?;
        rules.check_weights(0, effective_rows, mean_weight, diagnostics.mean_weight_error)?;
        Ok(Supported {
            log: self,
            rules: *rules,
            diagnostics,
        })
    }

    /// Σ ωw / Σ ω
    fn mean_weight(&self) -> Option<RatioEstimate<'_>> {
        let share = |row: &super::log::Row| Share {
            numerator: row.weight * row.ratio,
            denominator: row.weight,
        };
        let shares = self.rows().iter().map(share).collect();
        RatioEstimate::new(shares, self.unit_idxs(), self.n_units())
    }

    fn actions(&self, total: f64) -> Vec<ActionSupport> {
        let mut actions = Vec::new();
        for (position, tallies) in self.tallies().iter().enumerate() {
            actions.extend(tallies.iter().enumerate().map(|(action_idx, tally)| ActionSupport {
                position,
                action_idx,
                n_logged: tally.n_logged,
                target_share: tally.target / total,
                unsupported: tally.unsupported() / total,
            }));
        }
        actions
    }
}

impl Tally {
    /// Σ ω π_e of the action where it has no support.
    fn unsupported(&self) -> f64 {
        let never_logged = if self.n_logged == 0 {
            self.target_beside_chosen
        } else {
            0.0
        };
        self.target_without_behaviour + never_logged
    }
}

impl Rules {
    pub(crate) fn check_weights(
        &self,
        position: usize,
        effective_rows: f64,
        mean: f64,
        standard_error: Option<f64>,
    ) -> Result<(), Refusal> {
        if effective_rows < self.min_effective_rows {
            return Err(Refusal::EffectiveRows {
                found: effective_rows,
                at_least: self.min_effective_rows,
                position,
            });
        }
        let standard_error = standard_error.unwrap_or(0.0);
        let allowed = (self.max_mean_weight_errors * standard_error).max(MEAN_WEIGHT_TOLERANCE);
        if self.max_mean_weight_errors.is_finite() && (mean - 1.0).abs() > allowed {
            return Err(Refusal::MeanWeight {
                found: mean,
                standard_error,
                position,
            });
        }
        Ok(())
    }

    /// Refuses an estimate whose interval could not be believed.
    pub(crate) fn check_spread(&self, estimate: &RatioEstimate<'_>) -> Result<(), Refusal> {
        if self.rows_per_squared_skewness <= 0.0 {
            return Ok(());
        }
        let n = estimate.n_independent(Independent::Units);
        // Where all rows add the same, rounding still leaves a trace of a spread.
        let error = estimate.standard_error(Independent::Units).unwrap_or(0.0);
        if error <= 1e-12 * estimate.value().abs() {
            return Err(Refusal::NoSpread { n });
        }
        let skewness = estimate.skewness(Independent::Units).ok_or(Refusal::NoSpread { n })?;
        let needed = self.rows_per_squared_skewness * skewness * skewness;
        if (n as f64) < needed {
            return Err(Refusal::Skewed { skewness, needed, n });
        }
        Ok(())
    }
}

fn refuse_unsupported(diagnostics: &Diagnostics, share: f64, rules: &Rules) -> Refusal {
    let actions = diagnostics.actions.iter();
    let worst = actions.max_by(|a, b| a.unsupported.total_cmp(&b.unsupported));
    Refusal::Unsupported {
        share,
        at_most: rules.max_unsupported,
        position: worst.map_or(0, |action| action.position),
        action_idx: worst.map_or(0, |action| action.action_idx),
        worst_share: worst.map_or(0.0, |action| action.unsupported),
    }
}

/// Sums of ωw.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weights {
    pub(crate) sum: f64,
    squares: f64,
    pub(crate) max: f64,
}

impl Weights {
    pub(crate) fn of(rows: impl Iterator<Item = (f64, f64)>) -> Self {
        rows.fold(Self::default(), |so_far, (weight, ratio)| {
            let product = weight * ratio;
            Self {
                sum: so_far.sum + product,
                squares: so_far.squares + product * product,
                max: so_far.max.max(product),
            }
        })
    }

    pub(crate) fn effective_rows(&self) -> Option<f64> {
        (self.squares > 0.0).then(|| self.sum * self.sum / self.squares)
    }
}

/// A log that can speak for the target policy.
#[derive(Debug, Clone)]
pub struct Supported<'a> {
    log: &'a Log,
    rules: Rules,
    diagnostics: Diagnostics,
}

impl<'a> Supported<'a> {
    /// How much the log and the target policy have in common.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Estimates what the target policy is worth. Refuses parameters that make no sense, a doubly robust estimator
    /// without expected rewards, and an estimate whose interval could not be believed.
    pub fn estimate(&self, estimator: Estimator) -> Result<RatioEstimate<'a>, Refusal> {
        estimator.check()?;
        let shares = estimator.shares(self.log)?;
        let estimate =
            RatioEstimate::new(shares, self.log.unit_idxs(), self.log.n_units()).ok_or(Refusal::NoOverlap)?;
        self.rules.check_spread(&estimate)?;
        Ok(estimate)
    }

    /// What the logging policy was worth: Σ ωr / Σ ω. Take an estimate [`RatioEstimate::minus`] this one to compare.
    pub fn logged_value(&self) -> Result<RatioEstimate<'a>, Refusal> {
        let share = |row: &super::log::Row| Share {
            numerator: row.weight * row.reward,
            denominator: row.weight,
        };
        let shares = self.log.rows().iter().map(share).collect();
        RatioEstimate::new(shares, self.log.unit_idxs(), self.log.n_units()).ok_or(Refusal::NoRows)
    }
}
