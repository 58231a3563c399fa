//! Any bytes as a model: reading ends with a model or an error, and every technique gives the model's rows the same margins.
#![no_main]

use lakeloop_trees::{Choice, Ensemble, Technique};
use libfuzzer_sys::fuzz_target;

/// A row that is wider costs time and finds nothing new.
const MOST_FEATURES: usize = 64;

/// As many as are taken at once, and some that are left over.
const N_ROWS: usize = 64 + 3;

/// Missing, the ends of the numbers, categories in and out of range, and what lies between thresholds.
const VALUES: [f32; 12] = [
    f32::NAN,
    f32::NEG_INFINITY,
    f32::INFINITY,
    f32::MIN,
    f32::MAX,
    -1.0,
    -0.0,
    0.0,
    0.3,
    1.0,
    17.0,
    16_777_215.0,
];

fuzz_target!(|model: &[u8]| {
    let Ok(ensemble) = Ensemble::from_bytes(model) else {
        return;
    };
    let (n_features, n_outputs) = (ensemble.n_features(), ensemble.n_outputs());
    if n_features > MOST_FEATURES || n_outputs > MOST_FEATURES {
        return;
    }
    // Neighbours in a row and in a column differ, and each column gets every value.
    let rows: Vec<f32> = (0..N_ROWS * n_features)
        .map(|at| VALUES[(at / n_features * 5 + at % n_features * 7) % VALUES.len()])
        .collect();
    let mut predictions = vec![0.0; N_ROWS * n_outputs];
    ensemble.predict_into(&rows, &mut predictions).expect("the shapes fit");
    let expected = margins(&ensemble, &rows, n_outputs);
    for technique in Technique::available() {
        let ensemble = Ensemble::from_bytes_by(model, Choice::Only(technique)).expect("another choice reads the same");
        assert_eq!(margins(&ensemble, &rows, n_outputs), expected, "{technique}");
    }
});

/// The bits of the margins of all rows together, then of the first row alone.
fn margins(ensemble: &Ensemble, rows: &[f32], n_outputs: usize) -> Vec<u32> {
    let mut out = vec![0.0; (N_ROWS + 1) * n_outputs];
    let (many, one) = out.split_at_mut(N_ROWS * n_outputs);
    ensemble.margins_into(rows, many).expect("the shapes fit");
    ensemble
        .margins_into(&rows[..ensemble.n_features()], one)
        .expect("the shapes fit");
    out.into_iter().map(f32::to_bits).collect()
}
