//! Owns what is measured: a strategy with a model of 200 trees, depth 6, 50 features, and rows for it.
//!
//! The model and rows are the golden ones of the folder that `LAKELOOP_SHARED` names (else `shared` beside the
//! repository). Where they are absent, an ensemble of the same size and rows are made from a fixed seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakeloop_decide::{Bundle, Model, ModelParts};
use lakeloop_domain::{
    AbsentLabel, Aggregation, AppliedBlueprint, Blueprint, Calibration, ContextField, DecisionKind, EncodedColumn,
    Encoding, FeatureType, FeatureValue, Features, LearningSpec, LearningTarget, ModelLimits, ModelVersion, NamedValue,
    OutcomeSpec, OutcomeType, Policy, Rewards, Schedule, StrategyName,
};
use serde_json::json;

const N_FEATURES: usize = 50;
const N_TREES: u32 = 200;
const DEPTH: u32 = 6;

/// One row in both forms.
pub struct Row {
    pub features: Features,
    pub encoded: Vec<f32>,
}

pub struct World {
    /// Where the model came from.
    pub source: String,
    pub artifact: Vec<u8>,
    pub bundle: Bundle,
    pub rows: Vec<Row>,
}

impl World {
    pub fn load() -> Self {
        let golden = shared().join("golden");
        let (source, artifact, encoded) = match std::fs::read(golden.join("trees_200x6x50.ubj")) {
            Ok(artifact) => (
                "golden trees_200x6x50.ubj".into(),
                artifact,
                npy_rows(&golden.join("trees_rows.npy")),
            ),
            Err(_) => {
                let mut random = Random(1);
                (
                    "generated, seed 1".into(),
                    generated_model(&mut random),
                    generated_rows(&mut random),
                )
            }
        };
        let blueprint = blueprint();
        let rows = encoded.into_iter().map(|encoded| Row {
            features: named(&blueprint, &encoded),
            encoded,
        });
        Self {
            source,
            rows: rows.collect(),
            bundle: bundle(blueprint, &artifact),
            artifact,
        }
    }

    pub fn n_features(&self) -> usize {
        N_FEATURES
    }
}

fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("LAKELOOP_SHARED").map_or_else(beside, PathBuf::from)
}

fn blueprint() -> Blueprint {
    let field = |idx| ContextField {
        name: format!("feature_{idx}").into(),
        feature_type: FeatureType::Number,
        missing_allowed: true,
        is_feature: true,
        timestamp: None,
    };
    Blueprint {
        name: StrategyName::new("bench").unwrap(),
        description: String::new(),
        decision: DecisionKind::YesNo { default: false },
        unit: "user".into(),
        context: (0..N_FEATURES).map(field).collect(),
        candidates: Vec::new(),
        features: Vec::new(),
        outcome: OutcomeSpec {
            event: "click".into(),
            outcome_type: OutcomeType::YesNo,
            aggregation: Aggregation::Any,
            window_us: 1,
            absent: AbsentLabel::Value(0.0),
        },
        rewards: Rewards::default(),
        limits: ModelLimits::default(),
        learning: LearningSpec::default(),
        policy: Policy::Threshold { at: 0.5 },
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

fn bundle(blueprint: Blueprint, artifact: &[u8]) -> Bundle {
    let column = |field: &ContextField| EncodedColumn {
        name: field.name.to_string(),
        feature_type: field.feature_type,
        vocabulary: Vec::new(),
    };
    let encoding = Encoding {
        columns: blueprint.context.iter().map(column).collect(),
    };
    let model = Model::from_parts(ModelParts {
        strategy: &blueprint.name,
        version: ModelVersion(1),
        target: &LearningTarget::Binary,
        action_is_feature: false,
        encoding: &encoding,
        calibration: &Calibration::Identity,
        artifact,
    });
    let applied = AppliedBlueprint {
        version: Blueprint::version_of("bench"),
        blueprint,
        sequence: 1,
        source: String::new(),
        applied_at: 0,
    };
    Bundle::new(applied, Some(model.unwrap())).unwrap()
}

fn named(blueprint: &Blueprint, encoded: &[f32]) -> Features {
    let value = |number: f32| {
        if number.is_nan() {
            FeatureValue::Missing
        } else {
            FeatureValue::Number(f64::from(number))
        }
    };
    let fields = blueprint.context.iter().zip(encoded);
    let named = |(field, number): (&ContextField, &f32)| NamedValue {
        name: Arc::clone(&field.name),
        feature_type: field.feature_type,
        value: value(*number),
    };
    fields.map(named).collect()
}

/// The rows of a little-endian f32 array as `numpy.save` writes it.
fn npy_rows(path: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let header_bytes = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (numbers, _) = bytes[10 + header_bytes..].as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    numbers.chunks(N_FEATURES).map(<[f32]>::to_vec).collect()
}

/// Steps of a 64-bit linear congruential generator (Knuth's MMIX constants): enough to make trees of.
struct Random(u64);

impl Random {
    /// A number in [0, 1).
    fn uniform(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

fn generated_rows(random: &mut Random) -> Vec<Vec<f32>> {
    (0..1000)
        .map(|_| (0..N_FEATURES).map(|_| random.uniform()).collect())
        .collect()
}

/// Complete trees: node i has the children 2i + 1 and 2i + 2.
fn generated_model(random: &mut Random) -> Vec<u8> {
    let n_splits = 2_i64.pow(DEPTH) - 1;
    let n_nodes = 2 * n_splits + 1;
    let child = |node: i64, side: i64| if node < n_splits { 2 * node + side } else { -1 };
    let children = |side: i64| (0..n_nodes).map(|node| child(node, side)).collect::<Vec<_>>();
    let parents = || {
        (0..n_nodes)
            .map(|node| if node == 0 { 2_147_483_647 } else { (node - 1) / 2 })
            .collect::<Vec<_>>()
    };
    let trees: Vec<_> = (0..N_TREES)
        .map(|id| {
            let features: Vec<_> = (0..n_nodes)
                .map(|_| (random.uniform() * N_FEATURES as f32) as i64)
                .collect();
            let value = |node| {
                if node < n_splits {
                    random.uniform()
                } else {
                    random.uniform() / 10.0 - 0.05
                }
            };
            let values: Vec<f32> = (0..n_nodes).map(value).collect();
            let (zeros, no_numbers) = (vec![0; n_nodes as usize], vec![0.0; n_nodes as usize]);
            json!({
                "id": id,
                "tree_param": {"num_nodes": n_nodes.to_string(), "size_leaf_vector": "1",
                    "num_feature": N_FEATURES.to_string(), "num_deleted": "0"},
                "left_children": children(1), "right_children": children(2), "parents": parents(),
                "split_indices": features, "split_conditions": values, "split_type": zeros, "default_left": zeros,
                "base_weights": no_numbers, "loss_changes": no_numbers, "sum_hessian": no_numbers,
                "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []
            })
        })
        .collect();
    let model = json!({"version": [3, 0, 0], "learner": {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_target": "1",
            "num_feature": N_FEATURES.to_string(), "boost_from_average": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        "gradient_booster": {"name": "gbtree", "model": {
            "gbtree_model_param": {"num_trees": N_TREES.to_string(), "num_parallel_tree": "1"},
            "iteration_indptr": (0..=N_TREES).collect::<Vec<_>>(),
            "tree_info": vec![0; N_TREES as usize], "trees": trees
        }}
    }});
    serde_json::to_vec(&model).unwrap()
}
