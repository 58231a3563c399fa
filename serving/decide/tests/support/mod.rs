//! Small blueprints and hand-made ensembles, shared by the tests of this crate.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use lakeloop_decide::{Bundle, Model};
use lakeloop_domain::{
    AbsentLabel, Aggregation, AppliedBlueprint, Blueprint, Calibration, Candidate, CandidateId, ContextField,
    DecisionKind, EncodedColumn, Encoding, FeatureColumn, FeatureType, FeatureValue, FeatureView, FeatureViewName,
    Features, LearningSpec, ModelLimits, ModelMetrics, ModelRecord, ModelStage, ModelVersion, NamedValue, OutcomeSpec,
    OutcomeType, Policy, Provenance, Rewards, Schedule, StrategyName, TrainingSetId,
};
use serde_json::{Value, json};

pub const MENU: [&str; 3] = ["ramen", "tacos", "pho"];

pub fn yes_no(default: bool) -> DecisionKind {
    DecisionKind::YesNo { default }
}

pub fn menu(default: &str) -> DecisionKind {
    DecisionKind::Choose {
        actions: MENU.map(String::from).to_vec(),
        default: default.into(),
    }
}

pub fn number(default: f64) -> DecisionKind {
    DecisionKind::Number { default }
}

/// A strategy `dinner`: the context holds `age` (number), `table` (number, no feature) and `city` (category); the view
/// `weather` holds `rain` (boolean).
pub fn blueprint(decision: DecisionKind, outcome_type: OutcomeType, policy: Policy) -> Blueprint {
    let field = |name: &str, feature_type, is_feature| ContextField {
        name: name.into(),
        feature_type,
        missing_allowed: true,
        is_feature,
        timestamp: None,
    };
    Blueprint {
        name: StrategyName::new("dinner").unwrap(),
        description: String::new(),
        decision,
        unit: "guest".into(),
        context: vec![
            field("age", FeatureType::Number, true),
            field("table", FeatureType::Number, false),
            field("city", FeatureType::Category, true),
        ],
        candidates: Vec::new(),
        features: vec![FeatureView {
            name: FeatureViewName::new("weather").unwrap(),
            entity: "city".into(),
            freshness_us: None,
            cost_us: None,
            columns: vec![FeatureColumn {
                name: "rain".into(),
                feature_type: FeatureType::Boolean,
                when_missing: FeatureValue::Missing,
            }],
        }],
        outcome: OutcomeSpec {
            event: "ordered".into(),
            outcome_type,
            aggregation: Aggregation::Last,
            window_us: 1,
            absent: AbsentLabel::Value(0.0),
        },
        rewards: Rewards::default(),
        limits: ModelLimits::default(),
        learning: LearningSpec::default(),
        policy,
        caps: None,
        ladder: None,
        schedule: Schedule {
            train: None,
            window_us: None,
            minimum_rows: 1,
            trials: 1,
        },
        gate: lakeloop_domain::Gate::default(),
        training: Default::default(),
    }
}

pub fn applied(blueprint: Blueprint) -> AppliedBlueprint {
    AppliedBlueprint {
        version: Blueprint::version_of("dinner"),
        blueprint,
        sequence: 1,
        source: String::new(),
        applied_at: 0,
    }
}

/// Features of `dinner` in served order.
pub fn features(age: Option<f64>, city: Option<&str>, rain: Option<bool>) -> Features {
    let named = |name: &str, feature_type, value| NamedValue {
        name: Arc::from(name),
        feature_type,
        value,
    };
    let category = |text: &str| FeatureValue::Category(text.into());
    vec![
        named(
            "age",
            FeatureType::Number,
            age.map_or(FeatureValue::Missing, FeatureValue::Number),
        ),
        named("table", FeatureType::Number, FeatureValue::Number(4.0)),
        named(
            "city",
            FeatureType::Category,
            city.map_or(FeatureValue::Missing, category),
        ),
        named(
            "rain",
            FeatureType::Boolean,
            rain.map_or(FeatureValue::Missing, FeatureValue::Boolean),
        ),
    ]
}

pub fn column(name: &str, feature_type: FeatureType, vocabulary: &[&str]) -> EncodedColumn {
    EncodedColumn {
        name: name.into(),
        feature_type,
        vocabulary: vocabulary.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// `city`, `age` and, where asked for, the action, in another order than the blueprint's.
pub fn encoding(actions: Option<&[&str]>) -> Encoding {
    let mut columns = vec![
        column("city", FeatureType::Category, &["Oslo", "Lima"]),
        column("age", FeatureType::Number, &[]),
    ];
    columns.extend(actions.map(|actions| column("action", FeatureType::Category, actions)));
    Encoding { columns }
}

/// A tree of one split: `row[column] < threshold` gives `below`, else `from_there`; missing gives `below`.
pub struct Stump(pub usize, pub f32, pub f32, pub f32);

/// An XGBoost model as JSON. `outputs[i]` lists the stumps of output `i`; the base score has margin 0.
pub fn artifact(objective: &str, n_features: usize, outputs: &[&[Stump]]) -> Vec<u8> {
    let tree = |stump: &Stump| {
        json!({
            "tree_param": {"num_nodes": "3", "size_leaf_vector": "1", "num_feature": n_features.to_string()},
            "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [stump.0, 0, 0],
            "split_conditions": [stump.1, stump.2, stump.3], "default_left": [1, 0, 0]
        })
    };
    let trees: Vec<Value> = outputs.iter().flat_map(|stumps| stumps.iter().map(tree)).collect();
    let groups = outputs.iter().enumerate();
    let tree_info: Vec<usize> = groups
        .flat_map(|(idx, stumps)| stumps.iter().map(move |_| idx))
        .collect();
    let base_score = if objective.ends_with("logistic") { "5E-1" } else { "0" };
    let n_classes = if outputs.len() > 1 { outputs.len() } else { 0 };
    let model = json!({"learner": {
        "learner_model_param": {
            "base_score": base_score, "num_class": n_classes.to_string(), "num_feature": n_features.to_string()
        },
        "objective": {"name": objective},
        "gradient_booster": {"name": "gbtree", "model": {"tree_info": tree_info, "trees": trees}}
    }});
    serde_json::to_vec(&model).unwrap()
}

/// A model record of `dinner` whose target follows from the blueprint.
pub fn model_record(blueprint: &Blueprint, encoding: Encoding, artifact: Vec<u8>) -> ModelRecord {
    ModelRecord {
        strategy: blueprint.name.clone(),
        version: ModelVersion(3),
        stage: ModelStage::Live,
        stage_reason: String::new(),
        stage_changed_at: 0,
        registered_at: 0,
        target: blueprint.learning_target(),
        action_is_feature: blueprint.action_is_feature(),
        encoding,
        calibration: Calibration::Identity,
        prediction_interval: None,
        uncertainty: None,
        artifact,
        metrics: ModelMetrics {
            metric: "log_loss".into(),
            value: 0.5,
            baseline: None,
            n_train_rows: 1,
            n_validation_rows: 1,
            artifact_bytes: 1,
            latency_p50_us: 1.0,
            latency_p99_us: 1.0,
            parity_max_abs: 0.0,
        },
        provenance: Provenance {
            blueprint_version: Blueprint::version_of("dinner"),
            training_set_id: TrainingSetId::new("t").unwrap(),
            table_versions: Vec::new(),
            parameters: String::new(),
            seed: 0,
        },
    }
}

pub fn bundle(blueprint: Blueprint, record: Option<&ModelRecord>) -> Bundle {
    let model = record.map(|record| Model::from_record(record).unwrap());
    Bundle::new(applied(blueprint), model).unwrap()
}

/// A yes/no threshold at 0.5 with a model: 2/(age < 30), −1 else.
pub fn threshold() -> (Blueprint, ModelRecord) {
    let blueprint = blueprint(yes_no(false), OutcomeType::YesNo, Policy::Threshold { at: 0.5 });
    let trees = artifact("binary:logistic", 2, &[&[Stump(1, 30.0, 2.0, -1.0)]]);
    let record = model_record(&blueprint, encoding(None), trees);
    (blueprint, record)
}

/// A choice of the menu by the expected label of each action: ramen 1, tacos and pho 2; in Lima all half a point more.
pub fn choice(policy: Policy) -> (Blueprint, ModelRecord) {
    let blueprint = blueprint(menu("pho"), OutcomeType::Number, policy);
    let trees = artifact(
        "reg:squarederror",
        3,
        &[&[Stump(2, 0.5, 1.0, 2.0), Stump(0, 0.5, 0.0, 0.5)]],
    );
    let record = model_record(&blueprint, encoding(Some(&MENU)), trees);
    (blueprint, record)
}

/// A ranking of dishes: of each candidate `price` (number), `kitchen` (category) and `shelf` (number, no feature).
pub fn ranking(at_most: Option<u32>, policy: Policy) -> Blueprint {
    let field = |name: &str, feature_type, is_feature| ContextField {
        name: name.into(),
        feature_type,
        missing_allowed: true,
        is_feature,
        timestamp: None,
    };
    Blueprint {
        candidates: vec![
            field("kitchen", FeatureType::Category, true),
            field("price", FeatureType::Number, true),
            field("shelf", FeatureType::Number, false),
        ],
        ..blueprint(DecisionKind::Rank { at_most }, OutcomeType::Number, policy)
    }
}

/// A model of [`ranking`]: cheap candidates 2, others 1; Thai ones half a point more; guests under 30 a point more for all.
pub fn ranking_model(blueprint: &Blueprint) -> ModelRecord {
    let encoding = Encoding {
        columns: vec![
            column("price", FeatureType::Number, &[]),
            column("age", FeatureType::Number, &[]),
            column("kitchen", FeatureType::Category, &["Thai", "Greek"]),
        ],
    };
    let stumps = [
        Stump(0, 10.0, 2.0, 1.0),
        Stump(1, 30.0, 1.0, 0.0),
        Stump(2, 0.5, 0.5, 0.0),
    ];
    model_record(blueprint, encoding, artifact("reg:squarederror", 3, &[&stumps]))
}

/// A candidate in served order.
pub fn candidate(id: &str, price: Option<f64>, kitchen: &str) -> Candidate {
    let named = |name: &str, feature_type, value| NamedValue {
        name: Arc::from(name),
        feature_type,
        value,
    };
    Candidate {
        id: CandidateId::new(id).unwrap(),
        features: vec![
            named("kitchen", FeatureType::Category, FeatureValue::Category(kitchen.into())),
            named(
                "price",
                FeatureType::Number,
                price.map_or(FeatureValue::Missing, FeatureValue::Number),
            ),
            named("shelf", FeatureType::Number, FeatureValue::Number(1.0)),
        ],
    }
}

/// Scores by the model above for a guest of 40: 1, 2, 1.5, 2.5 and 2; d and then b, e come first.
pub fn dishes() -> Vec<Candidate> {
    [
        ("a", 20.0, "Greek"),
        ("b", 5.0, "Greek"),
        ("c", 20.0, "Thai"),
        ("d", 5.0, "Thai"),
        ("e", 5.0, "Greek"),
    ]
    .map(|(id, price, kitchen)| candidate(id, Some(price), kitchen))
    .to_vec()
}
