//! Owns the technique for one row: all splits at the same place of 64 trees are asked at once.
//!
//! With AVX-512 the codes of a row lie in registers (64 a register), where one permutation finds the code that each of
//! the 64 splits asks for and one comparison answers them. Without it the 64 trees are gone down side by side, a level
//! at a time: no step waits for the one before, and splits of two bytes keep a model in the first-level cache.

use crate::complete::{Block, CompleteTrees, N_TREES, Splits};
use crate::encode::{MAX_COLUMNS, RowCodes, count};
use crate::isa::InstructionSet;
use crate::layout::{CategorySets, Tree};

/// Adds each tree's leaf to its output, in the order of the trees. `row` has one value a feature, `margins` one an output.
pub(crate) fn add_leaves(
    complete: &CompleteTrees,
    sets: &CategorySets,
    trees: &[Tree],
    isa: InstructionSet,
    row: &[f32],
    margins: &mut [f32],
) {
    let mut codes = [0; MAX_COLUMNS];
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the proof in `isa` says that the processor has the instructions.
        InstructionSet::Avx512(_) => unsafe { avx512::encode_row(complete, sets, row, &mut codes) },
        _ => complete.encoding.encode_row(sets, row, &mut codes, count),
    }
    for (block, trees) in complete.blocks.iter().zip(trees.chunks(N_TREES)) {
        let splits = complete.splits(block);
        let leaf_idxs = match isa {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512(_) if block.n_trees > FEW_TREES => {
                // SAFETY: the proof in `isa` says that the processor has the instructions.
                unsafe { avx512::leaf_idxs(splits, block, complete.encoding.n_columns(), &codes) }
            }
            _ => leaf_idxs(splits, block, &codes),
        };
        let leaves = complete.leaves(block).chunks_exact(block.n_leaves());
        if let [margin] = margins {
            *margin = leaves
                .zip(leaf_idxs)
                .fold(*margin, |sum, (leaves, idx)| sum + leaves[usize::from(idx)]);
        } else {
            for ((leaves, idx), tree) in leaves.zip(leaf_idxs).zip(trees) {
                margins[tree.output as usize] += leaves[usize::from(idx)];
            }
        }
    }
}

/// Up to so many trees of a block are gone down faster than all of its splits are asked.
const FEW_TREES: usize = 12;
/// The trees that are gone down side by side.
const SIDE_BY_SIDE: usize = 8;

/// The leaf of each tree of the block, for any processor.
fn leaf_idxs(splits: &[Splits], block: &Block, codes: &RowCodes) -> [u8; N_TREES] {
    let mut leaf_idxs = [0; N_TREES];
    for first in (0..block.n_trees).step_by(SIDE_BY_SIDE) {
        let mut places = [1; SIDE_BY_SIDE];
        for _ in 0..block.depth {
            for (lane, place) in places.iter_mut().enumerate() {
                let splits = &splits[*place];
                let (column, limit) = (splits.columns[first + lane], splits.limits[first + lane]);
                *place = 2 * *place + usize::from(codes[usize::from(column)] >= limit);
            }
        }
        for (lane, place) in places.into_iter().enumerate() {
            leaf_idxs[first + lane] = (place - block.n_places()) as u8;
        }
    }
    leaf_idxs
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use crate::complete::{Block, CompleteTrees, N_TREES, Splits, turns};
    use crate::encode::{MAX_COLUMNS, RowCodes};
    use crate::layout::CategorySets;
    use crate::simd;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    pub fn encode_row(complete: &CompleteTrees, sets: &CategorySets, row: &[f32], codes: &mut RowCodes) {
        complete
            .encoding
            .encode_row(sets, row, codes, |numbers, value| simd::count(numbers, value));
    }

    /// The leaf of each tree of the block.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    pub fn leaf_idxs(splits: &[Splits], block: &Block, n_columns: usize, codes: &RowCodes) -> [u8; N_TREES] {
        match block.depth {
            1 => of_columns::<1, 2>(splits, n_columns, codes),
            2 => of_columns::<2, 4>(splits, n_columns, codes),
            3 => of_columns::<3, 8>(splits, n_columns, codes),
            4 => of_columns::<4, 16>(splits, n_columns, codes),
            5 => of_columns::<5, 32>(splits, n_columns, codes),
            6 => of_columns::<6, 64>(splits, n_columns, codes),
            7 => of_columns::<7, 128>(splits, n_columns, codes),
            _ => of_columns::<8, 256>(splits, n_columns, codes),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    fn of_columns<const DEPTH: usize, const PLACES: usize>(
        splits: &[Splits],
        n_columns: usize,
        codes: &RowCodes,
    ) -> [u8; N_TREES] {
        let (quarters, _) = codes.as_chunks::<{ MAX_COLUMNS / 4 }>();
        let [a, b, c, d] = [0, 1, 2, 3].map(|quarter| simd::load(&quarters[quarter]));
        match n_columns {
            0..=64 => asked::<DEPTH, PLACES>(splits, |columns| _mm512_permutexvar_epi8(columns, a)),
            65..=128 => asked::<DEPTH, PLACES>(splits, |columns| _mm512_permutex2var_epi8(a, columns, b)),
            _ => asked::<DEPTH, PLACES>(splits, |columns| {
                let low = _mm512_permutex2var_epi8(a, columns, b);
                let high = _mm512_permutex2var_epi8(c, columns, d);
                _mm512_mask_blend_epi8(_mm512_movepi8_mask(columns), low, high)
            }),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    #[inline]
    fn asked<const DEPTH: usize, const PLACES: usize>(
        splits: &[Splits],
        codes_of: impl Fn(__m512i) -> __m512i,
    ) -> [u8; N_TREES] {
        let Some(splits) = splits.first_chunk::<PLACES>() else {
            return [0; N_TREES]; // never: there are as many as the depth asks for
        };
        let mut turns_right = [0; PLACES];
        for (right, splits) in turns_right.iter_mut().zip(splits) {
            *right = _mm512_cmpge_epu8_mask(codes_of(simd::load(&splits.columns)), simd::load(&splits.limits));
        }
        simd::store(simd::numbers_of_digits(&turns::<u64, DEPTH, PLACES>(&mut turns_right)))
    }
}
