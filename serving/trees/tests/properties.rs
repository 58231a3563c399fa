//! Random ensembles, by every technique that this processor can run, against the plain recursive definition of a tree.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_trees::{Choice, Ensemble, Technique};
use proptest::prelude::*;

const N_FEATURES: usize = 3;
const N_OUTPUTS: usize = 2;

/// Few numbers, so that values often equal thresholds.
const VALUES: [f32; 10] = [
    f32::NAN,
    f32::NEG_INFINITY,
    f32::MIN,
    -1.5,
    -0.0,
    0.0,
    1.0,
    2.0,
    f32::MAX,
    f32::INFINITY,
];

#[derive(Debug, Clone)]
enum Tree {
    Leaf(f32),
    Split {
        feature: usize,
        condition: Condition,
        default_left: bool,
        children: Box<[Tree; 2]>,
    },
}

#[derive(Debug, Clone)]
enum Condition {
    Below(f32),
    NotIn(Vec<u32>),
}

/// Thresholds are few, or so many that a byte does not count those of a feature.
fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => prop::sample::select(vec![-1.5_f32, -0.0, 0.0, 0.5, 1.0, f32::INFINITY, f32::NEG_INFINITY])
            .prop_map(Condition::Below),
        1 => (0_u32..2000).prop_map(|step| Condition::Below(step as f32 / 500.0 - 2.0)),
        1 => prop::collection::vec(0_u32..70, 1..4).prop_map(Condition::NotIn),
    ]
}

fn tree(depth: u32, n_nodes: u32) -> impl Strategy<Value = Tree> {
    let leaf = (-1000..1000_i32).prop_map(|value| Tree::Leaf(value as f32 / 8.0));
    leaf.prop_recursive(depth, n_nodes, 2, move |child| {
        (0..N_FEATURES, condition(), any::<bool>(), child.clone(), child).prop_map(
            |(feature, condition, default_left, left, right)| Tree::Split {
                feature,
                condition,
                default_left,
                children: Box::new([left, right]),
            },
        )
    })
}

/// Few trees and several blocks of them; shallow, as deep as trees are made complete, and deeper.
fn trees() -> impl Strategy<Value = Vec<Tree>> {
    prop_oneof![
        4 => prop::collection::vec(tree(6, 40), 0..11),
        2 => prop::collection::vec(tree(3, 10), 60..140),
        2 => prop::collection::vec(tree(8, 120), 1..20),
        1 => prop::collection::vec(tree(12, 60), 1..5),
    ]
}

/// Rows for no, some and several vectors of 64.
fn rows() -> impl Strategy<Value = Vec<[f32; N_FEATURES]>> {
    let value = prop_oneof![
        2 => prop::sample::select(VALUES.to_vec()),
        1 => (0_i32..2000).prop_map(|step| step as f32 / 500.0 - 2.0),
        1 => (0_i32..70).prop_map(|code| code as f32),
    ];
    prop::collection::vec(prop::array::uniform3(value), 0..300)
}

fn evaluate(tree: &Tree, row: &[f32]) -> f32 {
    match tree {
        Tree::Leaf(value) => *value,
        Tree::Split {
            feature,
            condition,
            default_left,
            children,
        } => {
            let value = row[*feature];
            let left = match condition {
                _ if value.is_nan() => *default_left,
                Condition::Below(threshold) => value < *threshold,
                Condition::NotIn(codes) => value < 0.0 || value.is_infinite() || !codes.contains(&(value as u32)),
            };
            evaluate(&children[usize::from(!left)], row)
        }
    }
}

/// The arrays of a saved tree; nodes stand in preorder.
#[derive(Default)]
struct Saved {
    children: [Vec<i64>; 2],
    features: Vec<usize>,
    conditions: Vec<f32>,
    default_left: Vec<u8>,
    split_type: Vec<u8>,
    codes: Vec<u32>,
    sets: [Vec<usize>; 3],
}

impl Saved {
    fn push(&mut self, tree: &Tree) -> i64 {
        let node = self.features.len();
        self.children.iter_mut().for_each(|side| side.push(-1));
        self.features.push(0);
        self.conditions.push(0.0);
        self.default_left.push(0);
        self.split_type.push(0);
        match tree {
            Tree::Leaf(value) => self.conditions[node] = *value,
            Tree::Split {
                feature,
                condition,
                default_left,
                children,
            } => {
                self.features[node] = *feature;
                self.default_left[node] = u8::from(*default_left);
                match condition {
                    Condition::Below(threshold) => self.conditions[node] = *threshold,
                    Condition::NotIn(codes) => {
                        self.split_type[node] = 1;
                        let set = [node, self.codes.len(), codes.len()];
                        self.sets
                            .iter_mut()
                            .zip(set)
                            .for_each(|(list, number)| list.push(number));
                        self.codes.extend(codes);
                    }
                }
                self.children[0][node] = self.push(&children[0]);
                self.children[1][node] = self.push(&children[1]);
            }
        }
        node as i64
    }

    fn json(tree: &Tree) -> serde_json::Value {
        let mut saved = Self::default();
        saved.push(tree);
        serde_json::json!({
            "tree_param": {"num_nodes": saved.features.len().to_string(), "num_deleted": "0"},
            "left_children": saved.children[0], "right_children": saved.children[1],
            "split_indices": saved.features, "split_conditions": saved.conditions.iter().map(as_json).collect::<Vec<_>>(),
            "default_left": saved.default_left, "split_type": saved.split_type, "categories": saved.codes,
            "categories_nodes": saved.sets[0], "categories_segments": saved.sets[1], "categories_sizes": saved.sets[2],
        })
    }
}

/// JSON has no infinities; a text stands for them until they are written as XGBoost does.
fn as_json(number: &f32) -> serde_json::Value {
    match number.is_infinite() {
        true => serde_json::json!(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        false => serde_json::json!(number),
    }
}

fn model(trees: &[Tree]) -> Vec<u8> {
    let tree_info: Vec<usize> = (0..trees.len()).map(|tree_idx| tree_idx % N_OUTPUTS).collect();
    let model = serde_json::json!({"learner": {
        "learner_model_param": {"base_score": [0.25, -0.5], "num_feature": N_FEATURES, "num_target": N_OUTPUTS},
        "objective": {"name": "reg:squarederror"},
        "gradient_booster": {"name": "gbtree", "model": {
            "tree_info": tree_info,
            "trees": trees.iter().map(Saved::json).collect::<Vec<_>>(),
        }},
    }});
    let words = [("\"Infinity\"", "Infinity"), ("\"-Infinity\"", "-Infinity")];
    words
        .iter()
        .fold(model.to_string(), |text, (quoted, word)| text.replace(quoted, word))
        .into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1815),
        failure_persistence: None,
        cases: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_ensemble_is_the_sum_of_its_trees(trees in trees(), rows in rows()) {
        let model = model(&trees);
        let expected: Vec<u32> = rows
            .iter()
            .flat_map(|row| {
                let mut margins = [0.25_f32, -0.5];
                for (tree_idx, tree) in trees.iter().enumerate() {
                    margins[tree_idx % N_OUTPUTS] += evaluate(tree, row);
                }
                margins.map(f32::to_bits)
            })
            .collect();
        for technique in Technique::available() {
            let ensemble = Ensemble::from_bytes_by(&model, Choice::Only(technique)).unwrap();
            prop_assert_eq!(ensemble.n_trees(), trees.len());
            let mut out = vec![f32::NAN; rows.len() * N_OUTPUTS];
            ensemble.margins_into(rows.as_flattened(), &mut out).unwrap();
            let found: Vec<u32> = out.iter().map(|margin| margin.to_bits()).collect();
            prop_assert_eq!(&found, &expected, "{}", technique);
        }
    }
}
