//! Owns the evaluated form: every tree's nodes in one flat array.
//!
//! A node fills 12 bytes, so that five of them share a cache line. The nodes of a tree stand level by level from its
//! root, and the two children of a split are neighbours: one index serves for both. Whoever builds a [`Layout`]
//! (`tree` alone does) answers for its invariants, and walks rely on them:
//!
//! - every child index is larger than its parent's and within the array, so that each walk ends;
//! - every feature is less than the number of columns of a row;
//! - every set of categories lies within `categories`.

/// The evaluated form of all trees.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub nodes: Vec<Node>,
    pub trees: Vec<Tree>,
    pub categories: CategorySets,
}

impl Layout {
    /// The bytes that a walk may touch.
    pub fn n_bytes(&self) -> usize {
        size_of_val(self.nodes.as_slice())
            + size_of_val(self.trees.as_slice())
            + size_of_val(self.categories.words.as_slice())
    }

    /// The splits of all trees.
    pub fn splits(&self) -> impl Iterator<Item = Node> {
        self.nodes.iter().copied().filter(|node| !node.is_leaf())
    }

    /// Gives back the nodes, when another form of the trees serves.
    pub fn drop_nodes(&mut self) {
        self.nodes = Vec::new();
    }

    /// Gives back memory that building left over.
    pub fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.trees.shrink_to_fit();
        self.categories.words.shrink_to_fit();
    }
}

/// Where a tree starts, and the output that its leaves add to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    pub root: u32,
    pub output: u32,
}

/// A split or a leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    /// The bits of a leaf's value or of a threshold, or the place of a set of categories.
    payload: u32,
    /// A split's feature and its two flags.
    split: u32,
    /// The left child; the right child follows it. 0 in a leaf: the first node of all is a root, never a child.
    left: u32,
}

const DEFAULT_LEFT: u32 = 1 << 31;
const CATEGORICAL: u32 = 1 << 30;
const FEATURE: u32 = CATEGORICAL - 1;

/// The number of columns that the split of a [`Node`] can tell apart.
pub(crate) const MAX_FEATURES: usize = CATEGORICAL as usize;

/// What a split asks of a value that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Condition {
    /// Left if the value is less than the threshold; right from the threshold on.
    Threshold(f32),
    /// Right if the value is in the set of categories at this place; left otherwise.
    Categories(u32),
}

impl Node {
    pub fn leaf(value: f32) -> Self {
        Self {
            payload: value.to_bits(),
            split: 0,
            left: 0,
        }
    }

    /// A split; a value that is missing goes left if `default_left`.
    pub fn split(feature: u32, condition: Condition, default_left: bool, left: u32) -> Self {
        let (payload, kind) = match condition {
            Condition::Threshold(threshold) => (threshold.to_bits(), 0),
            Condition::Categories(set) => (set, CATEGORICAL),
        };
        let default = if default_left { DEFAULT_LEFT } else { 0 };
        Self {
            payload,
            split: (feature & FEATURE) | kind | default,
            left,
        }
    }

    #[inline]
    pub fn is_leaf(self) -> bool {
        self.left == 0
    }

    /// Of a leaf.
    #[inline]
    pub fn value(self) -> f32 {
        f32::from_bits(self.payload)
    }

    /// Of a split on a threshold.
    #[inline]
    pub fn threshold(self) -> f32 {
        f32::from_bits(self.payload)
    }

    /// Of a split on categories.
    #[inline]
    pub fn category_set(self) -> u32 {
        self.payload
    }

    #[inline]
    pub fn feature(self) -> usize {
        (self.split & FEATURE) as usize
    }

    #[inline]
    pub fn is_categorical(self) -> bool {
        self.split & CATEGORICAL != 0
    }

    #[inline]
    pub fn default_left(self) -> bool {
        self.split & DEFAULT_LEFT != 0
    }

    /// The child on that side.
    #[inline]
    pub fn child(self, goes_left: bool) -> usize {
        self.left as usize + usize::from(!goes_left)
    }
}

/// Sets of category codes, each a bit field after the number of its words.
#[derive(Debug, Default)]
pub(crate) struct CategorySets {
    words: Vec<u32>,
}

impl CategorySets {
    /// One more than the largest code: from here on f32 does not tell neighbouring whole numbers apart.
    pub const END: u32 = 1 << 24;

    /// How many words the set of these codes fills.
    pub fn n_words(codes: &[u32]) -> usize {
        1 + codes.iter().max().map_or(0, |largest| *largest as usize / 32 + 1)
    }

    /// How many words all sets fill.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words of a set.
    pub fn words_of(&self, place: u32) -> &[u32] {
        let place = place as usize;
        let n_words = self.words[place] as usize;
        &self.words[place + 1..][..n_words]
    }

    /// Adds the set of these codes and returns its place.
    pub fn push(&mut self, codes: &[u32]) -> u32 {
        let place = self.words.len();
        self.words.resize(place + Self::n_words(codes), 0);
        self.words[place] = Self::n_words(codes) as u32 - 1;
        for code in codes {
            self.words[place + 1 + *code as usize / 32] |= 1 << (code % 32);
        }
        place as u32
    }

    /// Whether the value names a category of the set. A code is cut down to a whole number; negative values and
    /// those from [`Self::END`] on are in no set.
    #[inline]
    pub fn contains(&self, place: u32, value: f32) -> bool {
        if !(0.0..Self::END as f32).contains(&value) {
            return false;
        }
        let code = value as u32;
        let set = &self.words[place as usize..];
        let word_idx = code / 32;
        word_idx < set[0] && set[1 + word_idx as usize] >> (code % 32) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_what_it_was_made_of() {
        assert_eq!(size_of::<Node>(), 12);
        let node = Node::split(FEATURE, Condition::Threshold(-0.5), true, 7);
        assert_eq!(
            (node.feature(), node.threshold(), node.default_left()),
            (FEATURE as usize, -0.5, true)
        );
        assert!(!node.is_leaf() && !node.is_categorical());
        assert_eq!((node.child(true), node.child(false)), (7, 8));
        let node = Node::split(3, Condition::Categories(9), false, 1);
        assert_eq!(
            (node.feature(), node.category_set(), node.default_left()),
            (3, 9, false)
        );
        assert!(node.is_categorical());
        assert!(Node::leaf(2.5).is_leaf());
        assert_eq!(Node::leaf(2.5).value(), 2.5);
    }

    #[test]
    fn a_set_holds_its_codes_and_nothing_else() {
        let mut sets = CategorySets::default();
        sets.push(&[5]);
        let place = sets.push(&[0, 31, 32, 64]);
        assert_eq!(sets.len(), 2 + 4);
        for code in [0.0, -0.0, 31.0, 31.9, 32.0, 64.0] {
            assert!(sets.contains(place, code), "{code}");
        }
        for code in [
            1.0,
            5.0,
            33.0,
            65.0,
            96.0,
            -0.5,
            -1.0,
            1e7,
            1e9,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ] {
            assert!(!sets.contains(place, code), "{code}");
        }
    }
}
