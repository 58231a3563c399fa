//! Takes out of saved models what nobody reads once the trees have grown, so that they compress better.
//!
//! ```text
//! base_weights   what a node would answer if the tree ended there   nobody reads it     zeros
//! loss_changes   what a split gains                                 importance          to 8 binary digits, 0.4 %
//! sum_hessian    how much of the rows a node covers                 SHAP values         leaves within a 32nd; sums of these
//! ```
//!
//! Predictions come from none of them, so they stay as they are to the last bit. SHAP values need the covers of two children to
//! sum to that of their parent; each tree's leaves are therefore rounded down to multiples of one step, and its other nodes are
//! summed anew, without error. XGBoost wants the fields all the same, so every other byte stays.

use std::ops::Range;

use memchr::memmem;

/// How many steps there are in the cover of a tree's least leaf, when that is rounded down to a power of two.
const STEPS_OF_THE_LEAST_LEAF: f32 = 32.0;

/// Sums of fewer steps than this are exact in 32-bit floats.
const MOST_STEPS: f32 = 16_777_216.0;

/// The low bits of a 32-bit float that a gain does without.
const GAIN_BITS_LESS: u32 = 16;

/// The same model, leaner. A model whose fields are written in another way stays as it is.
pub(super) fn lean(mut saved: Vec<u8>) -> Vec<u8> {
    let trees = Trees::of(&saved);
    for weights in trees.base_weights {
        saved[weights].fill(0);
    }
    for gains in trees.loss_changes {
        for gain in saved[gains].as_chunks_mut::<4>().0 {
            *gain = rounded(f32::from_be_bytes(*gain)).to_be_bytes();
        }
    }
    let children = trees.left_children.iter().zip(&trees.right_children);
    for ((left, right), covers) in children.zip(trees.sum_hessian) {
        let child = |of: &Range<usize>| -> Vec<i32> {
            let numbers = saved[of.clone()].as_chunks::<4>().0.iter();
            numbers.map(|number| i32::from_be_bytes(*number)).collect()
        };
        let (left, right) = (child(left), child(right));
        let cells = saved[covers].as_chunks_mut::<4>().0;
        let mut numbers: Vec<f32> = cells.iter().map(|cover| f32::from_be_bytes(*cover)).collect();
        if step_covers(&left, &right, &mut numbers).is_some() {
            for (cell, cover) in cells.iter_mut().zip(numbers) {
                *cell = cover.to_be_bytes();
            }
        }
    }
    saved
}

/// Where the fields of each tree are, one after the other: the bytes of their numbers.
struct Trees {
    base_weights: Vec<Range<usize>>,
    left_children: Vec<Range<usize>>,
    loss_changes: Vec<Range<usize>>,
    right_children: Vec<Range<usize>>,
    sum_hessian: Vec<Range<usize>>,
}

impl Trees {
    fn of(saved: &[u8]) -> Self {
        let mut trees = Self {
            base_weights: arrays(saved, "base_weights", b'd'),
            left_children: arrays(saved, "left_children", b'l'),
            loss_changes: arrays(saved, "loss_changes", b'd'),
            right_children: arrays(saved, "right_children", b'l'),
            sum_hessian: arrays(saved, "sum_hessian", b'd'),
        };
        // Fields belong to one tree by their order only, so each tree has to have them all.
        let lengths = |ranges: &[Range<usize>]| ranges.iter().map(ExactSizeIterator::len).collect::<Vec<_>>();
        let of_covers = lengths(&trees.sum_hessian);
        if [&trees.left_children, &trees.right_children]
            .iter()
            .any(|field| lengths(field) != of_covers)
        {
            trees.sum_hessian.clear();
        }
        trees
    }
}

/// The arrays under a key in UBJSON as XGBoost writes it: the key with its length, then numbers of one kind (`d`: 32-bit floats, `l`:
/// 32-bit whole numbers), whose count comes first. Everything is big-endian.
fn arrays(saved: &[u8], key: &str, kind: u8) -> Vec<Range<usize>> {
    let mut begins = vec![b'L'];
    begins.extend((key.len() as u64).to_be_bytes());
    begins.extend(key.as_bytes());
    begins.extend([b'[', b'$', kind, b'#', b'L']);
    let found = memmem::find_iter(saved, &begins).filter_map(|start| {
        let (count, rest) = saved[start + begins.len()..].split_first_chunk::<8>()?;
        let n_bytes = usize::try_from(u64::from_be_bytes(*count)).ok()?.checked_mul(4)?;
        let from = saved.len() - rest.len();
        (n_bytes <= rest.len()).then(|| from..from + n_bytes)
    });
    found.collect()
}

/// The nearest float of fewer binary digits; what is no number, and what would become infinite, stays.
fn rounded(gain: f32) -> f32 {
    let (dropped, half) = ((1 << GAIN_BITS_LESS) - 1, 1 << (GAIN_BITS_LESS - 1));
    let nearest = f32::from_bits(gain.to_bits().wrapping_add(half) & !dropped);
    if gain.is_finite() && nearest.is_finite() {
        nearest
    } else {
        gain
    }
}

/// Rounds the covers of the leaves down and sums those of the other nodes; doing so again changes nothing. `None`, after which
/// all is as before, for a tree whose children do not come after their parents, whose least leaf covers nothing, or whose
/// sums would not be exact.
fn step_covers(left: &[i32], right: &[i32], covers: &mut [f32]) -> Option<()> {
    let leaves = left.iter().zip(&*covers).filter(|(left, _)| **left < 0);
    let least = leaves.map(|(_, cover)| *cover).fold(f32::INFINITY, f32::min);
    let step = (least.is_normal() && least > 0.0).then(|| power_of_two(least) / STEPS_OF_THE_LEAST_LEAF)?;
    let mut summed = covers.to_vec();
    for node in (0..covers.len()).rev() {
        summed[node] = match (usize::try_from(left[node]), usize::try_from(right[node])) {
            (Ok(left), Ok(right)) if left.min(right) > node => summed.get(left)? + summed.get(right)?,
            (Err(_), _) => (covers[node] / step).floor() * step,
            _ => return None,
        };
        // False for what is no number, too.
        let is_exact = summed[node] / step < MOST_STEPS;
        if !is_exact {
            return None;
        }
    }
    covers.copy_from_slice(&summed);
    Some(())
}

/// The largest power of two that is not above a normal positive number: the number without its fraction.
fn power_of_two(number: f32) -> f32 {
    f32::from_bits(number.to_bits() & f32::INFINITY.to_bits())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use lakeloop_lake::artifact::packed;
    use xgb::{Booster, DMatrix};

    use super::*;

    const GOLDEN: [&str; 6] = [
        "binary_logistic",
        "binary_logistic_1_6",
        "multi_softprob_3_2",
        "dart",
        "quantile_two",
        "leaf_wise",
    ];

    /// A model that XGBoost saved, its rows one after the other, and how many there are.
    fn golden(name: &str) -> (Vec<u8>, Vec<f32>, usize) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../serving/trees/tests/golden");
        let saved = std::fs::read(folder.join(format!("{name}.ubj"))).unwrap();
        let expected = std::fs::read(folder.join(format!("{name}.expected.json"))).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        let rows = expected["rows"].as_array().unwrap();
        let cells = rows.iter().flat_map(|row| row.as_array().unwrap());
        let values = cells.map(|cell| cell.as_f64().map_or(f32::NAN, |number| number as f32));
        (saved, values.collect(), rows.len())
    }

    /// What libxgboost tells of a model for these rows: predictions before the link, SHAP values with the mean last, and gains.
    fn told(model: &[u8], rows: &[f32], n_rows: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
        let booster = Booster::load_buffer(model).unwrap();
        let matrix = DMatrix::from_dense(rows, n_rows).unwrap();
        let dump = booster.dump_model_vec(true).unwrap();
        let gains = dump.iter().flat_map(|tree| tree.split("gain=").skip(1));
        (
            booster.predict_margin(&matrix).unwrap(),
            booster.predict_contributions(&matrix).unwrap().0,
            gains
                .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
                .collect(),
        )
    }

    #[test]
    fn a_lean_model_predicts_the_same_and_explains_nearly_the_same() {
        for name in GOLDEN {
            let (saved, values, n_rows) = golden(name);
            let leaner = lean(saved.clone());
            assert_eq!(leaner.len(), saved.len());
            assert!(packed(&leaner).len() < packed(&saved).len() * 9 / 10, "{name}");
            assert_eq!(lean(leaner.clone()), leaner, "{name}: once is enough");
            let (margins, shap, gains) = told(&saved, &values, n_rows);
            let (lean_margins, lean_shap, lean_gains) = told(&leaner, &values, n_rows);
            let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&lean_margins), bits(&margins), "{name}");
            for (lean_gain, gain) in lean_gains.iter().zip(&gains) {
                assert!(
                    (lean_gain - gain).abs() <= gain * 0.004,
                    "{name}: {lean_gain} for {gain}"
                );
            }
            let largest = shap.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
            let apart = shap
                .iter()
                .zip(&lean_shap)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(apart <= largest * 0.02, "{name}: {apart} of {largest}");
            // They sum to the margin, as XGBoost's own do.
            let n_terms = shap.len() / margins.len();
            for (terms, margin) in lean_shap.chunks(n_terms).zip(&margins) {
                let sum: f32 = terms.iter().sum();
                assert!(
                    (sum - margin).abs() <= 1e-4 * (1.0 + margin.abs()),
                    "{name}: {sum} for {margin}"
                );
            }
        }
    }

    #[test]
    fn covers_are_multiples_of_a_step_and_sum() {
        // 0 ─┬─ 1 (least leaf, 1.3: steps of a 32nd)
        //    └─ 2 ─┬─ 3
        //          └─ 4
        let (left, right) = ([1, -1, 3, -1, -1], [2, -1, 4, -1, -1]);
        let mut covers = [100.0, 1.3, 98.7, 40.01, 58.69];
        step_covers(&left, &right, &mut covers).unwrap();
        assert_eq!(covers, [99.96875, 1.28125, 98.6875, 40.0, 58.6875]);
        for (name, left, covers) in [
            (
                "a child before its parent",
                [0, -1, 3, -1, -1],
                [100.0, 1.3, 98.7, 40.01, 58.69],
            ),
            (
                "a child that is not there",
                [1, -1, 9, -1, -1],
                [100.0, 1.3, 98.7, 40.01, 58.69],
            ),
            (
                "a leaf without rows",
                [1, -1, 3, -1, -1],
                [100.0, 0.0, 100.0, 40.0, 60.0],
            ),
            ("sums that are not exact", [1, -1, 3, -1, -1], [6e8, 1.3, 6e8, 3e8, 3e8]),
            ("no number", [1, -1, 3, -1, -1], [100.0, 1.3, 98.7, f32::NAN, 58.69]),
        ] {
            let mut same = covers;
            assert_eq!(step_covers(&left, &right, &mut same), None, "{name}");
            assert_eq!(same.map(f32::to_bits), covers.map(f32::to_bits), "{name}");
        }
    }

    #[test]
    fn gains_keep_eight_binary_digits() {
        for (gain, kept) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (1.003, 1.0),
            (1.005, 1.007_812_5),
            (5.3, 5.312_5),
            (-2.0, -2.0),
            (f32::MAX, f32::MAX),
            (f32::INFINITY, f32::INFINITY),
        ] {
            assert_eq!(rounded(gain), kept, "{gain}");
        }
        assert!(rounded(f32::NAN).is_nan());
    }

    #[test]
    fn what_looks_like_the_field_and_is_not_stays() {
        for bytes in [
            &b"L\0\0\0\0\0\0\0\x0cbase_weights[#L\0\0\0\0\0\0\0\x01d????"[..],
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\0\0\0\0\0\0\0\x02????",
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\xff\xff\xff\xff\xff\xff\xff\xff????",
            b"L\0\0\0\0\0\0\0\x0cbase_weights[$d#L\0\0",
            b"L\0\0\0\0\0\0\0\x0bsum_hessian[$d#L\0\0\0\0\0\0\0\x01????",
            b"",
        ] {
            assert_eq!(lean(bytes.to_vec()), bytes);
        }
    }
}
