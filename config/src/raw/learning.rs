//! How a model is learned: the keys of `model` that steer the search.

use lakeloop_domain::{FinalFit, Monotone, Objective, QualityMetric, SearchParameter};
use schemars::JsonSchema;
use serde::Deserialize;

/// The loss that is minimised.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawObjective {
    /// The squared error: the mean of a number.
    SquaredError,
    /// The absolute error: the median of a number.
    AbsoluteError,
    /// Tweedie deviance: the mean of amounts of at least 0.
    Tweedie,
    /// Gamma deviance: the mean of amounts above 0.
    Gamma,
    /// The order of candidates, judged by NDCG.
    Ndcg,
}

impl From<RawObjective> for Objective {
    fn from(raw: RawObjective) -> Self {
        match raw {
            RawObjective::SquaredError => Self::SquaredError,
            RawObjective::AbsoluteError => Self::AbsoluteError,
            RawObjective::Tweedie => Self::Tweedie,
            RawObjective::Gamma => Self::Gamma,
            RawObjective::Ndcg => Self::Ndcg,
        }
    }
}

/// Which rows the registered model is fitted on.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFinalFit {
    /// Those that are not validated on.
    TrainRows,
    /// All of them.
    AllRows,
}

impl From<RawFinalFit> for FinalFit {
    fn from(raw: RawFinalFit) -> Self {
        match raw {
            RawFinalFit::TrainRows => Self::TrainRows,
            RawFinalFit::AllRows => Self::AllRows,
        }
    }
}

/// The metric that a search chooses by.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawQualityMetric {
    /// Area under the ROC curve.
    Auc,
    /// Mean negative log-likelihood.
    LogLoss,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// Mean negative log-likelihood over several classes.
    MultiLogLoss,
}

impl From<RawQualityMetric> for QualityMetric {
    fn from(raw: RawQualityMetric) -> Self {
        match raw {
            RawQualityMetric::Auc => Self::Auc,
            RawQualityMetric::LogLoss => Self::LogLoss,
            RawQualityMetric::Rmse => Self::Rmse,
            RawQualityMetric::Mae => Self::Mae,
            RawQualityMetric::MultiLogLoss => Self::MultiLogLoss,
        }
    }
}

/// The way in which a feature may move the score.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMonotone {
    /// Never down as the feature goes up.
    Increasing,
    /// Never up as the feature goes up.
    Decreasing,
}

impl From<RawMonotone> for Monotone {
    fn from(raw: RawMonotone) -> Self {
        match raw {
            RawMonotone::Increasing => Self::Increasing,
            RawMonotone::Decreasing => Self::Decreasing,
        }
    }
}

/// Ranges of the parameters that the search varies; names and meanings are XGBoost's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSearchSpace {
    /// Leaves of a tree, at most: from 2 to 1024.
    pub max_leaves: Option<RawSearchRange>,
    /// Splits from the root to a leaf, at most: from 1 to 16.
    pub max_depth: Option<RawSearchRange>,
    /// What each tree's predictions are multiplied by: from 0.001 to 1.
    pub eta: Option<RawSearchRange>,
    /// The hessian that a leaf needs at least.
    pub min_child_weight: Option<RawSearchRange>,
    /// The share of rows that each tree sees: from 0.05 to 1.
    pub subsample: Option<RawSearchRange>,
    /// The share of columns that each tree sees: from 0.05 to 1.
    pub colsample_bytree: Option<RawSearchRange>,
    /// The L2 penalty on leaf values.
    pub lambda: Option<RawSearchRange>,
    /// Categories up to this many are split one against the rest; more of them by sets: from 1 to 1024.
    pub max_cat_to_onehot: Option<RawSearchRange>,
}

impl RawSearchSpace {
    /// The ranges that are given, by parameter.
    pub fn ranges(&self) -> impl Iterator<Item = (SearchParameter, RawSearchRange)> {
        let given = |parameter| match parameter {
            SearchParameter::MaxLeaves => self.max_leaves,
            SearchParameter::MaxDepth => self.max_depth,
            SearchParameter::Eta => self.eta,
            SearchParameter::MinChildWeight => self.min_child_weight,
            SearchParameter::Subsample => self.subsample,
            SearchParameter::ColsampleBytree => self.colsample_bytree,
            SearchParameter::Lambda => self.lambda,
            SearchParameter::MaxCatToOnehot => self.max_cat_to_onehot,
        };
        SearchParameter::ALL
            .into_iter()
            .filter_map(move |parameter| Some((parameter, given(parameter)?)))
    }
}

/// A range that is searched; equal ends fix the parameter.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSearchRange {
    /// The smallest value.
    pub minimum: f64,
    /// The largest value.
    pub maximum: f64,
}
