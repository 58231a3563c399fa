//! Empties the one field of saved models that nobody reads once the trees have grown, so that they compress better.
//!
//! `base_weights` holds what each node, leaves included, would answer if the tree ended there, before the learning rate. Predictions
//! come from the leaves in `split_conditions`, gains from `loss_changes`, SHAP values from the leaves and `sum_hessian`. XGBoost wants the
//! field all the same, so its numbers become zeros and every other byte stays.

use memchr::memmem;

/// The beginning of the field in UBJSON as XGBoost writes it: the key with its length, then an array of 32-bit floats,
/// whose length follows in eight bytes, big-endian.
const BASE_WEIGHTS: &[u8] = b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L";

/// The same model without base weights. A field that is written in another way stays as it is.
pub(super) fn without_base_weights(mut saved: Vec<u8>) -> Vec<u8> {
    let ends: Vec<usize> = memmem::find_iter(&saved, BASE_WEIGHTS)
        .map(|start| start + BASE_WEIGHTS.len())
        .collect();
    for end in ends {
        let Some((length, rest)) = saved[end..].split_first_chunk_mut::<8>() else {
            continue;
        };
        let n_bytes = usize::try_from(u64::from_be_bytes(*length))
            .ok()
            .and_then(|n_nodes| n_nodes.checked_mul(size_of::<f32>()));
        if let Some(weights) = n_bytes.and_then(|n_bytes| rest.get_mut(..n_bytes)) {
            weights.fill(0);
        }
    }
    saved
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use lakeloop_lake::artifact::packed;
    use xgb::{Booster, DMatrix};

    use super::*;

    /// Everything that libxgboost tells of a model, for these rows, bit for bit.
    fn told(model: &[u8], rows: &[f32], n_rows: usize) -> (Vec<u32>, Vec<u32>, Vec<String>) {
        let booster = Booster::load_buffer(model).unwrap();
        let matrix = DMatrix::from_dense(rows, n_rows).unwrap();
        let bits = |numbers: Vec<f32>| numbers.into_iter().map(f32::to_bits).collect();
        (
            bits(booster.predict(&matrix).unwrap()),
            bits(booster.predict_contributions(&matrix).unwrap().0),
            booster.dump_model_vec(true).unwrap(),
        )
    }

    #[test]
    fn a_model_without_base_weights_predicts_and_explains_the_same() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../serving/trees/tests/golden");
        for name in [
            "binary_logistic",
            "binary_logistic_1_6",
            "multi_softprob_3_2",
            "dart",
            "quantile_two",
            "leaf_wise",
        ] {
            let saved = std::fs::read(golden.join(format!("{name}.ubj"))).unwrap();
            let expected = std::fs::read(golden.join(format!("{name}.expected.json"))).unwrap();
            let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
            let rows = expected["rows"].as_array().unwrap();
            let cells = rows.iter().flat_map(|row| row.as_array().unwrap());
            let values: Vec<f32> = cells
                .map(|cell| cell.as_f64().map_or(f32::NAN, |number| number as f32))
                .collect();
            let emptied = without_base_weights(saved.clone());
            assert_ne!(emptied, saved, "{name} has base weights");
            assert_eq!(emptied.len(), saved.len());
            assert!(packed(&emptied).len() < packed(&saved).len(), "{name}");
            assert_eq!(
                told(&emptied, &values, rows.len()),
                told(&saved, &values, rows.len()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_looks_like_the_field_and_is_not_stays() {
        for bytes in [
            &b"L\0\0\0\0\0\0\0\x0cbase_weights[#L\0\0\0\0\0\0\0\x01d????"[..],
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\0\0\0\0\0\0\0\x02????",
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\xff\xff\xff\xff\xff\xff\xff\xff????",
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\0\0",
            b"",
        ] {
            assert_eq!(without_base_weights(bytes.to_vec()), bytes);
        }
    }
}
