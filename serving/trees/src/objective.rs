//! Owns what a model was trained for, and the link that turns its margins into predictions.

use std::fmt;

use crate::exp::exp;

/// The objective that a model was trained for, by XGBoost's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Objective {
    /// `binary:logistic`: the probability of the label 1.
    BinaryLogistic,
    /// `binary:logitraw`: the log odds of the label 1; the link is the identity.
    BinaryLogitRaw,
    /// `binary:hinge`: 1 for yes, 0 for no.
    BinaryHinge,
    /// `reg:logistic`: a share between 0 and 1.
    RegLogistic,
    /// `reg:squarederror`
    RegSquaredError,
    /// `reg:absoluteerror`
    RegAbsoluteError,
    /// `reg:squaredlogerror`
    RegSquaredLogError,
    /// `reg:pseudohubererror`
    RegPseudoHuberError,
    /// `reg:gamma`: a positive mean.
    RegGamma,
    /// `reg:tweedie`: a mean of at least 0.
    RegTweedie,
    /// `reg:quantileerror`: one output for each of its alphas, in ascending order.
    RegQuantileError,
    /// `count:poisson`: a mean count.
    CountPoisson,
    /// `multi:softprob`: the probability of each class.
    MultiSoftprob,
    /// `multi:softmax`: here too the probability of each class; the class itself is the largest.
    MultiSoftmax,
    /// `rank:ndcg`: a score that orders the candidates of one query.
    RankNdcg,
    /// `rank:map`, as `rank:ndcg`.
    RankMap,
    /// `rank:pairwise`, as `rank:ndcg`.
    RankPairwise,
    /// `survival:aft`: a time until the event, at least 0.
    SurvivalAft,
    /// `survival:cox`: a hazard ratio, at least 0.
    SurvivalCox,
}

/// How margins become predictions. The formulas are those of libxgboost, in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The margin itself.
    Identity,
    /// 1 / (1 + e^-margin)
    Logistic,
    /// e^margin
    Exponential,
    /// 1 if the margin is above 0, otherwise 0.
    Step,
    /// e^margin over the sum of e^margin of all outputs of the row.
    Softmax,
    /// The margins of the row in ascending order, so that quantiles never cross (as libxgboost 3.4 does).
    Sorted,
}

impl Objective {
    /// Every objective that is served.
    pub const ALL: [Self; 19] = [
        Self::BinaryLogistic,
        Self::BinaryLogitRaw,
        Self::BinaryHinge,
        Self::RegLogistic,
        Self::RegSquaredError,
        Self::RegAbsoluteError,
        Self::RegSquaredLogError,
        Self::RegPseudoHuberError,
        Self::RegGamma,
        Self::RegTweedie,
        Self::RegQuantileError,
        Self::CountPoisson,
        Self::MultiSoftprob,
        Self::MultiSoftmax,
        Self::RankNdcg,
        Self::RankMap,
        Self::RankPairwise,
        Self::SurvivalAft,
        Self::SurvivalCox,
    ];

    /// The objective of that name, if it is served.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|objective| objective.name() == name)
    }

    /// XGBoost's name, as in its parameter `objective`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BinaryLogistic => "binary:logistic",
            Self::BinaryLogitRaw => "binary:logitraw",
            Self::BinaryHinge => "binary:hinge",
            Self::RegLogistic => "reg:logistic",
            Self::RegSquaredError => "reg:squarederror",
            Self::RegAbsoluteError => "reg:absoluteerror",
            Self::RegSquaredLogError => "reg:squaredlogerror",
            Self::RegPseudoHuberError => "reg:pseudohubererror",
            Self::RegGamma => "reg:gamma",
            Self::RegTweedie => "reg:tweedie",
            Self::RegQuantileError => "reg:quantileerror",
            Self::CountPoisson => "count:poisson",
            Self::MultiSoftprob => "multi:softprob",
            Self::MultiSoftmax => "multi:softmax",
            Self::RankNdcg => "rank:ndcg",
            Self::RankMap => "rank:map",
            Self::RankPairwise => "rank:pairwise",
            Self::SurvivalAft => "survival:aft",
            Self::SurvivalCox => "survival:cox",
        }
    }

    /// How margins of this objective become predictions.
    pub fn link(self) -> Link {
        match self {
            Self::BinaryLogistic | Self::RegLogistic => Link::Logistic,
            Self::BinaryHinge => Link::Step,
            Self::RegGamma | Self::RegTweedie | Self::CountPoisson | Self::SurvivalAft | Self::SurvivalCox => {
                Link::Exponential
            }
            Self::MultiSoftprob | Self::MultiSoftmax => Link::Softmax,
            Self::RegQuantileError => Link::Sorted,
            Self::BinaryLogitRaw
            | Self::RegSquaredError
            | Self::RegAbsoluteError
            | Self::RegSquaredLogError
            | Self::RegPseudoHuberError
            | Self::RankNdcg
            | Self::RankMap
            | Self::RankPairwise => Link::Identity,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Link {
    /// Turns the margins of rows `[n_rows, n_outputs]` into their predictions, in place.
    pub(crate) fn apply(self, margins: &mut [f32], n_outputs: usize) {
        match self {
            Self::Identity => {}
            Self::Logistic => margins.iter_mut().for_each(|value| *value = logistic(*value)),
            Self::Exponential => margins.iter_mut().for_each(|value| *value = exp(*value)),
            Self::Step => margins.iter_mut().for_each(|value| *value = f32::from(*value > 0.0)),
            Self::Softmax => margins.chunks_exact_mut(n_outputs).for_each(softmax),
            Self::Sorted => margins
                .chunks_exact_mut(n_outputs)
                .for_each(|row| row.sort_unstable_by(f32::total_cmp)),
        }
    }

    /// The margin that stands for a base score, which models keep in the space of predictions. `None` when no
    /// margin has that prediction.
    ///
    /// A softmax has no inverse and a step has none that is single: their base scores are margins already, and so are
    /// those of sorted quantiles.
    pub fn base_margin(self, base_score: f32) -> Option<f32> {
        /// libxgboost keeps a base score of 0 or 1, which all-equal labels give, this far from the ends.
        const EDGE: f32 = 1e-6;
        match self {
            Self::Logistic if (0.0..=1.0).contains(&base_score) => {
                Some(-(1.0 / base_score.clamp(EDGE, 1.0 - EDGE) - 1.0).ln())
            }
            Self::Exponential if base_score > 0.0 => Some(base_score.ln()),
            Self::Logistic | Self::Exponential => None,
            Self::Identity | Self::Step | Self::Softmax | Self::Sorted => Some(base_score),
        }
    }
}

fn logistic(margin: f32) -> f32 {
    /// The largest exponent that does not overflow f32.
    const LARGEST: f32 = 88.7;
    1.0 / (exp((-margin).min(LARGEST)) + 1.0)
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for value in row.iter_mut() {
        *value = exp(*value - largest);
        sum += f64::from(*value);
    }
    for value in row.iter_mut() {
        *value /= sum as f32;
    }
}
