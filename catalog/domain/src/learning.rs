//! How a model is learned, where a blueprint says more about it than what is decided and what came of it.
//!
//! Everything here is optional: what a blueprint leaves open is chosen from the labels, and the choice is explained in the
//! run and with the model.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is asked of the search for a model. Empty for most blueprints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LearningSpec {
    /// Predict this quantile of the outcome, in (0, 1), rather than its mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// The loss that is minimised; `None`: chosen from the labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// The metric that the search chooses by; `None`: the objective's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<QualityMetric>,
    /// Features whose effect on the score may only go one way, ordered by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monotone: Vec<(Arc<str>, Monotone)>,
    /// Ranges of parameters that take the place of the search's own, ordered by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search_space: Vec<(SearchParameter, SearchRange)>,
    /// Fit the winner once more on all rows, the latest included, before it is registered.
    #[serde(skip_serializing_if = "FinalFit::is_default")]
    pub final_fit: FinalFit,
    /// Folds, forward in time, that trials are judged by, the latest rows being the last of them; `None`: those rows alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_folds: Option<u32>,
    /// The longest that search, fit and checks may take together, in microseconds; `None`: as long as the trials take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_us: Option<i64>,
}

impl LearningSpec {
    /// Folds that trials are judged by: at least 1.
    pub fn n_folds(&self) -> usize {
        self.n_folds.map_or(1, |n_folds| n_folds.max(1) as usize)
    }

    /// True when the winner is fitted once more on all rows.
    pub fn fits_all_rows(&self) -> bool {
        self.final_fit == FinalFit::AllRows
    }

    /// True when nothing is asked for. Such a spec is not written, so that the versions of blueprints from before there was
    /// one stay.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which rows the registered model is fitted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalFit {
    /// Those that are not validated on: its metrics are those of the very model that serves.
    #[default]
    TrainRows,
    /// All of them, with the parameters and rounds that validated best: its metrics are those of the same fit without the
    /// validation rows, which are the latest.
    AllRows,
}

impl FinalFit {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A loss that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The squared error: predicts the mean.
    SquaredError,
    /// The absolute error: predicts the median.
    AbsoluteError,
    /// Tweedie deviance, for amounts of which many are 0: predicts the mean.
    Tweedie,
    /// Gamma deviance, for amounts that are all above 0: predicts the mean.
    Gamma,
    /// The order of the candidates of one ranking (LambdaMART on NDCG): the score only puts them in order.
    Ndcg,
}

impl Objective {
    /// The word that blueprints use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SquaredError => "squared_error",
            Self::AbsoluteError => "absolute_error",
            Self::Tweedie => "tweedie",
            Self::Gamma => "gamma",
            Self::Ndcg => "ndcg",
        }
    }
}

/// A metric that the search can choose by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityMetric {
    /// Area under the ROC curve; higher is better.
    Auc,
    /// Mean negative log-likelihood of yes/no labels.
    LogLoss,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// Mean negative log-likelihood over several classes.
    MultiLogLoss,
}

impl QualityMetric {
    /// The word that blueprints and tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auc => "auc",
            Self::LogLoss => "log_loss",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::MultiLogLoss => "multi_log_loss",
        }
    }
}

/// The way in which a feature may move the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monotone {
    /// Never down as the feature goes up.
    Increasing,
    /// Never up as the feature goes up.
    Decreasing,
}

/// A parameter that the search varies; names and meanings are XGBoost's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchParameter {
    /// Leaves of a tree, at most.
    MaxLeaves,
    /// Splits from the root to a leaf, at most.
    MaxDepth,
    /// Each tree's predictions are multiplied by this.
    Eta,
    /// The hessian that a leaf needs at least.
    MinChildWeight,
    /// The share of rows that each tree sees.
    Subsample,
    /// The share of columns that each tree sees.
    ColsampleBytree,
    /// L2 penalty on leaf values.
    Lambda,
    /// Categories up to this many are split one against the rest; more of them by sets.
    MaxCatToOnehot,
}

impl SearchParameter {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::MaxLeaves,
        Self::MaxDepth,
        Self::Eta,
        Self::MinChildWeight,
        Self::Subsample,
        Self::ColsampleBytree,
        Self::Lambda,
        Self::MaxCatToOnehot,
    ];

    /// The word that blueprints use for it, which is XGBoost's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxLeaves => "max_leaves",
            Self::MaxDepth => "max_depth",
            Self::Eta => "eta",
            Self::MinChildWeight => "min_child_weight",
            Self::Subsample => "subsample",
            Self::ColsampleBytree => "colsample_bytree",
            Self::Lambda => "lambda",
            Self::MaxCatToOnehot => "max_cat_to_onehot",
        }
    }

    /// The smallest and the largest value that a range may have.
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::MaxLeaves => (2.0, 1024.0),
            Self::MaxDepth => (1.0, 16.0),
            Self::Eta => (0.001, 1.0),
            Self::MinChildWeight => (0.0, 1e6),
            Self::Subsample | Self::ColsampleBytree => (0.05, 1.0),
            Self::Lambda => (0.0, 1e6),
            Self::MaxCatToOnehot => (1.0, 1024.0),
        }
    }
}

/// A range that is searched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchRange {
    /// The smallest value.
    pub minimum: f64,
    /// The largest value; at least the smallest.
    pub maximum: f64,
}
