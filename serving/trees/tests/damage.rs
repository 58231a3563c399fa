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
    // One row, and as many as are taken at once.
    let mut one = vec![0.0; ensemble.n_outputs()];
    let mut many = vec![0.0; 64 * ensemble.n_outputs()];
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
        let rows = vec![value; 64 * ensemble.n_features()];
        ensemble.predict_into(&rows[..ensemble.n_features()], &mut one).unwrap();
        ensemble.margins_into(&rows, &mut many).unwrap();
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
    let corpus = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")).unwrap();
    let mut files: Vec<_> = corpus.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.to_string_lossy();
        !name.ends_with(".py") && !name.ends_with(".expected.json")
    });
    files.sort();
    assert!(files.len() > 100, "the corpus is the golden models");
    for file in files {
        let sound = std::fs::read(file).unwrap();
        for _ in 0..200 {
            let mut model = sound.clone();
            for _ in 0..1 + random.below(4) {
                mutate(&mut model, &mut random);
            }
            check(&model);
        }
    }
}

#[test]
fn what_the_fuzzer_kept() {
    let corpus = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/model")).unwrap();
    let models: Vec<Vec<u8>> = corpus
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let n_sound = models.iter().filter(|model| check(model)).count();
    assert!(n_sound > 0 && n_sound < models.len(), "{n_sound} of {}", models.len());
}

/// Bytes that mean something to one of the parsers.
const MARKS: &[u8] = b"[]{}\"'$#,:-0123456789.eENIiUlLdDSCTFZ\0\xff\x7f\x80";

/// One change of a kind that files suffer: bytes and bits altered, lost, added, moved, or a number made extreme.
fn mutate(model: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(model.len());
    match random.below(7) {
        0 => model[at] = random.next() as u8,
        1 => model[at] ^= 1 << random.below(8),
        2 => drop(model.remove(at)),
        3 => model.insert(at, random.next() as u8),
        4 => model[at] = MARKS[random.below(MARKS.len())],
        5 => {
            // All ones, zeros, the ends of i32, the infinities of f32: big-endian, as UBJSON is.
            let numbers = [u32::MAX, 0, 1 << 31, i32::MAX as u32, 0x7f80_0000, 0xff80_0000];
            let number = numbers[random.below(numbers.len())].to_be_bytes();
            let length = number.len().min(model.len() - at);
            model[at..at + length].copy_from_slice(&number[..length]);
        }
        _ => {
            let length = random.below(16).min(model.len() - at);
            let from = random.below(model.len() - length + 1);
            model.copy_within(from..from + length, at);
        }
    }
}
