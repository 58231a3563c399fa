//! What the crate must not touch, and how techniques are chosen.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use lakeloop_trees::{Choice, Ensemble, Technique};

/// No clock, file, socket, thread or process: whoever wants costs measured brings the clock.
#[test]
fn nothing_outside_is_touched() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        for word in [
            "Instant",
            "SystemTime",
            "std::time",
            "std::fs",
            "std::net",
            "std::io",
            "std::thread",
            "std::process",
        ] {
            assert!(!text.contains(word), "{file:?} names {word}");
        }
        n_files += 1;
    }
    assert!(n_files > 10);
}

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)).unwrap()
}

/// A clock that ticks at each look: every technique costs the same, and the choice is still a technique that serves.
#[test]
fn a_clock_that_tells_nothing_does_no_harm() {
    let model = golden("multi_softprob.ubj");
    let expected = Ensemble::from_bytes(&model).unwrap();
    for step in [0, 1, u64::MAX / 1000] {
        let mut now = 0_u64;
        let mut clock = || {
            now = now.wrapping_add(step);
            now
        };
        let ensemble = Ensemble::from_bytes_by(&model, Choice::Measured(&mut clock)).unwrap();
        let rows: Vec<f32> = (0..5 * 100).map(|idx| (idx % 17) as f32 / 8.0 - 1.0).collect();
        let mut out = [vec![0.0; 300], vec![0.0; 300]];
        ensemble.margins_into(&rows, &mut out[0]).unwrap();
        expected.margins_into(&rows, &mut out[1]).unwrap();
        assert_eq!(out[0], out[1]);
    }
}

/// A technique that does not serve a model gives way to the walk, and says so.
#[test]
fn a_model_too_deep_is_walked() {
    // A chain of 9 splits: node 2i has the leaf 2i + 1 and the node 2i + 2.
    let children = |side: i64| (0..19).map(move |node| if node % 2 == 0 && node < 18 { node + side } else { -1 });
    let list = |numbers: Vec<i64>| format!("{numbers:?}");
    let zeros = list(vec![0; 19]);
    let model = format!(
        r#"{{"learner": {{
            "learner_model_param": {{"base_score": "0", "num_feature": "1"}}, "objective": {{"name": "reg:squarederror"}},
            "gradient_booster": {{"name": "gbtree", "model": {{"tree_info": [0], "trees": [{{
                "tree_param": {{"num_nodes": "19"}}, "left_children": {}, "right_children": {},
                "split_indices": {zeros}, "split_conditions": {zeros}, "default_left": {zeros}
            }}]}}}}
        }}}}"#,
        list(children(1).collect()),
        list(children(2).collect()),
    );
    for technique in Technique::available() {
        let ensemble = Ensemble::from_bytes_by(model.as_bytes(), Choice::Only(technique)).unwrap();
        assert_eq!(ensemble.plan().one, Technique::Walk);
        let ensemble = Ensemble::from_bytes_by(&golden("multi_softprob.ubj"), Choice::Only(technique)).unwrap();
        assert_eq!((ensemble.plan().one, ensemble.plan().many), (technique, technique));
    }
}
