//! What is refused, and what the error says.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::error::Error;
use std::path::Path;

use lakeloop_trees::{Choice, Ensemble, ModelError, ShapeError, Technique};

/// A sound model of one split and two leaves, in which each test breaks one thing.
const MODEL: &str = r#"{"learner": {
    "feature_names": ["a", "b"],
    "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"},
    "objective": {"name": "binary:logistic"},
    "gradient_booster": {"name": "gbtree", "model": {"tree_info": [0], "weight_drop": [1.0], "trees": [{
        "id": 0,
        "tree_param": {"num_nodes": "3", "num_deleted": "0", "size_leaf_vector": "1"},
        "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
        "split_conditions": [7.5, -1.0, 1.0], "default_left": [0, 0, 0], "split_type": [0, 0, 0],
        "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []
    }]}}
}}"#;

/// The error and its sources, as a reader meets them.
fn message(model: &[u8]) -> String {
    let error = Ensemble::from_bytes(model).unwrap_err();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn check(replaced: &str, by: &str, expected: &str) {
    assert_eq!(MODEL.matches(replaced).count(), 1, "{replaced}");
    let found = message(MODEL.replace(replaced, by).as_bytes());
    assert!(found.contains(expected), "{found}");
}

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)).unwrap()
}

#[test]
fn the_model_is_sound() {
    let ensemble = Ensemble::from_bytes(MODEL.as_bytes()).unwrap();
    assert_eq!(ensemble.feature_names(), ["a", "b"]);
    let walked = Ensemble::from_bytes_by(MODEL.as_bytes(), Choice::Only(Technique::Walk)).unwrap();
    assert_eq!(walked.n_bytes(), 3 * 12 + 8 + 4);
}

#[test]
fn unserved_kinds_are_named() {
    let error = Ensemble::from_bytes(&golden("refused_gblinear.json")).unwrap_err();
    assert!(
        matches!(
            error,
            ModelError::Unsupported {
                key: "learner.gradient_booster.name",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the model's `learner.gradient_booster.name` is `gblinear`: supported are gbtree, dart"
    );
    let error = Ensemble::from_bytes(&golden("refused_objective.json")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is `reg:expectileerror`: supported are binary:logistic, "),
        "{error}"
    );
    let vector_leaf = message(&golden("refused_vector_leaf.json"));
    assert!(
        vector_leaf.contains("tree 0") && vector_leaf.contains("2 values each"),
        "{vector_leaf}"
    );
    check(
        r#""num_class": "0""#,
        r#""num_class": "00000000000000000003x""#,
        "num_class",
    );
    check(
        r#""num_target": "1""#,
        r#""num_target": "4000000000""#,
        "4000000000 outputs",
    );
    check(
        r#""name": "gbtree""#,
        r#""name": "dart2""#,
        "supported are gbtree, dart",
    );
}

#[test]
fn other_files_are_told_apart() {
    assert!(message(b"binf\x00\x01").contains("neither JSON nor UBJSON (it starts with `binf\\x00\\x01`)"));
    assert!(message(b"").contains("neither JSON nor UBJSON"));
    assert!(message(b"{}").contains("missing field `learner`"));
    assert!(message(b"{L\0\0\0\0\0\0\0\x01aZ}").contains("missing field `learner`"));
    assert!(message(b"{L\0\0\0\0\0\0\0\x07learner[$d#L\x7f\0\0\0\0\0\0\0").contains("announces"));
    assert!(message(b"{L\0\0\0\0\0\0\0\x07learner[$Z#L\x7f\0\0\0\0\0\0\0").contains("the type of an array"));
    let deep = [b"{i\x01a".as_slice(), &[b'['; 100_000]].concat();
    assert!(message(&deep).contains("nested"), "{}", message(&deep));
    let deep = ["{\"a\":", &"[".repeat(100_000)].concat();
    assert!(message(deep.as_bytes()).contains("JSON cannot be read"));
}

#[test]
fn the_head_is_checked() {
    check(
        r#""[5E-1]""#,
        r#""[5E-1,5E-1]""#,
        "base_score` is `[0.5, 0.5]`: expected 1 or 1 numbers",
    );
    check(r#""[5E-1]""#, r#""1.5""#, "expected a number from 0 to 1");
    check(r#""[5E-1]""#, r#""nan""#, "expected a number from 0 to 1");
    check(r#""[5E-1]""#, r#""half""#, "a base score");
    check(r#""num_feature": "2""#, r#""num_feature": "0""#, "at least 1");
    check(r#""num_feature": "2""#, r#""num_feature": "-2""#, "a whole number");
    check(
        r#""num_feature": "2""#,
        r#""num_feature": "4294967295""#,
        "4294967295 features",
    );
    check(r#"["a", "b"]"#, r#"["a"]"#, "none, or one for each of 2 features");
    check(r#""tree_info": [0]"#, r#""tree_info": [1]"#, "less than 1");
    check(r#""tree_info": [0]"#, r#""tree_info": [-1]"#, "less than 1");
    check(
        r#""tree_info": [0]"#,
        r#""tree_info": []"#,
        "an output for each of 1 trees",
    );
    check(
        r#""weight_drop": [1.0]"#,
        r#""weight_drop": [1.0, 1.0]"#,
        "a weight for each of 1 trees",
    );
    check(r#""id": 0"#, r#""id": 1"#, "its place among the trees");
}

#[test]
fn trees_are_checked() {
    check(
        r#""left_children": [1, -1"#,
        r#""left_children": [3, -1"#,
        "there are 3 nodes",
    );
    check(
        r#""left_children": [1, -1"#,
        r#""left_children": [-2, -1"#,
        "the children -2 and 2",
    );
    check(
        r#""right_children": [2, -1"#,
        r#""right_children": [-1, -1"#,
        "the children 1 and -1",
    );
    check(
        r#""left_children": [1, -1"#,
        r#""left_children": [0, -1"#,
        "node 0 is reached more than once",
    );
    check(
        r#""right_children": [2, -1"#,
        r#""right_children": [1, -1"#,
        "node 1 is reached more than once",
    );
    check(
        r#""left_children": [1, -1"#,
        r#""left_children": [-1, -1"#,
        "2 nodes cannot be reached",
    );
    check(
        r#""num_nodes": "3""#,
        r#""num_nodes": "4""#,
        "`left_children` has 3 elements",
    );
    check(r#""num_nodes": "3""#, r#""num_nodes": "0""#, "no nodes");
    check(
        r#""num_nodes": "3""#,
        r#""num_nodes": "three""#,
        "`tree_param.num_nodes` is `three`",
    );
    check(
        r#""split_indices": [0"#,
        r#""split_indices": [2"#,
        "node 0 splits on feature 2, and there are 2",
    );
    check(r#"[7.5, -1.0"#, "[NaN, -1.0", "node 0 holds NaN");
    check(r#"[7.5, -1.0"#, "[7.5, -Infinity", "node 1 holds -inf");
    check(r#""split_type": [0"#, r#""split_type": [2"#, "split type 2");
    check(r#""split_type": [0"#, r#""split_type": [1"#, "the categories of node 0");
}

#[test]
fn categories_are_checked() {
    let with = |nodes: &str, segments: &str, sizes: &str, codes: &str| {
        let sets = format!(
            r#""categories": {codes}, "categories_nodes": {nodes}, "categories_segments": {segments}, "categories_sizes": {sizes}"#
        );
        let none = r#""categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []"#;
        assert!(MODEL.contains(none));
        MODEL
            .replace(none, &sets)
            .replace(r#""split_type": [0"#, r#""split_type": [1"#)
    };
    assert!(Ensemble::from_bytes(with("[0]", "[0]", "[2]", "[3, 16777215]").as_bytes()).is_ok());
    for (nodes, segments, sizes, codes) in [
        ("[1]", "[0]", "[2]", "[3, 4]"),
        ("[9]", "[0]", "[2]", "[3, 4]"),
        ("[0]", "[0]", "[0]", "[3, 4]"),
        ("[0]", "[0]", "[3]", "[3, 4]"),
        ("[0]", "[9223372036854775807]", "[9223372036854775807]", "[3, 4]"),
        ("[0]", "[0]", "[2]", "[3, -1]"),
        ("[0]", "[0]", "[2]", "[3, 16777216]"),
    ] {
        let found = message(with(nodes, segments, sizes, codes).as_bytes());
        assert!(found.contains("are not a set of codes from 0 to 16777215"), "{found}");
    }
    assert!(message(with("[0]", "[]", "[2]", "[3, 4]").as_bytes()).contains("`categories_segments` has 0 elements"));
}

#[test]
fn the_depth_is_bounded() {
    // A chain: node 2i splits into the leaf 2i + 1 and the node 2i + 2.
    let chain = |n_splits: usize| {
        let n_nodes = 2 * n_splits + 1;
        let children = |side: usize| {
            let child = |node: usize| {
                if node.is_multiple_of(2) && node + 1 < n_nodes {
                    (node + side) as i64
                } else {
                    -1
                }
            };
            format!("{:?}", (0..n_nodes).map(child).collect::<Vec<_>>())
        };
        let zeros = format!("{:?}", vec![0; n_nodes]);
        MODEL
            .replace(r#""num_nodes": "3""#, &format!(r#""num_nodes": "{n_nodes}""#))
            .replace(
                r#""left_children": [1, -1, -1]"#,
                &format!(r#""left_children": {}"#, children(1)),
            )
            .replace(
                r#""right_children": [2, -1, -1]"#,
                &format!(r#""right_children": {}"#, children(2)),
            )
            .replace("[0, 0, 0]", &zeros)
            .replace("[7.5, -1.0, 1.0]", &zeros)
    };
    assert!(Ensemble::from_bytes(chain(4096).as_bytes()).is_ok());
    assert!(message(chain(4097).as_bytes()).contains("deeper than 4096 levels"));
}

#[test]
fn shapes_are_checked_and_the_output_is_left_alone() {
    let ensemble = Ensemble::from_bytes(MODEL.as_bytes()).unwrap();
    let mut out = [9.0; 2];
    assert_eq!(
        ensemble.predict_into(&[0.0; 3], &mut out),
        Err(ShapeError::Rows {
            found: 3,
            n_features: 2
        })
    );
    let too_many = ShapeError::Outputs {
        found: 2,
        n_rows: 1,
        n_outputs: 1,
    };
    assert_eq!(ensemble.predict_into(&[0.0; 2], &mut out), Err(too_many.clone()));
    assert_eq!(ensemble.margins_into(&[0.0; 2], &mut out), Err(too_many));
    assert_eq!(out, [9.0; 2]);
    assert_eq!(ensemble.predict_into(&[], &mut []), Ok(()));
}
