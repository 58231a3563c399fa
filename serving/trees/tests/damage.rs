//! Damaged files: whatever happens to the bytes, reading ends with a model or an error, and such a model predicts.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use lakeloop_trees::Ensemble;

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)).unwrap()
}

/// Reads the bytes and, if they make a model, predicts rows of every kind of value. Returns whether they did.
fn check(model: &[u8]) -> bool {
    let Ok(ensemble) = Ensemble::from_bytes(model) else {
        return false;
    };
    if ensemble.n_features() > 1000 {
        return true; // sound, but rows of it would fill the memory of the test
    }
    let mut out = vec![0.0; ensemble.n_outputs()];
    for value in [
        f32::NAN,
        f32::NEG_INFINITY,
        f32::INFINITY,
        f32::MIN,
        f32::MAX,
        -1.0,
        -0.0,
        0.3,
        17.0,
        16777215.0,
    ] {
        ensemble
            .margins_into(&vec![value; ensemble.n_features()], &mut out)
            .unwrap();
        ensemble
            .predict_into(&vec![value; ensemble.n_features()], &mut out)
            .unwrap();
    }
    true
}

/// splitmix64 (Steele, Lea, Flood 2014)
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

#[test]
fn every_byte_of_a_ubjson_flipped() {
    for (file, bits) in [
        ("categorical_partition.ubj", [0, 6, 7].as_slice()),
        ("base_score_edge.ubj", &[1, 2, 3, 4, 5]),
    ] {
        let mut model = golden(file);
        let mut n_sound = 0;
        for at in 0..model.len() {
            for bit in bits {
                model[at] ^= 1 << bit;
                n_sound += usize::from(check(&model));
                model[at] ^= 1 << bit;
            }
        }
        // Statistics and leaves may change freely; markers, lengths and links may not.
        assert!(n_sound > 0 && n_sound < bits.len() * model.len(), "{file}: {n_sound}");
    }
}

#[test]
fn every_character_of_a_json_replaced() {
    let mut model = golden("base_score_given.json");
    for at in 0..model.len() {
        let kept = model[at];
        for replacement in *b"0-9E\"[]{},:xNI\\\xff" {
            model[at] = replacement;
            check(&model);
        }
        model[at] = kept;
    }
}

#[test]
fn every_truncation() {
    for file in [
        "categorical_partition.ubj",
        "categorical_partition.json",
        "dart_2_1.json",
        "dart.ubj",
    ] {
        let model = golden(file);
        for end in 0..model.len() {
            assert!(!check(&model[..end]), "{file} cut at {end}");
        }
    }
}

#[test]
fn many_mutations_at_once() {
    let mut random = Random(20_240_607);
    let files = [
        "categorical_partition.ubj",
        "categorical_onehot.json",
        "dart.ubj",
        "multi_softprob.ubj",
        "pruned.ubj",
    ];
    for file in files {
        let sound = golden(file);
        for _ in 0..5_000 {
            let mut model = sound.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(model.len());
                match random.below(5) {
                    0 => model[at] = random.next() as u8,
                    1 => model[at] ^= 1 << random.below(8),
                    2 => drop(model.remove(at)),
                    3 => model.insert(at, random.next() as u8),
                    _ => {
                        let length = random.below(16).min(model.len() - at);
                        let from = random.below(model.len() - length + 1);
                        model.copy_within(from..from + length, at);
                    }
                }
            }
            check(&model);
        }
    }
}
