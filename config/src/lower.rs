//! The step from the TOML form of a blueprint to the checked one, with every default that a blueprint may leave out.

use lakeloop_domain::{
    AbsentLabel, Aggregation, Baseline, Blueprint, DecisionKind, FeatureColumn, FeatureValue, FeatureView,
    FeatureViewName, Gate, LearningSpec, ModelLimits, NamedOutcome, OffPolicyGate, OutcomeSpec, OutcomeType, Policy,
    RewardWeight, Rewards, RowWeights, Schedule, SearchRange, Slots, TrainingRules,
};

use crate::raw::{
    RawAbsent, RawAbsentWord, RawBlueprint, RawDecision, RawFeatureView, RawGate, RawModel, RawOutcome, RawOutcomeType,
    RawPolicy, RawRowWeights, RawSchedule, RawSearchRange, RawSearchSpace, RawTraining, RawValue,
};

pub(crate) mod caps;

/// The share of explored decisions unless declared.
const DEFAULT_EPSILON: f64 = 0.1;
/// The share that a falling share begins with, unless declared.
pub(crate) const DEFAULT_FALLING_EPSILON: f64 = 0.3;
/// The labelled decisions after which it has halved, unless declared.
const DEFAULT_HALVED_AFTER: u64 = 1_000;
/// What it does not fall below, unless declared: one decision in a hundred still shows what has changed.
pub(crate) const DEFAULT_MINIMUM_EPSILON: f64 = 0.01;
/// The probability from which a threshold says yes unless declared.
const DEFAULT_THRESHOLD: f64 = 0.5;
/// Fewer labelled rows than this tell little apart.
const DEFAULT_MINIMUM_ROWS: u64 = 200;
/// Enough trials to leave the worst settings behind within a minute of training.
const DEFAULT_TRIALS: u32 = 8;
/// Trials where a budget of time ends the search, unless declared: as many as may be declared.
const TRIALS_WITHIN_BUDGET: u32 = 1_000;
/// How sure a gate is unless declared.
const DEFAULT_CONFIDENCE: f64 = 0.95;

/// The largest row weight unless declared: that of an action which epsilon_greedy with its usual epsilon of 0.1 draws from
/// two.
const DEFAULT_CLIP: f64 = 20.0;

/// The checked blueprint, when nothing required is absent and nothing refused is there. Fields, views and columns are
/// ordered by name, so that their order in the file does not matter.
pub(crate) fn blueprint(raw: &RawBlueprint) -> Option<Blueprint> {
    let raw_decision = raw.decision.as_ref()?;
    let raw_outcome = raw.outcome.as_ref()?;
    Some(Blueprint {
        name: raw.name.clone()?,
        description: raw.description.clone().unwrap_or_default(),
        decision: decision(raw_decision)?,
        unit: raw.unit.clone()?,
        context: raw
            .context
            .iter()
            .flat_map(|(name, field)| field.fields(name))
            .collect(),
        candidates: raw
            .candidates
            .iter()
            .flatten()
            .flat_map(|(name, field)| field.fields(name))
            .collect(),
        features: raw
            .features
            .iter()
            .map(|(name, view)| feature_view(name, view))
            .collect::<Option<_>>()?,
        outcome: outcome(raw_outcome),
        rewards: rewards(raw),
        limits: raw.model.as_ref().map_or_else(ModelLimits::default, limits),
        learning: learning(raw_decision, raw.model.as_ref()),
        policy: policy(raw.policy.as_ref(), raw_decision, &label(raw, raw_outcome))?,
        caps: match &raw.caps {
            Some(declared) => Some(caps::caps(declared, raw_decision)?),
            None => None,
        },
        ladder: raw.ladder.as_ref().map(caps::ladder),
        schedule: schedule(
            raw.schedule.as_ref(),
            raw.model.as_ref().is_some_and(|model| model.budget.is_some()),
        ),
        gate: raw.gate.as_ref().map_or_else(Gate::default, gate),
        training: raw.training.as_ref().map_or_else(TrainingRules::default, training),
    })
}

fn decision(raw: &RawDecision) -> Option<DecisionKind> {
    match raw {
        RawDecision::YesNo { default } => Some(DecisionKind::YesNo { default: *default }),
        RawDecision::Choose { actions, default } => Some(DecisionKind::Choose {
            actions: actions.clone(),
            default: default.clone(),
        }),
        RawDecision::Number { default, .. } => Some(DecisionKind::Number { default: *default }),
        RawDecision::Rank { at_most } => Some(DecisionKind::Rank { at_most: *at_most }),
    }
}

fn feature_view(name: &str, view: &RawFeatureView) -> Option<FeatureView> {
    let columns = view.columns.iter().map(|(name, column)| FeatureColumn {
        name: name.as_str().into(),
        feature_type: column.feature_type(),
        when_missing: column.when_missing().map_or(FeatureValue::Missing, feature_value),
    });
    Some(FeatureView {
        name: FeatureViewName::new(name).ok()?,
        entity: view.entity.as_str().into(),
        freshness_us: view.freshness.map(|freshness| freshness.as_micros()),
        cost_us: view.cost.map(|cost| cost.duration().as_nanos() as f64 / 1e3),
        columns: columns.collect(),
    })
}

pub(crate) fn feature_value(raw: &RawValue) -> FeatureValue {
    match raw {
        RawValue::Boolean(value) => FeatureValue::Boolean(*value),
        RawValue::Number(value) => FeatureValue::Number(*value),
        RawValue::Category(value) => FeatureValue::Category(value.clone()),
    }
}

pub(crate) fn outcome_type(raw: &RawOutcome) -> OutcomeType {
    match (raw.outcome_type, Aggregation::from(raw.aggregation)) {
        (Some(declared), _) => declared.into(),
        (None, Aggregation::Any) => OutcomeType::YesNo,
        (None, _) => OutcomeType::Number,
    }
}

fn outcome(raw: &RawOutcome) -> OutcomeSpec {
    let aggregation = Aggregation::from(raw.aggregation);
    let absent = match (raw.absent, aggregation) {
        (Some(RawAbsent::Label(label)), _) => AbsentLabel::Value(label),
        (Some(RawAbsent::Word(RawAbsentWord::Exclude)), _) => AbsentLabel::Exclude,
        (None, Aggregation::Any | Aggregation::Sum | Aggregation::Count) => AbsentLabel::Value(0.0),
        (None, _) => AbsentLabel::Exclude,
    };
    OutcomeSpec {
        event: raw.event.clone(),
        outcome_type: outcome_type(raw),
        aggregation,
        window_us: raw.window.as_micros(),
        absent,
    }
}

/// What policies are checked against: a reward is a number, whatever the type of the main outcome.
pub(crate) fn label(raw: &RawBlueprint, main: &RawOutcome) -> RawOutcome {
    let mut label = main.clone();
    if raw.reward.is_some() {
        label.outcome_type = Some(RawOutcomeType::Number);
    }
    label
}

fn rewards(raw: &RawBlueprint) -> Rewards {
    let named = |(name, other): (&String, &RawOutcome)| NamedOutcome {
        name: name.clone(),
        outcome: outcome(other),
    };
    let weighed = |(outcome, weight): (&String, &f64)| RewardWeight {
        outcome: outcome.clone(),
        weight: *weight,
    };
    let clip = raw.training.as_ref().and_then(|training| training.clip);
    Rewards {
        outcomes: raw.outcomes.iter().map(named).collect(),
        reward: raw
            .reward
            .iter()
            .flat_map(|reward| &reward.weights)
            .map(weighed)
            .collect(),
        row_weights: raw
            .training
            .as_ref()
            .and_then(|training| training.weights)
            .map(|weights| row_weights(weights, clip.unwrap_or(DEFAULT_CLIP))),
    }
}

fn row_weights(declared: RawRowWeights, clip: f64) -> RowWeights {
    match declared {
        RawRowWeights::InversePropensity => RowWeights::InversePropensity { clip },
        RawRowWeights::Position => RowWeights::Position { clip },
    }
}

fn limits(raw: &RawModel) -> ModelLimits {
    ModelLimits {
        max_latency_us: raw
            .max_latency
            .map(|latency| latency.duration().as_nanos() as f64 / 1e3),
        max_bytes: raw.max_size.map(|size| size.bytes()),
    }
}

fn learning(decision: &RawDecision, model: Option<&RawModel>) -> LearningSpec {
    let quantile = match decision {
        RawDecision::Number { quantile, .. } => *quantile,
        _ => None,
    };
    let Some(model) = model else {
        return LearningSpec {
            quantile,
            ..LearningSpec::default()
        };
    };
    let range = |raw: RawSearchRange| SearchRange {
        minimum: raw.minimum,
        maximum: raw.maximum,
    };
    let ranges = model.search_space.iter().flat_map(RawSearchSpace::ranges);
    LearningSpec {
        quantile,
        objective: model.objective.map(Into::into),
        metric: model.metric.map(Into::into),
        monotone: model
            .monotone
            .iter()
            .map(|(name, way)| (name.as_str().into(), (*way).into()))
            .collect(),
        search_space: ranges.map(|(parameter, raw)| (parameter, range(raw))).collect(),
        final_fit: model.final_fit.map(Into::into).unwrap_or_default(),
        n_folds: model.folds,
        budget_us: model.budget.map(|budget| budget.as_micros()),
    }
}

pub(crate) fn policy(raw: Option<&RawPolicy>, decision: &RawDecision, outcome: &RawOutcome) -> Option<Policy> {
    match (raw, decision) {
        (Some(RawPolicy::Threshold { at }), _) => Some(Policy::Threshold {
            at: at.unwrap_or(DEFAULT_THRESHOLD),
        }),
        (Some(RawPolicy::Greedy {}), _) => Some(Policy::Greedy),
        (Some(RawPolicy::EpsilonGreedy { epsilon }), _) => Some(Policy::EpsilonGreedy {
            epsilon: epsilon.unwrap_or(DEFAULT_EPSILON),
        }),
        (
            Some(RawPolicy::EpsilonDecreasing {
                epsilon,
                halved_after,
                minimum,
            }),
            _,
        ) => Some(Policy::EpsilonDecreasing {
            epsilon: epsilon.unwrap_or(DEFAULT_FALLING_EPSILON),
            halved_after: halved_after.unwrap_or(DEFAULT_HALVED_AFTER),
            minimum: minimum.unwrap_or(DEFAULT_MINIMUM_EPSILON),
        }),
        (Some(RawPolicy::TopK { k }), _) => Some(Policy::TopK { k: *k }),
        (Some(RawPolicy::Softmax { temperature }), _) => Some(Policy::Softmax {
            temperature: *temperature,
        }),
        (Some(RawPolicy::Thompson { epsilon }), _) => Some(Policy::Thompson {
            epsilon: epsilon.unwrap_or(0.0),
        }),
        (Some(RawPolicy::Ucb { width, epsilon }), _) => Some(Policy::Ucb {
            width: *width,
            epsilon: epsilon.unwrap_or(0.0),
        }),
        (Some(RawPolicy::Slots { exploration_slots }), _) => Slots::new(exploration_slots.iter().copied())
            .ok()
            .map(|exploration_slots| Policy::Slots { exploration_slots }),
        (None, RawDecision::YesNo { .. }) if outcome_type(outcome) == OutcomeType::YesNo => {
            Some(Policy::Threshold { at: DEFAULT_THRESHOLD })
        }
        (None, RawDecision::Number { .. }) => Some(Policy::Greedy),
        (None, _) => Some(Policy::EpsilonGreedy {
            epsilon: DEFAULT_EPSILON,
        }),
    }
}

/// Names and rungs each once and in order, so that their order in the file does not matter.
fn training(raw: &RawTraining) -> TrainingRules {
    let mut allow_leak: Vec<_> = raw
        .allow_leak
        .iter()
        .flatten()
        .map(|name| name.as_str().into())
        .collect();
    allow_leak.sort_unstable();
    allow_leak.dedup();
    let must_beat = raw.must_beat.as_ref().map(|rungs| {
        let wanted: Vec<Baseline> = rungs.iter().copied().map(Baseline::from).collect();
        Baseline::LADDER
            .into_iter()
            .filter(|rung| wanted.contains(rung))
            .collect()
    });
    TrainingRules {
        allow_leak,
        allow_duplicates: raw.allow_duplicates.unwrap_or(false),
        allow_label_shift: raw.allow_label_shift.unwrap_or(false),
        must_beat,
    }
}

fn schedule(raw: Option<&RawSchedule>, has_budget: bool) -> Schedule {
    let trials = if has_budget {
        TRIALS_WITHIN_BUDGET
    } else {
        DEFAULT_TRIALS
    };
    Schedule {
        train: raw
            .and_then(|raw| raw.train.as_ref())
            .map(|cron| cron.as_str().to_owned()),
        window_us: raw.and_then(|raw| raw.window).map(|window| window.as_micros()),
        minimum_rows: raw.and_then(|raw| raw.minimum_rows).unwrap_or(DEFAULT_MINIMUM_ROWS),
        trials: raw.and_then(|raw| raw.trials).unwrap_or(trials),
    }
}

fn gate(raw: &RawGate) -> Gate {
    Gate {
        off_policy: raw.off_policy.as_ref().map(|raw| OffPolicyGate {
            margin: raw.margin,
            confidence: raw.confidence.unwrap_or(DEFAULT_CONFIDENCE),
        }),
    }
}
