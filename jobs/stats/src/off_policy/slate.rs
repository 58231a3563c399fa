//! Owns the value of policies that fill lists: what a slate's slots add, by how its user is assumed to behave.

use super::Refusal;
use super::log::{Check, LogError, Units};
use super::support::{Rules, Weights};
use crate::ratio::{Independent, RatioEstimate, Share};

/// One slot of a logged slate, from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// What came of this slot; finite. The value of a policy is the expected sum over a slate's slots.
    pub reward: f64,
    /// The logging policy's probability of the action that stood here, in (0, 1], as [`SlateProbability`] says.
    pub behaviour: f64,
    /// The target policy's probability of the same, in [0, 1].
    pub target: f64,
}

/// What the probabilities of a slate's slots are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlateProbability {
    /// Of the action at this position, whatever stands at the others.
    Marginal,
    /// Of the action at this position, given the actions above it. Their product is the probability of the slate.
    GivenAbove,
    /// Both at once: each slot is drawn for itself.
    Independent,
}

/// By which probabilities the reward of a slot is weighed: the fewer slots it is assumed to depend on, the smaller the
/// weights vary, and the larger the error if the assumption is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlateWeight {
    /// The slot's own, marginal: its reward depends on its own action and position only (the item-position click model).
    /// Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay & Wen 2018, "Offline evaluation of ranking policies with click
    /// models"; called independent IPS elsewhere.
    PositionWise,
    /// Its own and those above: its reward depends on what was seen before it (reward interaction, the cascade). McInerney,
    /// Brost, Chandar, Mehrotra & Carterette 2020, "Counterfactual evaluation of slate recommendations with sequential
    /// reward interactions", section 3.
    RewardInteraction,
    /// Those of the whole slate: nothing is assumed. Equation 1 of the same paper.
    Standard,
}

/// How a slate policy's value is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SlateEstimator {
    /// Σ ω Σₖ wₖ rₖ / Σ ω
    Ips {
        /// What wₖ is made of.
        weight: SlateWeight,
    },
    /// Σₖ (Σ ω wₖ rₖ / Σ ω wₖ): the rewards of each position are a weighted mean. A slate too short for a position counts as
    /// one in which both policies leave it empty, with reward 0.
    Snips {
        /// What wₖ is made of.
        weight: SlateWeight,
    },
}

/// How much a log of slates and a target policy have in common at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositionSupport {
    /// The position, from 0.
    pub position: usize,
    /// Kish's effective sample size. `None` when every weight is 0.
    pub effective_rows: Option<f64>,
    /// The mean weight; 1 in expectation under full support. `None` without slates.
    pub mean_weight: Option<f64>,
    /// The largest weight. `None` without slates.
    pub max_weight: Option<f64>,
    /// Σ ω min(1, w) / Σ ω, as [`super::Diagnostics::overlap`]. `None` without slates.
    pub overlap: Option<f64>,
}

/// Logged slates: 24 bytes a slot.
#[derive(Debug, Clone)]
pub struct SlateLog {
    probability: SlateProbability,
    /// `[n_slates]`, each with its first slot's position in `slots`.
    slates: Vec<Slate>,
    slots: Vec<Slot>,
    n_positions: usize,
    units: Units,
}

#[derive(Debug, Clone, Copy)]
struct Slate {
    start: usize,
    end: usize,
    weight: f64,
}

impl SlateLog {
    /// Without slates.
    pub fn new(probability: SlateProbability) -> Self {
        Self {
            probability,
            slates: Vec::new(),
            slots: Vec::new(),
            n_positions: 0,
            units: Units::default(),
        }
    }

    /// Adds a slate, its slots from the top; it may have fewer slots than others. `unit` and `weight` are as in
    /// [`super::LoggedRow`]. An error names the slate as its row.
    pub fn push(&mut self, slots: &[Slot], unit: Option<u64>, weight: f64) -> Result<(), LogError> {
        let check = Check {
            row_idx: self.slates.len(),
            n_actions: 0,
        };
        check.is_weight(weight)?;
        for slot in slots {
            check.is_number("reward", slot.reward)?;
            check.is_propensity("behaviour", slot.behaviour)?;
            check.is_probability("target", slot.target)?;
        }
        let start = self.slots.len();
        self.slots.extend_from_slice(slots);
        self.slates.push(Slate {
            start,
            end: self.slots.len(),
            weight,
        });
        self.n_positions = self.n_positions.max(slots.len());
        self.units.push(unit);
        Ok(())
    }

    /// Estimates what the target policy is worth, if the log can speak for it at every position: by the effective sample
    /// size and the mean of the weights, as for single actions. What the target policy does at random beside the logged
    /// actions is not seen here, so [`Rules::max_unsupported`] is not asked.
    pub fn estimate(&self, estimator: SlateEstimator, rules: &Rules) -> Result<RatioEstimate<'_>, Refusal> {
        estimator.check(self.probability)?;
        if self.slots.is_empty() || self.slates.iter().all(|slate| slate.weight == 0.0) {
            return Err(Refusal::NoRows);
        }
        let weights = self.weights(estimator.weight());
        for position in 0..self.n_positions {
            self.check_position(position, &weights, rules)?;
        }
        let of_slate = |(slate, weights): (&Slate, &[f64])| -> Vec<Share> {
            let rewards = self.rewards(slate);
            let terms = weights.iter().zip(rewards);
            match estimator {
                SlateEstimator::Ips { .. } => vec![Share {
                    numerator: slate.weight * terms.map(|(ratio, reward)| ratio * reward).sum::<f64>(),
                    denominator: slate.weight,
                }],
                SlateEstimator::Snips { .. } => terms
                    .map(|(ratio, reward)| Share {
                        numerator: slate.weight * ratio * reward,
                        denominator: slate.weight * ratio,
                    })
                    .collect(),
            }
        };
        let slates = self.slates.iter().zip(weights.chunks_exact(self.n_positions));
        let shares = slates.flat_map(of_slate).collect();
        let estimate = RatioEstimate::new(shares, &self.units.of_rows, self.units.n).ok_or(Refusal::NoOverlap)?;
        rules.check_spread(&estimate)?;
        Ok(estimate)
    }

    /// What the logging policy was worth: Σ ω Σₖ rₖ / Σ ω. Take an estimate [`RatioEstimate::minus`] this one to compare.
    pub fn logged_value(&self) -> Result<RatioEstimate<'_>, Refusal> {
        let share = |slate: &Slate| Share {
            numerator: slate.weight
                * self.slots[slate.start..slate.end]
                    .iter()
                    .map(|slot| slot.reward)
                    .sum::<f64>(),
            denominator: slate.weight,
        };
        let shares = self.slates.iter().map(share).collect();
        RatioEstimate::new(shares, &self.units.of_rows, self.units.n).ok_or(Refusal::NoRows)
    }

    /// Measures how much the log and the target policy have in common, position by position, from the top.
    pub fn diagnose(&self, weight: SlateWeight) -> Vec<PositionSupport> {
        let weights = self.weights(weight);
        let of_position = |position: usize| {
            let ratios = weights.iter().skip(position).step_by(self.n_positions);
            let rows = || {
                self.slates
                    .iter()
                    .map(|slate| slate.weight)
                    .zip(ratios.clone().copied())
            };
            let total: f64 = self.slates.iter().map(|slate| slate.weight).sum();
            let per_weight = |sum: f64| (total > 0.0).then(|| sum / total);
            PositionSupport {
                position,
                effective_rows: Weights::of(rows()).effective_rows(),
                mean_weight: per_weight(rows().map(|(weight, ratio)| weight * ratio).sum()),
                max_weight: rows().map(|(_, ratio)| ratio).reduce(f64::max),
                overlap: per_weight(rows().map(|(weight, ratio)| weight * ratio.min(1.0)).sum()),
            }
        };
        (0..self.n_positions).map(of_position).collect()
    }

    /// How many slates there are.
    pub fn n_slates(&self) -> usize {
        self.slates.len()
    }

    /// How many units there are; each slate without one counts as one.
    pub fn n_units(&self) -> usize {
        self.units.n
    }

    /// wₖ of each slate at each position, `[n_slates, n_positions]`; 1 where a slate has no such slot.
    fn weights(&self, weight: SlateWeight) -> Vec<f64> {
        let mut weights = vec![1.0; self.slates.len() * self.n_positions];
        // Slates without a single slot have no weights; chunks of none there cannot be.
        let of_each = weights.chunks_exact_mut(self.n_positions.max(1));
        for (slate, weights) in self.slates.iter().zip(of_each) {
            let slots = &self.slots[slate.start..slate.end];
            let ratios = slots.iter().map(|slot| slot.target / slot.behaviour);
            let whole: f64 = ratios.clone().product();
            let mut above = 1.0;
            for (wanted, ratio) in weights.iter_mut().zip(ratios) {
                above *= ratio;
                *wanted = match weight {
                    SlateWeight::PositionWise => ratio,
                    SlateWeight::RewardInteraction => above,
                    SlateWeight::Standard => whole,
                };
            }
        }
        weights
    }

    /// The rewards of a slate from the top; 0 where it has no slot.
    fn rewards(&self, slate: &Slate) -> impl Iterator<Item = f64> {
        let rewards = self.slots[slate.start..slate.end].iter().map(|slot| slot.reward);
        rewards.chain(std::iter::repeat(0.0)).take(self.n_positions)
    }

    fn check_position(&self, position: usize, weights: &[f64], rules: &Rules) -> Result<(), Refusal> {
        let at_position = || weights.iter().skip(position).step_by(self.n_positions);
        let rows = || self.slates.iter().map(|slate| slate.weight).zip(at_position().copied());
        let effective_rows = Weights::of(rows()).effective_rows().ok_or(Refusal::NoOverlap)?;
        let shares = rows().map(|(weight, ratio)| Share {
            numerator: weight * ratio,
            denominator: weight,
        });
        let mean = RatioEstimate::new(shares.collect(), &self.units.of_rows, self.units.n).ok_or(Refusal::NoOverlap)?;
        rules.check_weights(
            position,
            effective_rows,
            mean.value(),
            mean.standard_error(Independent::Units),
        )
    }
}

impl SlateEstimator {
    fn weight(self) -> SlateWeight {
        match self {
            Self::Ips { weight } | Self::Snips { weight } => weight,
        }
    }

    fn check(self, found: SlateProbability) -> Result<(), Refusal> {
        let (estimator, needed) = match self.weight() {
            SlateWeight::PositionWise => ("position-wise IPS", SlateProbability::Marginal),
            SlateWeight::RewardInteraction => ("reward-interaction IPS", SlateProbability::GivenAbove),
            SlateWeight::Standard => ("slate IPS", SlateProbability::GivenAbove),
        };
        if found == needed || found == SlateProbability::Independent {
            return Ok(());
        }
        Err(Refusal::Probabilities {
            estimator,
            expected: needed.as_str(),
            found: found.as_str(),
        })
    }
}

impl SlateProbability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Marginal => "marginal probabilities of each position",
            Self::GivenAbove => "probabilities given the actions above",
            Self::Independent => "probabilities of slots that are drawn for themselves",
        }
    }
}
