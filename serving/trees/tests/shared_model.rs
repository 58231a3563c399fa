//! Predictions of a large model (200 trees, depth 6, 50 features) against those that xgboost 3.2.0 made of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use lakeloop_trees::{Choice, Ensemble, Objective, Technique};

/// The folder of large inputs, which is not part of the repository.
fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("LAKELOOP_SHARED")
        .map_or_else(beside, PathBuf::from)
        .join("golden");
    folder.is_dir().then_some(folder)
}

/// The numbers of a .npy file of little-endian f32: a magic of 6 bytes, a version of 2, the header's length, the header.
fn npy(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"), "{file:?}");
    let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..header_end]);
    assert!(
        header.contains("'<f4'") && header.contains("'fortran_order': False"),
        "{header}"
    );
    bytes[header_end..]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

#[test]
fn a_large_model_predicts_as_xgboost_does() {
    let Some(folder) = shared() else {
        eprintln!("skipped: no folder of shared inputs");
        return;
    };
    let model = std::fs::read(folder.join("trees_200x6x50.ubj")).unwrap();
    let ensemble = Ensemble::from_bytes(&model).unwrap();
    assert_eq!(
        (ensemble.n_trees(), ensemble.n_features(), ensemble.n_outputs()),
        (200, 50, 1)
    );
    assert_eq!(ensemble.objective(), Objective::BinaryLogistic);

    let rows = npy(&folder.join("trees_rows.npy"));
    let expected = npy(&folder.join("trees_predictions.npy"));
    let mut found = vec![0.0; expected.len()];
    ensemble.predict_into(&rows, &mut found).unwrap();
    let largest = found
        .iter()
        .zip(&expected)
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f32::max);
    eprintln!(
        "largest difference of {} predictions: {largest:e}; {} bytes",
        found.len(),
        ensemble.n_bytes()
    );
    assert!(largest <= 1e-6, "{largest}");

    // 1000 rows at once and one by one, by every technique, to the last bit.
    for technique in Technique::available() {
        let other = Ensemble::from_bytes_by(&model, Choice::Only(technique)).unwrap();
        let mut margins = vec![0.0; expected.len()];
        other.predict_into(&rows, &mut margins).unwrap();
        assert_eq!(margins, found, "{technique}");
        for (row, expected) in rows.chunks(50).zip(&found) {
            other.predict_into(row, &mut margins[..1]).unwrap();
            assert_eq!(margins[0].to_bits(), expected.to_bits(), "{technique}");
        }
    }
}
