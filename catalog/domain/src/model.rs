//! Models in the registry: what was learned, from what, how good it is, and in which stage.

use serde::{Deserialize, Serialize};

use crate::{BlueprintVersion, FeatureType, Micros, ModelVersion, PredictionInterval, StrategyName, TrainingSetId};

/// What a model predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LearningTarget {
    /// The probability that the label is yes.
    Binary,
    /// The expected label, learned and judged by the squared error.
    Regression,
    /// A quantile of the label: learned and judged by the pinball loss; 0.5 is the median, by the absolute error.
    Quantile {
        /// Which, in (0, 1).
        quantile: f64,
    },
    /// The expected label, of amounts of at least 0 whose spread grows with their size: learned and judged by the Tweedie
    /// deviance of a variance power, where 2 is the gamma deviance (of amounts above 0).
    Amount {
        /// The variance power, in (1, 2].
        power: f64,
    },
    /// A score that puts the candidates of one ranking in order and means nothing else: learned by LambdaMART, judged by
    /// NDCG.
    Order,
    /// The probability of each class; class `i` is `classes[i]`, an action.
    MultiClass {
        /// The classes, in the order of the model's outputs.
        classes: Vec<String>,
    },
}

impl LearningTarget {
    /// True when a model of this target answers what a blueprint asks for by `asked`: the same, or, where an expected
    /// number is asked for, any target that says where the label lies, and where candidates are ranked, an order of them.
    pub fn answers(&self, asked: &Self, ranks: bool) -> bool {
        match (asked, self) {
            (Self::Regression, Self::Amount { .. }) => true,
            (Self::Regression, Self::Quantile { quantile }) => *quantile == 0.5,
            (Self::Regression | Self::Binary, Self::Order) => ranks,
            _ => self == asked,
        }
    }

    /// Values that a model of this target puts out for one row.
    pub fn n_outputs(&self) -> usize {
        match self {
            Self::MultiClass { classes } => classes.len(),
            _ => 1,
        }
    }
}

/// How one column of a model's input is made from a feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedColumn {
    /// The feature's name; the reserved name `action` is the action that is being scored.
    pub name: String,
    /// The feature's type.
    pub feature_type: FeatureType,
    /// For categories: text `vocabulary[i]` is encoded as `i`; a text that is not there is encoded as missing.
    /// Empty for the other types.
    pub vocabulary: Vec<String>,
}

/// How features become a model's input row: f32 values in column order, NaN where missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Encoding {
    /// The columns, in the model's order.
    pub columns: Vec<EncodedColumn>,
}

/// A monotone map from a raw score to a calibrated one: a probability, or a quantile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Calibration {
    /// The score is used as it is.
    Identity,
    /// Platt scaling (Platt 1999): 1 / (1 + exp(−(slope · logit(p) + intercept))).
    Platt {
        /// Multiplies the log-odds of the raw probability.
        slope: f64,
        /// Is added to them.
        intercept: f64,
    },
    /// An isotonic curve (Zadrozny & Elkan 2002): straight lines between knots, level beyond the first and the last.
    Isotonic {
        /// Where the knots lie among raw probabilities: strictly ascending, at least one.
        raw: Vec<f64>,
        /// The calibrated probability of each knot: never descending.
        calibrated: Vec<f64>,
    },
    /// A quantile that is moved to where it holds at its rate.
    Shift {
        /// Is added to the score.
        by: f64,
    },
}

/// What is known of an action's expected label beyond its score s: normal with the mean
/// s + offset + slope · (s − center), where offset and slope are uncertain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// The mean of the offset.
    pub offset: f64,
    /// The mean of the slope.
    pub slope: f64,
    /// The variance of the offset.
    pub offset_variance: f64,
    /// The variance of the slope.
    pub slope_variance: f64,
    /// The covariance of the two.
    pub covariance: f64,
}

/// The belief about one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionBelief {
    /// The action.
    pub action: String,
    /// What is known of it.
    pub belief: Belief,
}

/// How sure a model that scores each action is of each action's expected label, as learned on the rows that its trees were
/// not fitted on. What it is fitted by stands in `lakeloop-stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uncertainty {
    /// The score at which the slope has no effect.
    pub center: f64,
    /// What is known of each action that was declared then.
    pub actions: Vec<ActionBelief>,
    /// What is known of any other action.
    pub unseen: Belief,
}

impl Belief {
    /// The mean and the standard deviation of the expected label of an action with this score.
    pub fn of_score(&self, center: f64, score: f64) -> (f64, f64) {
        let from_center = score - center;
        let mean = score + self.offset + self.slope * from_center;
        let variance = self.offset_variance + from_center * (2.0 * self.covariance + from_center * self.slope_variance);
        (mean, variance.max(0.0).sqrt())
    }
}

impl Uncertainty {
    /// What is known of an action.
    pub fn of(&self, action: &str) -> Belief {
        let known = self.actions.iter().find(|known| known.action == action);
        known.map_or(self.unseen, |known| known.belief)
    }
}

/// How good a model is on the rows that it was not fitted on, with what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetrics {
    /// The metric that the search chose by: `auc`, `log_loss`, `multi_log_loss`, `rmse`, `mae`,
    /// `pinball`, `tweedie_deviance`, `gamma_deviance` or `ndcg`.
    pub metric: String,
    /// Its value on the validation rows.
    pub value: f64,
    /// The same metric of a constant prediction, for comparison; `None` where a constant has none (AUC of one class).
    pub baseline: Option<f64>,
    /// Rows fitted on.
    pub n_train_rows: u64,
    /// Rows validated on: later in time than every row fitted on.
    pub n_validation_rows: u64,
    /// Size of the saved model in bytes, compressed as the registry keeps it.
    pub artifact_bytes: u64,
    /// Median time of scoring one row on the serving code, in microseconds.
    pub latency_p50_us: f64,
    /// 99th percentile of the same.
    pub latency_p99_us: f64,
    /// Largest absolute difference between the serving code and libxgboost over the validation rows.
    pub parity_max_abs: f64,
}

/// From what a model was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The blueprint that asked for it.
    pub blueprint_version: BlueprintVersion,
    /// The training set.
    pub training_set_id: TrainingSetId,
    /// Table versions that the training set was read from: (table, version).
    pub table_versions: Vec<(String, i64)>,
    /// The parameters of the winning trial, as JSON.
    pub parameters: String,
    /// Seed of the search.
    pub seed: u64,
}

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStage {
    /// Registered, not deciding.
    Candidate,
    /// Deciding; at most one for each strategy.
    Live,
    /// Was live, or was set aside.
    Retired,
}

impl ModelStage {
    /// The word that tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }

    /// The stage that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Candidate, Self::Live, Self::Retired]
            .into_iter()
            .find(|stage| stage.as_str() == word)
    }
}

/// A wish to move a model to another stage, with its reason; carried out as one checked commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageMove {
    /// The strategy.
    pub strategy: StrategyName,
    /// The model.
    pub version: ModelVersion,
    /// Where it should stand. Making a model live retires the one that was.
    pub to: ModelStage,
    /// Why, for whoever reads the registry later.
    pub reason: String,
}

/// One row of the `models` table.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    /// The strategy.
    pub strategy: StrategyName,
    /// Its version within the strategy.
    pub version: ModelVersion,
    /// Where it stands.
    pub stage: ModelStage,
    /// Why it stands there.
    pub stage_reason: String,
    /// Since when it stands there.
    pub stage_changed_at: Micros,
    /// When it was registered.
    pub registered_at: Micros,
    /// What it predicts.
    pub target: LearningTarget,
    /// True when the action that is scored is one of its columns.
    pub action_is_feature: bool,
    /// How its input is made.
    pub encoding: Encoding,
    /// How its raw score becomes a probability.
    pub calibration: Calibration,
    /// Where labels lie around its predictions; `None` for probabilities, and for models from before it was kept.
    pub prediction_interval: Option<PredictionInterval>,
    /// How sure it is of each action's expected label; `None` for models that do not score each action, and for those
    /// from before this was learned.
    pub uncertainty: Option<Uncertainty>,
    /// The ensemble as XGBoost saved it (UBJSON or JSON).
    pub artifact: Vec<u8>,
    /// How good it is.
    pub metrics: ModelMetrics,
    /// From what it was made.
    pub provenance: Provenance,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn calibrations_of_earlier_rows_read_back_and_the_new_one_has_a_form_of_its_own() {
        for (text, expected) in [
            (r#"{"kind":"identity"}"#, Calibration::Identity),
            (
                r#"{"kind":"platt","slope":0.5,"intercept":-0.25}"#,
                Calibration::Platt {
                    slope: 0.5,
                    intercept: -0.25,
                },
            ),
            (
                r#"{"kind":"isotonic","raw":[0.25,0.5],"calibrated":[0.125,1.0]}"#,
                Calibration::Isotonic {
                    raw: vec![0.25, 0.5],
                    calibrated: vec![0.125, 1.0],
                },
            ),
            (r#"{"kind":"shift","by":-1.5}"#, Calibration::Shift { by: -1.5 }),
        ] {
            assert_eq!(serde_json::from_str::<Calibration>(text).unwrap(), expected);
            assert_eq!(serde_json::to_string(&expected).unwrap(), text);
        }
    }
}
