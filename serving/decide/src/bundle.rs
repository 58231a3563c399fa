//! Owns everything that one strategy decides by at one moment: its blueprint, its model if one is live, and the salt
//! of its draws.
//!
//! A bundle is checked when it is made and never changes; a server swaps the whole. Whoever holds one can decide
//! without asking anything else, so a decision never sees half of an update.

use std::sync::Arc;

use lakeloop_domain::{
    AppliedBlueprint, Belief, Blueprint, DecisionKind, FeatureType, LearningTarget, ModelVersion, Policy, StrategyName,
};

use crate::encode::ACTION_COLUMN;
use crate::model::Model;

/// A blueprint in force with its live model, ready to decide.
#[derive(Debug)]
pub struct Bundle {
    applied: AppliedBlueprint,
    model: Option<Model>,
    /// Where the value of each of the model's columns stands in served order; empty without a model.
    positions: Vec<Option<usize>>,
    /// Where it stands among the values of a candidate.
    candidate_positions: Vec<Option<usize>>,
    salt: String,
    options: Options,
    policy: Policy,
}

/// What can be chosen, with the default.
#[derive(Debug)]
pub(crate) enum Options {
    /// One of some actions.
    Actions(Actions),
    /// A number.
    Number { default: f64 },
    /// An order of the candidates that come with a request; at most so many positions of it.
    Candidates { at_most: usize },
}

/// The actions that can be chosen.
#[derive(Debug)]
pub(crate) struct Actions {
    /// Their names, in declared order.
    pub names: Vec<String>,
    /// For each its code in the model's column `action`, where there is one.
    pub codes: Vec<f32>,
    /// Which is the default.
    pub default_idx: usize,
    /// What is known of the expected label of each, where the model says so, and the score at which slopes have no effect.
    pub beliefs: Option<(f64, Vec<Belief>)>,
}

/// Why a blueprint and a model cannot decide together. The strategy stays as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// The default is no action of the decision, or no finite number.
    #[error("strategy `{strategy}`: the default `{found}` cannot be chosen; expected {expected}")]
    Default {
        /// The strategy.
        strategy: StrategyName,
        /// The default.
        found: String,
        /// What would do.
        expected: String,
    },
    /// The policy cannot choose for this decision.
    #[error("strategy `{strategy}`: the policy {policy:?} does not fit; expected {expected}")]
    Policy {
        /// The strategy.
        strategy: StrategyName,
        /// The policy.
        policy: Policy,
        /// What would do.
        expected: &'static str,
    },
    /// A feature has the name that is kept for the action.
    #[error(
        "strategy `{strategy}`: a feature is named `{ACTION_COLUMN}`, which is reserved for the action being scored"
    )]
    ReservedName {
        /// The strategy.
        strategy: StrategyName,
    },
    /// The model belongs to another strategy.
    #[error("strategy `{strategy}`: model {version} belongs to strategy `{found}`")]
    OtherStrategy {
        /// The strategy.
        strategy: StrategyName,
        /// The model.
        version: ModelVersion,
        /// Whose model it is.
        found: StrategyName,
    },
    /// The model predicts something else than the blueprint's outcome.
    #[error("strategy `{strategy}`: model {version} predicts {found:?}, the blueprint asks for {expected:?}")]
    Target {
        /// The strategy.
        strategy: StrategyName,
        /// The model.
        version: ModelVersion,
        /// What the blueprint asks for.
        expected: LearningTarget,
        /// What the model predicts.
        found: LearningTarget,
    },
    /// The model scores each action and the blueprint does not ask for it, or the other way round.
    #[error("strategy `{strategy}`: model {version} {has} the action as a feature, the blueprint's policy and outcome ask for a model that {asks}", has = if *.expected { "lacks" } else { "has" }, asks = if *.expected { "has it" } else { "does not" })]
    ActionFeature {
        /// The strategy.
        strategy: StrategyName,
        /// The model.
        version: ModelVersion,
        /// What the blueprint asks for.
        expected: bool,
    },
    /// The model reads a feature that the blueprint does not have.
    #[error(
        "strategy `{strategy}`: model {version} reads the feature `{column}`, which the blueprint does not declare as one; declare it or train a new model"
    )]
    MissingFeature {
        /// The strategy.
        strategy: StrategyName,
        /// The model.
        version: ModelVersion,
        /// The feature.
        column: String,
    },
    /// The model reads a feature as another type.
    #[error("strategy `{strategy}`: model {version} reads the feature `{column}` as a {found_word}, the blueprint declares a {expected_word}; train a new model", found_word = .found.as_str(), expected_word = .expected.as_str())]
    FeatureType {
        /// The strategy.
        strategy: StrategyName,
        /// The model.
        version: ModelVersion,
        /// The feature.
        column: String,
        /// The blueprint's type.
        expected: FeatureType,
        /// The model's type.
        found: FeatureType,
    },
}

impl Bundle {
    /// Checks that policy, decision and model fit each other, and makes them ready.
    ///
    /// A model may read fewer features than the blueprint has: features can be declared before a model knows them. It
    /// may also not know all actions: an action that its vocabulary lacks is scored as a missing one.
    pub fn new(applied: AppliedBlueprint, model: Option<Model>) -> Result<Self, BundleError> {
        let blueprint = &applied.blueprint;
        let mut options = Options::of(blueprint)?;
        check_policy(blueprint)?;
        if blueprint.model_features().any(|(name, _)| &**name == ACTION_COLUMN) {
            return Err(BundleError::ReservedName {
                strategy: blueprint.name.clone(),
            });
        }
        let mut positions = Vec::new();
        let mut candidate_positions = Vec::new();
        let model = match model {
            None => None,
            Some(mut model) => {
                check_model(blueprint, &model)?;
                let order = || served(blueprint).map(|(name, _)| name);
                let candidate_order = || blueprint.candidates.iter().map(|field| &field.name);
                model.encoder_mut().expect_order(order());
                model.encoder_mut().expect_candidates(candidate_order());
                options.learn_actions(&model);
                let columns = || model.encoder().columns().map(|(column, _)| column);
                positions = columns()
                    .map(|column| order().position(|name| **name == *column))
                    .collect();
                candidate_positions = columns()
                    .map(|column| candidate_order().position(|name| **name == *column))
                    .collect();
                Some(model)
            }
        };
        let salt = format!("{}:{}", blueprint.name, applied.version);
        let n_learned = model.as_ref().map_or(0, Model::n_learned);
        let policy = blueprint.policy.in_force(n_learned);
        Ok(Self {
            applied,
            model,
            positions,
            candidate_positions,
            salt,
            options,
            policy,
        })
    }

    /// The blueprint in force, with its version.
    pub fn applied(&self) -> &AppliedBlueprint {
        &self.applied
    }

    /// The blueprint in force.
    pub fn blueprint(&self) -> &Blueprint {
        &self.applied.blueprint
    }

    /// The live model, if there is one.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The version of the live model, if there is one.
    pub fn model_version(&self) -> Option<ModelVersion> {
        self.model.as_ref().map(Model::version)
    }

    /// The policy that decides with this model: the blueprint's, with a share that falls as of what the model has learned
    /// from.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The salt of every draw: `<strategy>:<blueprint version>`.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// The actions that can be chosen, in declared order; empty for numbers and rankings.
    pub fn actions(&self) -> &[String] {
        match &self.options {
            Options::Actions(actions) => &actions.names,
            Options::Number { .. } | Options::Candidates { .. } => &[],
        }
    }

    /// The features in the order in which [`decide_served`](crate::decide_served) takes their values: the context with
    /// its fields that are no features, then the columns of each view. Those of candidates are not among them: they stand in
    /// the order of the blueprint's candidates.
    pub fn served(&self) -> impl Iterator<Item = (&Arc<str>, FeatureType)> {
        served(self.blueprint())
    }

    pub(crate) fn positions(&self) -> &[Option<usize>] {
        &self.positions
    }

    pub(crate) fn candidate_positions(&self) -> &[Option<usize>] {
        &self.candidate_positions
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }
}

impl Options {
    fn of(blueprint: &Blueprint) -> Result<Self, BundleError> {
        let refused = |found: String, expected: String| BundleError::Default {
            strategy: blueprint.name.clone(),
            found,
            expected,
        };
        if let DecisionKind::Number { default } = blueprint.decision {
            return if default.is_finite() {
                Ok(Self::Number { default })
            } else {
                Err(refused(default.to_string(), "a finite number".into()))
            };
        }
        if let DecisionKind::Rank { at_most } = blueprint.decision {
            let at_most = at_most.map_or(usize::MAX, |at_most| at_most as usize);
            return Ok(Self::Candidates { at_most });
        }
        let names = blueprint.actions();
        let default = blueprint.default_action().unwrap_or_default();
        match names.iter().position(|name| name == default) {
            Some(default_idx) => Ok(Self::Actions(Actions {
                names,
                codes: Vec::new(),
                default_idx,
                beliefs: None,
            })),
            None => Err(refused(default.into(), format!("one of {}", names.join(", ")))),
        }
    }

    /// Looks up once what a model that scores each action has for the actions: their codes, and how sure it is of each.
    fn learn_actions(&mut self, model: &Model) {
        if let Self::Actions(actions) = self {
            let names = actions.names.iter();
            actions.codes = names.map(|name| model.encoder().action_code(name)).collect();
            actions.beliefs = model.uncertainty().map(|uncertainty| {
                let beliefs = actions.names.iter().map(|name| uncertainty.of(name));
                (uncertainty.center, beliefs.collect())
            });
        }
    }
}

/// See [`Bundle::served`].
fn served(blueprint: &Blueprint) -> impl Iterator<Item = (&Arc<str>, FeatureType)> {
    let context = blueprint.context.iter().map(|field| (&field.name, field.feature_type));
    let views = blueprint.features.iter().flat_map(|view| &view.columns);
    context.chain(views.map(|column| (&column.name, column.feature_type)))
}

fn check_policy(blueprint: &Blueprint) -> Result<(), BundleError> {
    let is_number = matches!(blueprint.decision, DecisionKind::Number { .. });
    let is_yes_no = matches!(blueprint.decision, DecisionKind::YesNo { .. });
    let target = blueprint.learning_target();
    let is_class = matches!(target, LearningTarget::MultiClass { .. });
    let share = |epsilon: f64| (0.0..=1.0).contains(&epsilon);
    let explores = !(is_number || is_class && blueprint.ranks());
    let has_labels = !(is_number || is_class || blueprint.ranks());
    let (fits, expected) = match blueprint.policy {
        Policy::Threshold { at } => (
            is_yes_no && target == LearningTarget::Binary && share(at),
            "a yes/no decision with a yes/no outcome and a threshold between 0 and 1",
        ),
        Policy::Greedy => (
            !is_class || !(is_number || blueprint.ranks()),
            "an outcome that is a number or yes/no for decisions that are numbers or rankings",
        ),
        Policy::EpsilonGreedy { epsilon } => (
            explores && share(epsilon),
            "actions or candidates to explore, an epsilon between 0 and 1, and for rankings an outcome that is a number or \
             yes/no",
        ),
        Policy::EpsilonDecreasing {
            epsilon,
            halved_after,
            minimum,
        } => (
            explores && share(epsilon) && (0.0..=epsilon).contains(&minimum) && halved_after > 0,
            "actions or candidates to explore, a minimum and an epsilon between 0 and 1, the minimum not above the epsilon, \
             at least one row after which it has halved, and for rankings an outcome that is a number or yes/no",
        ),
        Policy::TopK { k } => (
            !(is_number || blueprint.ranks()) && k > 0 && k as usize <= blueprint.actions().len(),
            "actions, and a k between 1 and their number",
        ),
        Policy::Softmax { temperature } => (
            !(is_number || blueprint.ranks()) && temperature > 0.0 && temperature.is_finite(),
            "actions, and a positive temperature",
        ),
        Policy::Thompson { epsilon } => (
            has_labels && share(epsilon),
            "actions, an outcome that is a number or yes/no, and an epsilon between 0 and 1",
        ),
        Policy::Ucb { width, epsilon } => (
            has_labels && share(epsilon) && width >= 0.0 && width.is_finite(),
            "actions, an outcome that is a number or yes/no, a width of at least 0, and an epsilon between 0 and 1",
        ),
        Policy::Slots { exploration_slots } => {
            let DecisionKind::Rank { at_most } = blueprint.decision else {
                return refused_policy(blueprint, "a ranking, whose positions they are");
            };
            (
                !is_class && at_most.is_none_or(|at_most| exploration_slots.last() <= at_most),
                "slots that are positions which are returned, and an outcome that is a number or yes/no",
            )
        }
    };
    if fits {
        Ok(())
    } else {
        refused_policy(blueprint, expected)
    }
}

fn refused_policy(blueprint: &Blueprint, expected: &'static str) -> Result<(), BundleError> {
    Err(BundleError::Policy {
        strategy: blueprint.name.clone(),
        policy: blueprint.policy,
        expected,
    })
}

fn check_model(blueprint: &Blueprint, model: &Model) -> Result<(), BundleError> {
    let (strategy, version) = (|| blueprint.name.clone(), model.version());
    if *model.strategy() != blueprint.name {
        return Err(BundleError::OtherStrategy {
            strategy: strategy(),
            version,
            found: model.strategy().clone(),
        });
    }
    let expected = blueprint.learning_target();
    if !model.target().answers(&expected, blueprint.ranks()) {
        return Err(BundleError::Target {
            strategy: strategy(),
            version,
            expected,
            found: model.target().clone(),
        });
    }
    let expected = blueprint.action_is_feature();
    if model.action_is_feature() != expected {
        return Err(BundleError::ActionFeature {
            strategy: strategy(),
            version,
            expected,
        });
    }
    for (column, found) in model.encoder().columns().filter(|(name, _)| *name != ACTION_COLUMN) {
        let declared = blueprint.model_features().find(|(name, _)| &***name == column);
        let column = || column.to_owned();
        match declared {
            None => {
                return Err(BundleError::MissingFeature {
                    strategy: strategy(),
                    version,
                    column: column(),
                });
            }
            Some((_, expected)) if expected != found => {
                return Err(BundleError::FeatureType {
                    strategy: strategy(),
                    version,
                    column: column(),
                    expected,
                    found,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
