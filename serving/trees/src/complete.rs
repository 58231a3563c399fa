//! Owns complete trees: the evaluated form that both fast techniques share.
//!
//! Every tree is filled up to the same depth, so that its splits have fixed places (the root is 1, the children of split
//! i are 2i and 2i + 1; place 0 is empty) and its leaves are numbered by the turns that lead to them, right = 1, the root's turn
//! first. A leaf that stood higher is repeated below. Splits compare codes (see `encode`), so one takes two bytes.
//!
//! Trees come in blocks of 64, in their order. The splits at the same place of all trees of a block stand side by side,
//! so that one vector instruction asks them all: whole trees are asked and nothing branches. To ask every split of a
//! tree, 63 instead of the 6 on a way of depth 6, pays because 64 answers come at once. It stops paying as trees get
//! deeper, hence [`MAX_DEPTH`].

use crate::encode::{CodeSplits, Encoding};
use crate::layout::Layout;

/// The deepest trees that are made complete.
pub(crate) const MAX_DEPTH: usize = 8;
/// The trees of a block.
pub(crate) const N_TREES: usize = 64;
/// The fewest leaves that a tree has room for: what two vectors of 512 bits hold.
pub(crate) const MIN_LEAVES: usize = 32;

/// All trees of a model, complete.
#[derive(Debug)]
pub(crate) struct CompleteTrees {
    pub encoding: Encoding,
    pub blocks: Vec<Block>,
    splits: Vec<Splits>,
    leaves: Vec<f32>,
}

/// Up to 64 trees that follow each other.
#[derive(Debug)]
pub(crate) struct Block {
    /// From 1 to [`MAX_DEPTH`].
    pub depth: usize,
    /// From 1 to 64.
    pub n_trees: usize,
    first_split: usize,
    first_leaf: usize,
}

/// The splits at the same place of 64 trees. Right if the code of the column is at least the limit.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Splits {
    pub columns: [u8; N_TREES],
    pub limits: [u8; N_TREES],
}

impl CompleteTrees {
    /// The trees of the layout, or `None` if one is too deep or the splits need too many columns.
    pub fn new(layout: &Layout) -> Option<Self> {
        let (encoding, mut code_splits) = Encoding::new(layout)?;
        let mut complete = Self {
            encoding,
            blocks: Vec::with_capacity(layout.trees.len().div_ceil(N_TREES)),
            splits: Vec::new(),
            leaves: Vec::new(),
        };
        for trees in layout.trees.chunks(N_TREES) {
            let depths = trees.iter().map(|tree| depth(layout, tree.root as usize, 0));
            let block = Block {
                depth: depths.max().unwrap_or_default().max(1),
                n_trees: trees.len(),
                first_split: complete.splits.len(),
                first_leaf: complete.leaves.len(),
            };
            if block.depth > MAX_DEPTH {
                return None;
            }
            let nothing = Splits {
                columns: [0; N_TREES],
                limits: [0; N_TREES],
            };
            complete.splits.resize(block.first_split + block.n_places(), nothing);
            complete
                .leaves
                .resize(block.first_leaf + trees.len() * block.n_leaves(), 0.0);
            for (tree_idx, tree) in trees.iter().enumerate() {
                complete.fill(layout, &mut code_splits, &block, tree_idx, tree.root as usize, 1)?;
            }
            complete.blocks.push(block);
        }
        complete.splits.shrink_to_fit();
        complete.leaves.shrink_to_fit();
        Some(complete)
    }

    /// Puts what the node of the layout says to its place in the tree, and to all places below.
    fn fill(
        &mut self,
        layout: &Layout,
        code_splits: &mut CodeSplits<'_>,
        block: &Block,
        tree_idx: usize,
        node_idx: usize,
        place: usize,
    ) -> Option<()> {
        let node = layout.nodes[node_idx];
        if place >= block.n_places() {
            let leaf = block.first_leaf + tree_idx * block.n_leaves() + place - block.n_places();
            self.leaves[leaf] = node.value();
            return Some(());
        }
        let children = if node.is_leaf() {
            [node_idx; 2]
        } else {
            let split = code_splits.code_split(node)?;
            let splits = &mut self.splits[block.first_split + place];
            splits.columns[tree_idx] = split.column;
            splits.limits[tree_idx] = split.limit;
            [node.child(true), node.child(false)]
        };
        for (side, child) in children.into_iter().enumerate() {
            self.fill(layout, code_splits, block, tree_idx, child, 2 * place + side)?;
        }
        Some(())
    }

    /// The splits of a block, place by place: [`Block::n_places`].
    pub fn splits(&self, block: &Block) -> &[Splits] {
        &self.splits[block.first_split..][..block.n_places()]
    }

    /// The leaves of a block, tree by tree: `n_trees` times [`Block::n_leaves`].
    pub fn leaves(&self, block: &Block) -> &[f32] {
        &self.leaves[block.first_leaf..][..block.n_trees * block.n_leaves()]
    }

    /// The bytes that an evaluation may touch, besides sets of categories.
    pub fn n_bytes(&self) -> usize {
        self.encoding.n_bytes()
            + size_of_val(self.blocks.as_slice())
            + size_of_val(self.splits.as_slice())
            + size_of_val(self.leaves.as_slice())
    }
}

impl Block {
    /// The places of splits, one of them empty.
    pub fn n_places(&self) -> usize {
        1 << self.depth
    }

    /// The room for the leaves of a tree.
    pub fn n_leaves(&self) -> usize {
        (1 << self.depth).max(MIN_LEAVES)
    }
}

/// The levels below the node, as far as one is too many.
fn depth(layout: &Layout, node_idx: usize, above: usize) -> usize {
    let node = layout.nodes[node_idx];
    if node.is_leaf() || above > MAX_DEPTH {
        return above;
    }
    depth(layout, node.child(true), above + 1).max(depth(layout, node.child(false), above + 1))
}

/// A set of 64 answers, or of 64 bytes that are all ones for yes.
pub(crate) trait Answers: Copy {
    /// What `right` says where `turned` says yes, otherwise what `left` says.
    fn choose(turned: Self, left: Self, right: Self) -> Self;
}

impl Answers for u64 {
    #[inline(always)]
    fn choose(turned: Self, left: Self, right: Self) -> Self {
        left ^ ((left ^ right) & turned)
    }
}

impl<const N: usize> Answers for [u8; N] {
    #[inline(always)]
    fn choose(turned: Self, left: Self, right: Self) -> Self {
        std::array::from_fn(|idx| left[idx] ^ ((left[idx] ^ right[idx]) & turned[idx]))
    }
}

/// The turns on the way from the root to the leaf, given whether the split at each place turns right.
///
/// On each level the splits are halved by every turn above, until the one that the way comes by is left.
#[inline(always)]
pub(crate) fn turns<A: Answers, const DEPTH: usize, const ENDS: usize>(turns_right: &mut [A; ENDS]) -> [A; DEPTH] {
    let mut turns = [turns_right[1]; DEPTH];
    for level in 1..DEPTH {
        let first = 1 << level;
        let mut n_left = first;
        for turned in &turns[..level] {
            n_left /= 2;
            for idx in first..first + n_left {
                turns_right[idx] = A::choose(*turned, turns_right[idx], turns_right[idx + n_left]);
            }
        }
        turns[level] = turns_right[first];
    }
    turns
}
