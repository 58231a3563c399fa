//! Owns a model as it scores: encoding, ensemble and calibration, checked against each other when it is loaded.
//!
//! What a score is, by the model's target, always f64 and finite:
//!
//! - binary: the calibrated probability that the label is yes;
//! - regression, quantiles and amounts: the prediction;
//! - order: a score that only puts candidates in order;
//! - multi-class: the probability of each class, in the order of the classes.
//!
//! Scoring a batch for an evaluation and scoring one decision run the same lines. Which models exist, and which one
//! decides, is the registry's affair.

use lakeloop_domain::{Calibration, LearningTarget, ModelRecord, ModelVersion, NamedValue, StrategyName, Uncertainty};
use lakeloop_trees::{Choice as TechniqueChoice, Ensemble, Link, ModelError, ShapeError};

use crate::beliefs::BeliefScratch;
use crate::calibrate::{calibrated, is_isotonic};
use crate::encode::{ACTION_COLUMN, Encoder, EncodingError};
use crate::policy::PolicyScratch;
use crate::ranking::OrderScratch;

/// What a model is made of, for those that are not in the registry yet.
#[derive(Debug, Clone, Copy)]
pub struct ModelParts<'a> {
    /// The strategy that it scores for.
    pub strategy: &'a StrategyName,
    /// Its version; any number while it is not registered.
    pub version: ModelVersion,
    /// What it predicts.
    pub target: &'a LearningTarget,
    /// True when the action that is scored is one of its columns.
    pub action_is_feature: bool,
    /// How its input is made.
    pub encoding: &'a lakeloop_domain::Encoding,
    /// How its raw score becomes a probability.
    pub calibration: &'a Calibration,
    /// The ensemble as XGBoost saved it (UBJSON or JSON).
    pub artifact: &'a [u8],
}

/// A model that is ready to score. Immutable, and shared between threads.
#[derive(Debug)]
pub struct Model {
    strategy: StrategyName,
    version: ModelVersion,
    target: LearningTarget,
    action_is_feature: bool,
    encoder: Encoder,
    ensemble: Ensemble,
    calibration: Calibration,
    uncertainty: Option<Uncertainty>,
    n_learned: u64,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("model {version} of strategy `{strategy}` cannot be loaded")]
pub struct ModelLoadError {
    /// The strategy.
    pub strategy: StrategyName,
    /// The model.
    pub version: ModelVersion,
    /// What is wrong with it.
    #[source]
    pub problem: ModelProblem,
}

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelProblem {
    /// The artifact is no ensemble that can serve.
    #[error("its artifact cannot serve")]
    Artifact(#[source] ModelError),
    /// The encoding contradicts itself.
    #[error("its encoding is not valid")]
    Encoding(#[source] EncodingError),
    /// The ensemble reads rows of another width.
    #[error("its encoding has {found} columns, its ensemble reads {expected}")]
    Width {
        /// Columns that the ensemble reads.
        expected: usize,
        /// Columns of the encoding.
        found: usize,
    },
    /// The ensemble was trained on other columns, or in another order.
    #[error("column {column_idx} of its encoding is `{found}`, its ensemble was trained on `{expected}`")]
    ColumnName {
        /// The position of the column.
        column_idx: usize,
        /// The name in the ensemble.
        expected: String,
        /// The name in the encoding.
        found: String,
    },
    /// Whether the action is a column is said twice, differently.
    #[error("it declares action_is_feature = {declared}, and its encoding {has} the column `{ACTION_COLUMN}`", has = if *.declared { "lacks" } else { "has" })]
    ActionColumn {
        /// What the record says.
        declared: bool,
    },
    /// The ensemble's objective gives no prediction of the target's kind.
    #[error("its objective `{objective}` does not predict {expected}")]
    Objective {
        /// The objective, by XGBoost's name.
        objective: &'static str,
        /// What the target asks for.
        expected: &'static str,
    },
    /// The ensemble has another number of outputs than the target.
    #[error("its ensemble has {found} outputs, its target has {expected}")]
    Outputs {
        /// Outputs that the target asks for.
        expected: usize,
        /// Outputs of the ensemble.
        found: usize,
    },
    /// Only a single probability or quantile can be calibrated, by finite parameters.
    #[error(
        "its calibration {found:?} cannot be applied: Platt scaling takes a binary target and finite parameters, an isotonic \
         curve a binary target and knots that rise within [0, 1], a shift a quantile and a finite number"
    )]
    Calibration {
        /// The calibration.
        found: Calibration,
    },
    /// How sure it is can only be said by finite numbers and variances of at least 0, of a model that scores each action.
    #[error(
        "its uncertainty cannot be used: it takes a model that scores each action, finite numbers and variances of at least 0"
    )]
    Uncertainty,
}

/// Why a model gave no scores.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The rows do not fit the model.
    #[error("the rows do not fit the model")]
    Shape(#[from] ShapeError),
    /// The ensemble's values add up to no finite number.
    #[error("score {score_idx} is {found}: only finite scores can be decided by")]
    NotFinite {
        /// The position of the score.
        score_idx: usize,
        /// NaN or an infinity.
        found: f64,
    },
}

/// Buffers that are reused from call to call. Each call grows them to what it needs, so that from the second call on
/// the same model nothing is allocated.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) rows: Vec<f32>,
    predictions: Vec<f32>,
    pub(crate) scores: Vec<f64>,
    pub(crate) order: OrderScratch,
    pub(crate) policy: PolicyScratch,
    pub(crate) beliefs: BeliefScratch,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Model {
    /// Loads a model of the registry.
    pub fn from_record(record: &ModelRecord) -> Result<Self, ModelLoadError> {
        Self::from_record_by(record, TechniqueChoice::Estimated)
    }

    /// Loads a model of the registry, with another choice of how its trees are evaluated. Scores are the same to the last
    /// bit, whatever is chosen.
    pub fn from_record_by(record: &ModelRecord, choice: TechniqueChoice<'_>) -> Result<Self, ModelLoadError> {
        let parts = ModelParts {
            strategy: &record.strategy,
            version: record.version,
            target: &record.target,
            action_is_feature: record.action_is_feature,
            encoding: &record.encoding,
            calibration: &record.calibration,
            artifact: &record.artifact,
        };
        let model = Self::from_parts_by(parts, choice)?;
        let n_learned = record
            .metrics
            .n_train_rows
            .saturating_add(record.metrics.n_validation_rows);
        model.with_knowledge(record.uncertainty.clone(), n_learned)
    }

    /// The model with what it knows besides its scores: how sure it is of each action, and how many labelled rows it was
    /// learned from.
    pub fn with_knowledge(mut self, uncertainty: Option<Uncertainty>, n_learned: u64) -> Result<Self, ModelLoadError> {
        if uncertainty
            .as_ref()
            .is_some_and(|found| !self.action_is_feature || !is_sound(found))
        {
            return Err(ModelLoadError {
                strategy: self.strategy,
                version: self.version,
                problem: ModelProblem::Uncertainty,
            });
        }
        self.uncertainty = uncertainty;
        self.n_learned = n_learned;
        Ok(self)
    }

    /// Loads a model, and checks that its parts fit each other.
    pub fn from_parts(parts: ModelParts<'_>) -> Result<Self, ModelLoadError> {
        Self::from_parts_by(parts, TechniqueChoice::Estimated)
    }

    /// Loads a model as [`from_parts`](Self::from_parts) does, with another choice of how its trees are evaluated.
    pub fn from_parts_by(parts: ModelParts<'_>, choice: TechniqueChoice<'_>) -> Result<Self, ModelLoadError> {
        Self::checked(parts, choice).map_err(|problem| ModelLoadError {
            strategy: parts.strategy.clone(),
            version: parts.version,
            problem,
        })
    }

    fn checked(parts: ModelParts<'_>, choice: TechniqueChoice<'_>) -> Result<Self, ModelProblem> {
        let encoder = Encoder::new(parts.encoding).map_err(ModelProblem::Encoding)?;
        let ensemble = Ensemble::from_bytes_by(parts.artifact, choice).map_err(ModelProblem::Artifact)?;
        check_columns(&encoder, &ensemble)?;
        if encoder.action_idx().is_some() != parts.action_is_feature {
            return Err(ModelProblem::ActionColumn {
                declared: parts.action_is_feature,
            });
        }
        check_outputs(parts.target, &ensemble)?;
        check_calibration(parts.target, parts.calibration)?;
        Ok(Self {
            strategy: parts.strategy.clone(),
            version: parts.version,
            target: parts.target.clone(),
            action_is_feature: parts.action_is_feature,
            encoder,
            ensemble,
            calibration: parts.calibration.clone(),
            uncertainty: None,
            n_learned: 0,
        })
    }

    /// The strategy that it scores for.
    pub fn strategy(&self) -> &StrategyName {
        &self.strategy
    }

    /// Its version within the strategy.
    pub fn version(&self) -> ModelVersion {
        self.version
    }

    /// What it predicts.
    pub fn target(&self) -> &LearningTarget {
        &self.target
    }

    /// True when the action that is scored is one of its columns.
    pub fn action_is_feature(&self) -> bool {
        self.action_is_feature
    }

    /// How its input is made.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(crate) fn encoder_mut(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// The trees.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// How its raw probability is calibrated.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// How sure it is of each action's expected label, where it says so.
    pub fn uncertainty(&self) -> Option<&Uncertainty> {
        self.uncertainty.as_ref()
    }

    /// The labelled rows that it was fitted and validated on; 0 while it is not registered.
    pub fn n_learned(&self) -> u64 {
        self.n_learned
    }

    /// Scores one set of features: `[n_outputs]`. `action` is the action to score, where the action is a feature.
    pub fn score_features<'s>(
        &self,
        features: &[NamedValue],
        action: Option<&str>,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [f64], ScoreError> {
        scratch.rows.resize(self.encoder.n_columns(), f32::NAN);
        self.encoder.fill(features, &mut scratch.rows);
        if let (Some(column_idx), Some(action)) = (self.encoder.action_idx(), action) {
            scratch.rows[column_idx] = self.encoder.action_code(action);
        }
        self.score_scratch(scratch)
    }

    /// Scores encoded rows: `[n_rows, n_columns]`, row-major, NaN where missing → `[n_rows, n_outputs]`.
    ///
    /// Fails when the rows are not whole, or when any score is not finite.
    pub fn score_rows<'s>(&self, rows: &[f32], scratch: &'s mut Scratch) -> Result<&'s [f64], ScoreError> {
        let n_rows = rows.len() / self.ensemble.n_features().max(1);
        let Scratch {
            predictions, scores, ..
        } = scratch;
        predictions.resize(n_rows * self.ensemble.n_outputs(), 0.0);
        self.ensemble.predict_into(rows, predictions)?;
        scores.clear();
        scores.extend(
            predictions
                .iter()
                .map(|raw| calibrated(&self.calibration, f64::from(*raw))),
        );
        match scores.iter().position(|score| !score.is_finite()) {
            None => Ok(scores),
            Some(score_idx) => Err(ScoreError::NotFinite {
                score_idx,
                found: scores[score_idx],
            }),
        }
    }

    /// Scores the rows that stand in the scratch.
    pub(crate) fn score_scratch<'s>(&self, scratch: &'s mut Scratch) -> Result<&'s [f64], ScoreError> {
        let rows = std::mem::take(&mut scratch.rows);
        let n_scores = self.score_rows(&rows, scratch).map(<[f64]>::len);
        scratch.rows = rows;
        n_scores.map(|n_scores| &scratch.scores[..n_scores])
    }
}

fn is_sound(uncertainty: &Uncertainty) -> bool {
    let beliefs = uncertainty.actions.iter().map(|known| &known.belief);
    uncertainty.center.is_finite()
        && beliefs.chain([&uncertainty.unseen]).all(|belief| {
            let means = [belief.offset, belief.slope, belief.covariance];
            let variances = [belief.offset_variance, belief.slope_variance];
            means.iter().chain(&variances).all(|number| number.is_finite()) && variances.iter().all(|v| *v >= 0.0)
        })
}

fn check_columns(encoder: &Encoder, ensemble: &Ensemble) -> Result<(), ModelProblem> {
    if encoder.n_columns() != ensemble.n_features() {
        return Err(ModelProblem::Width {
            expected: ensemble.n_features(),
            found: encoder.n_columns(),
        });
    }
    // Models may be saved without names; then only the width can be checked.
    let trained_on = ensemble.feature_names().iter().zip(encoder.columns());
    for (column_idx, (expected, (found, _))) in trained_on.enumerate() {
        if expected != found {
            return Err(ModelProblem::ColumnName {
                column_idx,
                expected: expected.clone(),
                found: found.into(),
            });
        }
    }
    Ok(())
}

fn check_outputs(target: &LearningTarget, ensemble: &Ensemble) -> Result<(), ModelProblem> {
    let link = ensemble.objective().link();
    let (fits, expected) = match target {
        LearningTarget::Binary => (link == Link::Logistic, "a probability"),
        LearningTarget::Regression => (link != Link::Softmax, "a number"),
        LearningTarget::Quantile { .. } => (link != Link::Softmax, "a quantile"),
        LearningTarget::Amount { .. } => (link == Link::Exponential, "an amount of at least 0"),
        LearningTarget::Order => (link == Link::Identity, "a score that puts candidates in order"),
        LearningTarget::MultiClass { .. } => (link == Link::Softmax, "class probabilities"),
    };
    if !fits {
        return Err(ModelProblem::Objective {
            objective: ensemble.objective().name(),
            expected,
        });
    }
    if ensemble.n_outputs() != target.n_outputs() {
        return Err(ModelProblem::Outputs {
            expected: target.n_outputs(),
            found: ensemble.n_outputs(),
        });
    }
    Ok(())
}

fn check_calibration(target: &LearningTarget, calibration: &Calibration) -> Result<(), ModelProblem> {
    let fits = match calibration {
        Calibration::Identity => true,
        Calibration::Platt { slope, intercept } => {
            *target == LearningTarget::Binary && slope.is_finite() && intercept.is_finite()
        }
        Calibration::Isotonic { raw, calibrated } => *target == LearningTarget::Binary && is_isotonic(raw, calibrated),
        Calibration::Shift { by } => matches!(target, LearningTarget::Quantile { .. }) && by.is_finite(),
    };
    if fits {
        Ok(())
    } else {
        Err(ModelProblem::Calibration {
            found: calibration.clone(),
        })
    }
}
