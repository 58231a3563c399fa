//! Owns the technique for many rows: a split is asked of 64 rows at once, tree after tree.
//!
//! The codes of a column of 64 rows fill one vector of 512 bits, and one comparison with the split's limit answers it
//! for all of them with a mask. `complete::turns` makes the leaf's number of the masks of a tree, and permutations look
//! the leaves up. Without AVX-512 a mask is 64 bytes, and the compiler makes of them what vectors there are.
//!
//! Rows are taken as many times 64 as there is room for codes, and trees 16 at a time, so that both stay in the
//! first-level cache while each of the trees meets each of the rows.

use crate::complete::{CompleteTrees, MAX_DEPTH, N_TREES, Splits, turns};
use crate::encode::{self, ColumnCodes, MAX_COLUMNS, N_ROWS};
use crate::isa::InstructionSet;
use crate::layout::{CategorySets, Tree};
#[cfg(target_arch = "x86_64")]
use crate::simd;

/// The times 64 rows that are evaluated together, if their codes leave the room.
const MAX_SETS: usize = 8;
/// The trees that meet all rows of the moment before the next ones come.
const TREES_AT_A_TIME: usize = 16;

/// The places of the deepest trees.
const MAX_PLACES: usize = 1 << MAX_DEPTH;

/// Rows and what comes of them, row by row.
pub(crate) struct Rows<'a> {
    /// `[n_rows, n_features]`
    pub values: &'a [f32],
    pub n_features: usize,
    /// `[n_rows, n_outputs]`; the leaves are added to them.
    pub margins: &'a mut [f32],
    pub n_outputs: usize,
}

/// The codes of as many times 64 rows as there is room for, set after set, a column each.
/// After the first column of a set there is room for as many as a byte can name.
type Codes = [ColumnCodes; 2 * MAX_COLUMNS - 1];
/// The limits of 16 trees, place by place; each four times over, as vectors are filled with.
type Limits = [[u32; TREES_AT_A_TIME]; MAX_PLACES];
/// The leaves of 64 rows, tree by tree.
type Leaves = [[f32; N_ROWS]; TREES_AT_A_TIME];

/// Up to 16 trees of a block.
struct SomeTrees<'a> {
    depth: usize,
    splits: &'a [Splits],
    /// The place of the first one in the block.
    first: usize,
    trees: &'a [Tree],
    leaves: &'a [f32],
}

impl SomeTrees<'_> {
    /// The leaves of each tree.
    fn leaves(&self) -> impl Iterator<Item = &[f32]> {
        self.leaves.chunks_exact(self.leaves.len() / self.trees.len())
    }
}

/// What is worked on, of the size that serves every model.
struct Scratch {
    codes: Codes,
    leaves: Leaves,
    limits: Limits,
}

/// Adds each tree's leaf to its output, in the order of the trees.
pub(crate) fn add_leaves(
    complete: &CompleteTrees,
    categories: &CategorySets,
    trees: &[Tree],
    isa: InstructionSet,
    rows: Rows<'_>,
) {
    let n_columns = complete.encoding.n_columns().max(1);
    let n_sets = (MAX_COLUMNS / n_columns).min(MAX_SETS);
    let mut scratch = Scratch {
        codes: [[0; N_ROWS]; 2 * MAX_COLUMNS - 1],
        leaves: [[0.0; N_ROWS]; TREES_AT_A_TIME],
        limits: [[0; TREES_AT_A_TIME]; MAX_PLACES],
    };
    let n_together = n_sets * N_ROWS;
    let mut to_come = rows.values;
    for margins in rows.margins.chunks_mut(n_together * rows.n_outputs) {
        let (values, later) = to_come.split_at(to_come.len().min(n_together * rows.n_features));
        to_come = later;
        let sets = values.chunks(N_ROWS * rows.n_features);
        for (values, codes) in sets.zip(scratch.codes.chunks_exact_mut(n_columns)) {
            encode_set(complete, categories, isa, values, rows.n_features, codes);
        }
        // The next rows come from memory while trees are asked about these.
        let next = &later[..later.len().min(values.len())];
        let n_turns = trees.len().div_ceil(TREES_AT_A_TIME).max(1);
        let mut next = next.chunks(next.len().div_ceil(n_turns).max(1));
        for some in some_trees(complete, trees) {
            next.next().into_iter().for_each(fetch);
            meet(&some, isa, &mut scratch, n_columns, margins, rows.n_outputs);
        }
    }
}

/// Asks for values that will be read soon.
fn fetch(values: &[f32]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    values.chunks(simd::LINE / size_of::<f32>()).for_each(simd::fetch);
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = values; // the processor guesses
}

/// All trees in their order.
fn some_trees<'a>(complete: &'a CompleteTrees, trees: &'a [Tree]) -> impl Iterator<Item = SomeTrees<'a>> {
    let blocks = complete.blocks.iter().zip(trees.chunks(N_TREES));
    blocks.flat_map(|(block, trees)| {
        let (n_leaves, leaves) = (block.n_leaves(), complete.leaves(block));
        let some = trees
            .chunks(TREES_AT_A_TIME)
            .zip(leaves.chunks(TREES_AT_A_TIME * n_leaves));
        some.enumerate().map(|(some_idx, (trees, leaves))| SomeTrees {
            depth: block.depth,
            splits: complete.splits(block),
            first: some_idx * TREES_AT_A_TIME,
            trees,
            leaves,
        })
    })
}

/// Writes the codes of up to 64 rows.
fn encode_set(
    complete: &CompleteTrees,
    categories: &CategorySets,
    isa: InstructionSet,
    values: &[f32],
    n_features: usize,
    codes: &mut [ColumnCodes],
) {
    match isa {
        // SAFETY: the proof in `isa` says that the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(_) => unsafe { avx512::encode_set(complete, categories, values, n_features, codes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(_) => unsafe { avx2::encode_set(complete, categories, values, n_features, codes) },
        _ => complete
            .encoding
            .encode_rows(categories, values, n_features, codes, encode::count),
    }
}

/// Adds the leaves of the trees to the margins of all encoded rows.
fn meet(
    some: &SomeTrees<'_>,
    isa: InstructionSet,
    scratch: &mut Scratch,
    n_columns: usize,
    margins: &mut [f32],
    n_outputs: usize,
) {
    match isa {
        // SAFETY: the proof in `isa` says that the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(_) => unsafe { avx512::meet(some, scratch, n_columns, margins, n_outputs) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(_) => unsafe { avx2::meet(some, scratch, n_columns, margins, n_outputs) },
        _ => baseline::meet(some, scratch, n_columns, margins, n_outputs),
    }
}

/// The columns of each set of 64 rows start at the first; these are its margins.
#[inline(always)]
fn sets(n_columns: usize, margins: &mut [f32], n_outputs: usize) -> impl Iterator<Item = (usize, &mut [f32])> {
    let sets = margins.chunks_mut(N_ROWS * n_outputs).enumerate();
    sets.map(move |(set_idx, margins)| (set_idx * n_columns, margins))
}

/// Adds up leaves in the order of the trees.
#[inline(always)]
fn add(leaves: &Leaves, trees: &[Tree], n_outputs: usize, margins: &mut [f32]) {
    if n_outputs > 1 {
        for (leaves, tree) in leaves.iter().zip(trees) {
            let margins = margins.iter_mut().skip(tree.output as usize).step_by(n_outputs);
            margins.zip(leaves).for_each(|(margin, leaf)| *margin += leaf);
        }
        return;
    }
    let (sixteens, rest) = margins.as_chunks_mut::<16>();
    for (some_idx, sums) in sixteens.iter_mut().enumerate() {
        for leaves in &leaves[..trees.len()] {
            let leaves = &leaves.as_chunks::<16>().0[some_idx];
            sums.iter_mut().zip(leaves).for_each(|(sum, leaf)| *sum += leaf);
        }
    }
    let first = sixteens.len() * 16;
    for leaves in &leaves[..trees.len()] {
        rest.iter_mut()
            .zip(&leaves[first..])
            .for_each(|(sum, leaf)| *sum += leaf);
    }
}

/// What every processor can do; vectors are the compiler's.
mod baseline {
    use super::*;

    #[inline(always)]
    pub fn meet(some: &SomeTrees<'_>, scratch: &mut Scratch, n_columns: usize, margins: &mut [f32], n_outputs: usize) {
        for (first_column, margins) in sets(n_columns, margins, n_outputs) {
            match some.depth {
                1 => find::<1, 2>(some, scratch, first_column),
                2 => find::<2, 4>(some, scratch, first_column),
                3 => find::<3, 8>(some, scratch, first_column),
                4 => find::<4, 16>(some, scratch, first_column),
                5 => find::<5, 32>(some, scratch, first_column),
                6 => find::<6, 64>(some, scratch, first_column),
                7 => find::<7, 128>(some, scratch, first_column),
                _ => find::<8, 256>(some, scratch, first_column),
            }
            add(&scratch.leaves, some.trees, n_outputs, margins);
        }
    }

    #[inline(always)]
    fn find<const DEPTH: usize, const PLACES: usize>(some: &SomeTrees<'_>, scratch: &mut Scratch, first_column: usize) {
        for (tree_idx, (leaves, found)) in some.leaves().zip(&mut scratch.leaves).enumerate() {
            let mut turns_right = [[0; N_ROWS]; PLACES];
            for (right, splits) in turns_right.iter_mut().zip(some.splits) {
                let limit = splits.limits[some.first + tree_idx];
                let column = first_column + usize::from(splits.columns[some.first + tree_idx]);
                let codes = &scratch.codes[column];
                for (right, code) in right.iter_mut().zip(codes) {
                    *right = if *code >= limit { u8::MAX } else { 0 };
                }
            }
            let turns = turns::<ColumnCodes, DEPTH, PLACES>(&mut turns_right);
            let mut leaf_idxs = [0; N_ROWS];
            for (level, turned) in turns.iter().enumerate() {
                let digit = 1 << (DEPTH - 1 - level);
                leaf_idxs
                    .iter_mut()
                    .zip(turned)
                    .for_each(|(idx, turned)| *idx |= turned & digit);
            }
            for (found, leaf_idx) in found.iter_mut().zip(leaf_idxs) {
                *found = leaves[usize::from(leaf_idx)];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;

    #[target_feature(enable = "avx2")]
    pub fn encode_set(
        complete: &CompleteTrees,
        categories: &CategorySets,
        values: &[f32],
        n_features: usize,
        codes: &mut [ColumnCodes],
    ) {
        let encoding = &complete.encoding;
        encoding.encode_rows(categories, values, n_features, codes, encode::count);
    }

    #[target_feature(enable = "avx2")]
    pub fn meet(some: &SomeTrees<'_>, scratch: &mut Scratch, n_columns: usize, margins: &mut [f32], n_outputs: usize) {
        baseline::meet(some, scratch, n_columns, margins, n_outputs);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    pub fn encode_set(
        complete: &CompleteTrees,
        categories: &CategorySets,
        values: &[f32],
        n_features: usize,
        codes: &mut [ColumnCodes],
    ) {
        let count = |numbers: &[f32; 16], value| simd::count(numbers, value);
        complete
            .encoding
            .encode_rows(categories, values, n_features, codes, count);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    pub fn meet(some: &SomeTrees<'_>, scratch: &mut Scratch, n_columns: usize, margins: &mut [f32], n_outputs: usize) {
        for (limits, splits) in scratch.limits.iter_mut().zip(some.splits) {
            for (limit, narrow) in limits.iter_mut().zip(&splits.limits[some.first..]) {
                *limit = u32::from(*narrow) * 0x0101_0101;
            }
        }
        for (first_column, margins) in sets(n_columns, margins, n_outputs) {
            match some.depth {
                1 => find::<1, 2>(some, scratch, first_column),
                2 => find::<2, 4>(some, scratch, first_column),
                3 => find::<3, 8>(some, scratch, first_column),
                4 => find::<4, 16>(some, scratch, first_column),
                5 => find::<5, 32>(some, scratch, first_column),
                6 => find::<6, 64>(some, scratch, first_column),
                7 => find::<7, 128>(some, scratch, first_column),
                _ => find::<8, 256>(some, scratch, first_column),
            }
            add(&scratch.leaves, some.trees, n_outputs, margins);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    fn find<const DEPTH: usize, const PLACES: usize>(some: &SomeTrees<'_>, scratch: &mut Scratch, first_column: usize) {
        let splits = some.splits.first_chunk::<PLACES>();
        let codes = scratch.codes[first_column..].first_chunk::<MAX_COLUMNS>();
        let (Some(splits), Some(codes)) = (splits, codes) else {
            return; // never: there are as many splits as the depth asks for, and room for as many columns
        };
        for (tree_idx, (leaves, found)) in some.leaves().zip(&mut scratch.leaves).enumerate() {
            let mut turns_right = [0; PLACES];
            let splits = splits.iter().zip(&scratch.limits);
            for (right, (splits, limits)) in turns_right.iter_mut().zip(splits) {
                let column = splits.columns[(some.first + tree_idx) % N_TREES];
                let codes = simd::load(&codes[usize::from(column)]);
                let limit = _mm512_set1_epi32(limits[tree_idx % TREES_AT_A_TIME].cast_signed());
                *right = _mm512_cmpge_epu8_mask(codes, limit);
            }
            look_up(leaves, &turns::<u64, DEPTH, PLACES>(&mut turns_right), found);
        }
    }

    /// The leaf of each row, given the turns of its way. Two vectors hold the leaves of the last five turns; of the
    /// pairs of them the first turns choose.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,popcnt")]
    #[inline]
    fn look_up<const DEPTH: usize>(leaves: &[f32], turns: &[u64; DEPTH], found: &mut [f32; N_ROWS]) {
        let leaf_idxs = simd::numbers_of_digits(turns);
        let quarters = [
            _mm512_castsi512_si128(leaf_idxs),
            _mm512_extracti32x4_epi32::<1>(leaf_idxs),
            _mm512_extracti32x4_epi32::<2>(leaf_idxs),
            _mm512_extracti32x4_epi32::<3>(leaf_idxs),
        ];
        let n_pairs = 1 << DEPTH.saturating_sub(5);
        let (pairs, _) = leaves.as_chunks::<16>().0.as_chunks::<2>();
        let (found, _) = found.as_chunks_mut::<16>();
        for (quarter_idx, (quarter, found)) in quarters.into_iter().zip(found).enumerate() {
            let leaf_idxs = _mm512_cvtepu8_epi32(quarter);
            let mut of_pairs = [_mm512_setzero_ps(); 8];
            for (of_pair, [low, high]) in of_pairs.iter_mut().zip(&pairs[..n_pairs]) {
                *of_pair = _mm512_permutex2var_ps(simd::load_f32(low), leaf_idxs, simd::load_f32(high));
            }
            let mut n_pairs = n_pairs;
            for turned in &turns[..DEPTH.saturating_sub(5)] {
                let turned = (turned >> (16 * quarter_idx)) as u16;
                n_pairs /= 2;
                for pair_idx in 0..n_pairs {
                    of_pairs[pair_idx] = _mm512_mask_blend_ps(turned, of_pairs[pair_idx], of_pairs[pair_idx + n_pairs]);
                }
            }
            simd::store_f32(of_pairs[0], found);
        }
    }
}
