//! Owns the estimators of a policy's value: what each row adds to them.

use super::Refusal;
use super::log::{Log, Prediction, Row};
use crate::ratio::Share;

/// How a policy's value is estimated. `clip` cuts importance weights to at most that number, c(w) = min(w, clip); `None`
/// leaves them as they are. Cutting makes estimates steadier and pulls them: IPS towards 0, SNIPS towards the rewards of
/// the logging policy, doubly robust ones towards what the model expects. It never helps against missing support.
///
/// All sums are over rows; n stands for Σ ω.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimator {
    /// Inverse propensity scoring: Σ ω c(w) r / n. Unbiased without clipping, whatever the rewards. Horvitz & Thompson
    /// 1952, equation 5; for policies Strehl, Langford, Li & Kakade 2010, "Learning from logged implicit exploration
    /// data"; clipping after Ionides 2008, "Truncated importance sampling".
    Ips {
        /// Importance weights above it are cut to it.
        clip: Option<f64>,
    },
    /// Self-normalised IPS: Σ ω c(w) r / Σ ω c(w). A weighted mean of rewards, so it stays within their range and moves
    /// with them by any constant; biased by O(1/n). Swaminathan & Joachims 2015, "The self-normalized estimator for
    /// counterfactual learning", section 4.
    Snips {
        /// Importance weights above it are cut to it.
        clip: Option<f64>,
    },
    /// Direct method: Σ ω Σₐ π_e(a|x) q̂(x, a) / n. As right as the model is; its spread says nothing of the model's error.
    /// Dudík, Langford & Li 2011, "Doubly robust policy evaluation and learning", section 2.
    DirectMethod,
    /// Doubly robust: Σ ω (Σₐ π_e(a|x) q̂(x, a) + c(w) (r − q̂)) / n with q̂ at the logged action. Unbiased without clipping
    /// if the propensities are right or the model is. Dudík, Langford & Li 2011, section 2.
    DoublyRobust {
        /// Importance weights above it are cut to it.
        clip: Option<f64>,
    },
    /// Doubly robust with self-normalised correction: Σ ω Σₐ π_e q̂ / n + Σ ω c(w) (r − q̂) / Σ ω c(w). Thomas & Brunskill
    /// 2016, "Data-efficient off-policy policy evaluation", section 5 (weighted doubly robust, for horizon 1); Kallus &
    /// Uehara 2019, "Intrinsically efficient, stable, and bounded off-policy evaluation".
    SelfNormalisedDoublyRobust {
        /// Importance weights above it are cut to it.
        clip: Option<f64>,
    },
    /// Switch: doubly robust where w ≤ threshold, the model alone where w is larger. Wang, Agarwal & Dudík 2017, "Optimal
    /// and adaptive off-policy evaluation in contextual bandits", section 4, with the doubly robust estimator as its base.
    SwitchDoublyRobust {
        /// τ: the largest weight that is trusted.
        threshold: f64,
    },
    /// Doubly robust with optimistic shrinkage: weights λw / (w² + λ). λ → ∞ gives doubly robust, λ → 0 the direct method. Su,
    /// Dimakopoulou, Krishnamurthy & Dudík 2020, "Doubly robust off-policy evaluation with shrinkage", section 3.
    ShrunkDoublyRobust {
        /// λ
        lambda: f64,
    },
}

impl Estimator {
    /// The short name that the literature uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ips { .. } => "IPS",
            Self::Snips { .. } => "SNIPS",
            Self::DirectMethod => "DM",
            Self::DoublyRobust { .. } => "DR",
            Self::SelfNormalisedDoublyRobust { .. } => "SNDR",
            Self::SwitchDoublyRobust { .. } => "Switch-DR",
            Self::ShrunkDoublyRobust { .. } => "DRos",
        }
    }

    pub(crate) fn check(self) -> Result<(), Refusal> {
        let (parameter, found) = match self {
            Self::DirectMethod => return Ok(()),
            Self::Ips { clip }
            | Self::Snips { clip }
            | Self::DoublyRobust { clip }
            | Self::SelfNormalisedDoublyRobust { clip } => ("clip", clip.unwrap_or(f64::INFINITY)),
            Self::SwitchDoublyRobust { threshold } => ("threshold", threshold),
            Self::ShrunkDoublyRobust { lambda } => ("lambda", lambda),
        };
        if found > 0.0 {
            return Ok(());
        }
        Err(Refusal::Parameter {
            estimator: self.name(),
            parameter,
            found,
        })
    }

    /// What each row adds to the numerators and denominators, `[n_rows, n_ratios]`.
    pub(crate) fn shares(self, log: &Log) -> Result<Vec<Share>, Refusal> {
        let rows = log.rows().iter();
        let predicted = || log.predicted().ok_or(Refusal::NoPredictions { estimator: self.name() });
        let correction = |row: &Row, prediction: &Prediction| row.reward - prediction.logged;
        Ok(match self {
            Self::Ips { .. } => rows.map(|row| mean(row, self.weight(row.ratio) * row.reward)).collect(),
            Self::Snips { .. } => rows
                .map(|row| normalised(row, self.weight(row.ratio), row.reward))
                .collect(),
            Self::DirectMethod => predicted()?
                .map(|(row, prediction)| mean(row, prediction.target))
                .collect(),
            Self::SelfNormalisedDoublyRobust { .. } => predicted()?
                .flat_map(|(row, prediction)| {
                    let corrected = normalised(row, self.weight(row.ratio), correction(row, prediction));
                    [mean(row, prediction.target), corrected]
                })
                .collect(),
            Self::DoublyRobust { .. } | Self::SwitchDoublyRobust { .. } | Self::ShrunkDoublyRobust { .. } => {
                predicted()?
                    .map(|(row, prediction)| {
                        let corrected = self.weight(row.ratio) * correction(row, prediction);
                        mean(row, prediction.target + corrected)
                    })
                    .collect()
            }
        })
    }

    /// The weight that the estimator gives a row in place of w.
    fn weight(self, ratio: f64) -> f64 {
        match self {
            Self::Ips { clip }
            | Self::Snips { clip }
            | Self::DoublyRobust { clip }
            | Self::SelfNormalisedDoublyRobust { clip } => clip.map_or(ratio, |clip| ratio.min(clip)),
            Self::DirectMethod => 0.0,
            Self::SwitchDoublyRobust { threshold } => {
                if ratio <= threshold {
                    ratio
                } else {
                    0.0
                }
            }
            // The same as λw / (w² + λ), also for an infinite λ.
            Self::ShrunkDoublyRobust { lambda } => ratio / (ratio * ratio / lambda + 1.0),
        }
    }
}

/// A share of a mean over rows.
fn mean(row: &Row, adds: f64) -> Share {
    Share {
        numerator: row.weight * adds,
        denominator: row.weight,
    }
}

/// A share of a mean over rows that count by their importance weight.
fn normalised(row: &Row, ratio: f64, adds: f64) -> Share {
    Share {
        numerator: row.weight * ratio * adds,
        denominator: row.weight * ratio,
    }
}
