//! The parameters of a fit, and the space that a search looks for them in.
//!
//! Every parameter that is varied has a range and a scale, so that a point of the unit cube stands for a set of
//! parameters: near points are similar fits. Trees grow leaf by leaf, the best split of the whole tree first, up to a
//! number of leaves and a depth; at equal quality such trees are smaller than those that are grown level by level.

use std::sync::Arc;

use lakeloop_domain::{LearningTarget, SearchParameter, SearchRange};
use serde::{Deserialize, Serialize};

/// The parameters that a point of the unit cube stands for.
pub(crate) const N_VARIED: usize = SearchParameter::ALL.len();

/// What one fit is made with; names and meanings are XGBoost's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// Splits from the root to a leaf, at most.
    pub max_depth: u32,
    /// Leaves of a tree, at most; 0 for as many as the depth allows.
    pub max_leaves: u32,
    /// Each tree's predictions are multiplied by this.
    pub eta: f64,
    /// The hessian that a leaf needs at least.
    pub min_child_weight: f64,
    /// The share of rows that each tree sees.
    pub subsample: f64,
    /// The share of columns that each tree sees.
    pub colsample_bytree: f64,
    /// L2 penalty on leaf values.
    pub lambda: f64,
    /// Categories up to this many are split one against the rest; more of them by sets.
    pub max_cat_to_onehot: u32,
    /// Features that the model does without: their gain does not pay for what they cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Arc<str>>,
}

impl Parameters {
    /// What does well on most tables, hence always the first trial.
    pub fn defaults(target: &LearningTarget) -> Self {
        Self {
            max_depth: 6,
            max_leaves: 16,
            eta: 0.1,
            min_child_weight: if hessian_counts_rows(target) { 8.0 } else { 2.0 },
            subsample: 0.9,
            colsample_bytree: 0.7,
            lambda: 1.0,
            max_cat_to_onehot: 64,
            without: Vec::new(),
        }
    }

    /// The parameters as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and texts always has a JSON form")
    }

    /// Reads what [`to_json`](Self::to_json) wrote, in this version or an earlier one.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The settings as libxgboost takes them.
    pub(crate) fn settings(&self) -> [(&'static str, String); 9] {
        let policy = if self.max_leaves == 0 { "depthwise" } else { "lossguide" };
        [
            ("grow_policy", policy.to_owned()),
            ("max_depth", self.max_depth.to_string()),
            ("max_leaves", self.max_leaves.to_string()),
            ("eta", self.eta.to_string()),
            ("min_child_weight", self.min_child_weight.to_string()),
            ("subsample", self.subsample.to_string()),
            ("colsample_bytree", self.colsample_bytree.to_string()),
            ("lambda", self.lambda.to_string()),
            ("max_cat_to_onehot", self.max_cat_to_onehot.to_string()),
        ]
    }

    fn value(&self, parameter: SearchParameter) -> f64 {
        match parameter {
            SearchParameter::MaxLeaves => f64::from(self.max_leaves),
            SearchParameter::MaxDepth => f64::from(self.max_depth),
            SearchParameter::Eta => self.eta,
            SearchParameter::MinChildWeight => self.min_child_weight,
            SearchParameter::Subsample => self.subsample,
            SearchParameter::ColsampleBytree => self.colsample_bytree,
            SearchParameter::Lambda => self.lambda,
            SearchParameter::MaxCatToOnehot => f64::from(self.max_cat_to_onehot),
        }
    }
}

/// A leaf's hessian is its row count for losses of numbers; for probabilities it is at most a quarter of it.
fn hessian_counts_rows(target: &LearningTarget) -> bool {
    !matches!(
        target,
        LearningTarget::Binary | LearningTarget::MultiClass { .. } | LearningTarget::Order
    )
}

/// How values of a parameter are spread over its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    /// Evenly in the logarithm of the value.
    Log,
    /// The same, and rounded to whole numbers.
    LogWhole,
}

fn scale(parameter: SearchParameter) -> Scale {
    match parameter {
        SearchParameter::MaxLeaves | SearchParameter::MaxDepth | SearchParameter::MaxCatToOnehot => Scale::LogWhole,
        SearchParameter::Eta | SearchParameter::MinChildWeight | SearchParameter::Lambda => Scale::Log,
        SearchParameter::Subsample | SearchParameter::ColsampleBytree => Scale::Linear,
    }
}

/// The ranges that a search looks in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Space {
    ranges: [SearchRange; N_VARIED],
    defaults: Parameters,
}

impl Space {
    /// The space for a target and a number of rows to fit on, with the blueprint's own ranges.
    pub fn new(target: &LearningTarget, n_rows: usize, own: &[(SearchParameter, SearchRange)]) -> Self {
        // A tree of more leaves than this has fewer than twenty rows a leaf.
        let most_leaves = (n_rows / 20).clamp(8, 128) as f64;
        let heaviest = if hessian_counts_rows(target) { 128.0 } else { 32.0 };
        let range = |parameter| {
            if let Some((_, own)) = own.iter().find(|(name, _)| *name == parameter) {
                return *own;
            }
            let (minimum, maximum) = match parameter {
                SearchParameter::MaxLeaves => (3.0, most_leaves),
                SearchParameter::MaxDepth => (1.0, 10.0),
                SearchParameter::Eta => (0.025, 0.3),
                SearchParameter::MinChildWeight => (0.5, heaviest),
                SearchParameter::Subsample => (0.5, 1.0),
                SearchParameter::ColsampleBytree => (0.3, 1.0),
                SearchParameter::Lambda => (0.1, 30.0),
                SearchParameter::MaxCatToOnehot => (4.0, 256.0),
            };
            SearchRange { minimum, maximum }
        };
        Self {
            ranges: SearchParameter::ALL.map(range),
            defaults: Parameters::defaults(target),
        }
    }

    /// The defaults, moved into the ranges.
    pub fn defaults(&self) -> Parameters {
        self.at(&self.point(&self.defaults))
    }

    /// The parameters that a point of the unit cube stands for.
    pub fn at(&self, point: &[f64; N_VARIED]) -> Parameters {
        let mut parameters = self.defaults.clone();
        for (idx, parameter) in SearchParameter::ALL.into_iter().enumerate() {
            let SearchRange { minimum, maximum } = self.ranges[idx];
            let share = point[idx].clamp(0.0, 1.0);
            let found = match scale(parameter) {
                Scale::Linear => minimum + share * (maximum - minimum),
                // A range that begins at 0 has no logarithm there; a thousandth is as good as none.
                Scale::Log | Scale::LogWhole => {
                    let (low, high) = (minimum.max(1e-3), maximum.max(1e-3));
                    low * (high / low).powf(share)
                }
            };
            let whole = || found.round().clamp(minimum.ceil(), maximum.floor().max(minimum.ceil())) as u32;
            let number = to_four_digits(found).clamp(minimum, maximum);
            match parameter {
                SearchParameter::MaxLeaves => parameters.max_leaves = whole(),
                SearchParameter::MaxDepth => parameters.max_depth = whole(),
                SearchParameter::Eta => parameters.eta = number,
                SearchParameter::MinChildWeight => parameters.min_child_weight = number,
                SearchParameter::Subsample => parameters.subsample = number,
                SearchParameter::ColsampleBytree => parameters.colsample_bytree = number,
                SearchParameter::Lambda => parameters.lambda = number,
                SearchParameter::MaxCatToOnehot => parameters.max_cat_to_onehot = whole(),
            }
        }
        parameters
    }

    /// The point of the unit cube nearest to parameters.
    pub fn point(&self, parameters: &Parameters) -> [f64; N_VARIED] {
        std::array::from_fn(|idx| {
            let parameter = SearchParameter::ALL[idx];
            let SearchRange { minimum, maximum } = self.ranges[idx];
            // 0 leaves stand for as many as the depth allows.
            let value = match (parameter, parameters.max_leaves) {
                (SearchParameter::MaxLeaves, 0) => 2f64.powi(parameters.max_depth.min(20) as i32),
                _ => parameters.value(parameter),
            };
            let (low, high, value) = match scale(parameter) {
                Scale::Linear => (minimum, maximum, value),
                Scale::Log | Scale::LogWhole => (minimum.max(1e-3).ln(), maximum.max(1e-3).ln(), value.max(1e-3).ln()),
            };
            if high > low {
                ((value - low) / (high - low)).clamp(0.0, 1.0)
            } else {
                0.5
            }
        })
    }
}

/// Short numbers read better in the trials table, and no fit depends on the fifth digit.
fn to_four_digits(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn points_and_parameters_stand_for_each_other() {
        let space = Space::new(&LearningTarget::Binary, 10_000, &[]);
        let defaults = space.defaults();
        assert_eq!(defaults, Parameters::defaults(&LearningTarget::Binary));
        for share in [0.0, 0.13, 0.5, 0.77, 1.0] {
            let parameters = space.at(&[share; N_VARIED]);
            let again = space.at(&space.point(&parameters));
            assert!(
                (again.eta - parameters.eta).abs() < 1e-4,
                "{parameters:?} came back as {again:?}"
            );
            assert_eq!(again.max_leaves, parameters.max_leaves);
            assert_eq!(again.max_depth, parameters.max_depth);
        }
        let (low, high) = (space.at(&[0.0; N_VARIED]), space.at(&[1.0; N_VARIED]));
        assert_eq!((low.max_depth, high.max_depth), (1, 10));
        assert_eq!((low.max_leaves, high.max_leaves), (3, 128));
        assert_eq!((low.eta, high.eta), (0.025, 0.3));
    }

    #[test]
    fn a_blueprints_ranges_take_the_place_of_the_searchs_own() {
        let range = |minimum, maximum| SearchRange { minimum, maximum };
        let own = [
            (SearchParameter::MaxDepth, range(2.0, 3.0)),
            (SearchParameter::Eta, range(0.05, 0.05)),
            (SearchParameter::Lambda, range(0.0, 0.0)),
        ];
        let space = Space::new(&LearningTarget::Regression, 100, &own);
        for share in [0.0, 0.4, 1.0] {
            let parameters = space.at(&[share; N_VARIED]);
            assert!((2..=3).contains(&parameters.max_depth), "{parameters:?}");
            assert_eq!((parameters.eta, parameters.lambda), (0.05, 0.0));
            assert!(
                parameters.max_leaves <= 8,
                "100 rows fill no more than 8 leaves: {parameters:?}"
            );
        }
        assert_eq!(space.defaults().max_depth, 3, "the defaults are moved into the range");
    }

    #[test]
    fn parameters_of_earlier_versions_are_read() {
        let earlier = r#"{"max_depth":5,"max_leaves":0,"eta":0.1,"min_child_weight":2.0,"subsample":0.9,
            "colsample_bytree":0.9,"lambda":1.0,"max_cat_to_onehot":16}"#;
        let parameters = Parameters::from_json(earlier).unwrap();
        assert_eq!(parameters.max_depth, 5);
        assert_eq!(Parameters::from_json(&parameters.to_json()), Some(parameters.clone()));
        let space = Space::new(&LearningTarget::Binary, 10_000, &[]);
        assert_eq!(space.at(&space.point(&parameters)).max_leaves, 32);
        assert_eq!(Parameters::from_json("{}"), None);
    }
}
