//! Owns the choice of a technique: which there are, what each costs, and which one serves how many rows.
//!
//! All techniques give the same margins to the last bit, so that a choice never shows but in time. By default costs are
//! estimated from the size of the model; a caller that has a clock lets them be measured on the model itself.

use std::fmt;

use crate::across_rows::{self, Rows};
use crate::across_trees;
use crate::complete::{Block, CompleteTrees};
use crate::encode::N_ROWS;
use crate::isa::InstructionSet;
use crate::layout::Layout;
use crate::walk;

/// A way to find the leaves of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Technique {
    /// Walks down four trees side by side, with the values as they are. Serves every model.
    Walk,
    /// Row by row, 64 trees at once. Serves models of trees at most 8 deep, whose splits need at most 256 columns.
    AcrossTrees(InstructionSet),
    /// Tree by tree, 64 rows at once. Serves the same models as [`Self::AcrossTrees`].
    AcrossRows(InstructionSet),
}

/// How techniques are chosen when a model is loaded.
pub enum Choice<'a> {
    /// By an estimate of their costs.
    Estimated,
    /// By their costs on rows made of the model's own thresholds, measured with this clock: any count that grows with time,
    /// at least 100 a millisecond. Takes a few milliseconds longer.
    Measured(&'a mut dyn FnMut() -> u64),
    /// This one, or [`Technique::Walk`] for a model that it does not serve.
    Only(Technique),
}

/// Which technique serves how many rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Serves rows one by one.
    pub one: Technique,
    /// Serves 64 rows at a time, and what is left of them if it is at least `many_from`.
    pub many: Technique,
    /// The fewest rows for which `many` is faster; at least 1.
    pub many_from: usize,
}

/// Everything that techniques look at.
#[derive(Debug)]
pub(crate) struct Forms {
    pub layout: Layout,
    pub complete: Option<CompleteTrees>,
}

impl Technique {
    /// Those that this processor can run.
    pub fn available() -> Vec<Self> {
        let sets = InstructionSet::available();
        let across_trees = sets
            .iter()
            .filter(|isa| !matches!(isa, InstructionSet::Avx2(_)))
            .map(|isa| Self::AcrossTrees(*isa));
        let across_rows = sets.iter().map(|isa| Self::AcrossRows(*isa));
        std::iter::once(Self::Walk)
            .chain(across_trees)
            .chain(across_rows)
            .collect()
    }

    /// The nanoseconds that one row takes, roughly, and those that 64 rows take: fitted to what was measured on an Intel
    /// Xeon with AVX-512 at 2.5 GHz. Only their order matters, and between techniques that are close not even that.
    fn estimate(self, forms: &Forms) -> [f64; 2] {
        let Some(complete) = &forms.complete else {
            return [f64::INFINITY; 2];
        };
        let sum = |size: fn(&Block) -> usize| complete.blocks.iter().map(size).sum::<usize>() as f64;
        let n_inputs = complete.encoding.n_inputs() as f64;
        let n_trees = sum(|block| block.n_trees);
        let n_levels = sum(|block| block.n_trees * block.depth);
        let n_splits_of_blocks = sum(|block| block.n_places());
        let n_splits = sum(|block| block.n_trees * block.n_places());
        let one = match self {
            Self::Walk => 20.0 + 3.0 * n_levels,
            Self::AcrossTrees(InstructionSet::Avx512(_)) => {
                20.0 + 1.5 * n_inputs + 1.2 * n_splits_of_blocks + 0.6 * n_trees
            }
            Self::AcrossTrees(_) => 20.0 + 9.0 * n_inputs + n_levels,
            Self::AcrossRows(isa) => {
                let [of_value, of_split, of_tree] = match isa {
                    InstructionSet::Avx512(_) => [1.4, 0.8, 15.0],
                    InstructionSet::Avx2(_) => [9.0, 2.4, 20.0],
                    InstructionSet::Baseline => [9.0, 2.8, 20.0],
                };
                let sixty_four = 500.0 + 64.0 * of_value * n_inputs + of_split * n_splits + of_tree * n_trees;
                return [sixty_four; 2];
            }
        };
        [one, N_ROWS as f64 * one]
    }
}

impl Plan {
    fn only(technique: Technique) -> Self {
        Self {
            one: technique,
            many: technique,
            many_from: 1,
        }
    }

    /// How many of the rows `many` serves; the first ones.
    pub(crate) fn n_many(&self, n_rows: usize) -> usize {
        match n_rows % N_ROWS {
            n_rest if n_rest >= self.many_from => n_rows,
            n_rest => n_rows - n_rest,
        }
    }

    /// The cheapest ones, given what one row and 64 rows cost by each.
    fn cheapest(costs: &[(Technique, [f64; 2])]) -> Self {
        let cheapest = |n_rows_idx: usize| {
            let by_cost =
                |a: &&(Technique, [f64; 2]), b: &&(Technique, [f64; 2])| a.1[n_rows_idx].total_cmp(&b.1[n_rows_idx]);
            costs
                .iter()
                .min_by(by_cost)
                .copied()
                .unwrap_or((Technique::Walk, [1.0, 64.0]))
        };
        let ((one, [one_row, _]), (many, [_, many_rows])) = (cheapest(0), cheapest(1));
        Self {
            one,
            many,
            many_from: ((many_rows / one_row).ceil() as usize).clamp(1, N_ROWS),
        }
    }
}

impl Forms {
    /// The plan of the choice; what it has no use for is dropped.
    pub fn planned(mut self, choice: Choice<'_>, base_margins: &[f32], n_features: usize) -> (Self, Plan) {
        let serves = |technique: &Technique| *technique == Technique::Walk || self.complete.is_some();
        let mut available = Technique::available();
        available.retain(serves);
        let plan = match choice {
            Choice::Only(technique) if available.contains(&technique) => Plan::only(technique),
            Choice::Only(_) => Plan::only(Technique::Walk),
            Choice::Estimated | Choice::Measured(_) if self.complete.is_none() => Plan::only(Technique::Walk),
            choice => {
                let estimates = available
                    .iter()
                    .map(|technique| (*technique, technique.estimate(&self)));
                let mut costs: Vec<_> = estimates.collect();
                if let Choice::Measured(clock) = choice {
                    let rows = typical_rows(&self.layout, n_features);
                    retain_likely(&mut costs);
                    for (technique, costs) in &mut costs {
                        *costs = self.measured(*technique, &rows, base_margins, n_features, clock);
                    }
                }
                Plan::cheapest(&costs)
            }
        };
        if plan.one != Technique::Walk && plan.many != Technique::Walk {
            self.layout.drop_nodes();
        }
        if (plan.one, plan.many) == (Technique::Walk, Technique::Walk) {
            self.complete = None;
        }
        (self, plan)
    }

    /// The least time in several rounds of one row and of 64.
    fn measured(
        &self,
        technique: Technique,
        rows: &[f32],
        base_margins: &[f32],
        n_features: usize,
        clock: &mut dyn FnMut() -> u64,
    ) -> [f64; 2] {
        const ROUNDS: usize = 3;
        const SINGLE_ROWS: usize = 8;
        let mut margins = base_margins.repeat(N_ROWS);
        let mut least = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            let start = clock();
            for (row, margins) in rows
                .chunks(n_features)
                .zip(margins.chunks_mut(base_margins.len()))
                .take(SINGLE_ROWS)
            {
                self.add_leaves(technique, row, n_features, margins, base_margins.len());
            }
            let between = clock();
            self.add_leaves(technique, rows, n_features, &mut margins, base_margins.len());
            let end = clock();
            least[0] = least[0].min(between.saturating_sub(start) as f64 / SINGLE_ROWS as f64);
            least[1] = least[1].min(end.saturating_sub(between) as f64);
        }
        // A clock too coarse to tell leaves no cost at 0.
        least.map(|cost| cost.max(1e-3))
    }

    /// Adds each tree's leaf to its output, in the order of the trees. `technique` is of the forms' plan.
    pub fn add_leaves(
        &self,
        technique: Technique,
        rows: &[f32],
        n_features: usize,
        margins: &mut [f32],
        n_outputs: usize,
    ) {
        let (layout, categories, trees) = (&self.layout, &self.layout.categories, &self.layout.trees);
        match (technique, &self.complete) {
            (Technique::AcrossTrees(isa), Some(complete)) => {
                for (row, margins) in rows.chunks_exact(n_features).zip(margins.chunks_exact_mut(n_outputs)) {
                    across_trees::add_leaves(complete, categories, trees, isa, row, margins);
                }
            }
            (Technique::AcrossRows(isa), Some(complete)) => {
                let rows = Rows {
                    values: rows,
                    n_features,
                    margins,
                    n_outputs,
                };
                across_rows::add_leaves(complete, categories, trees, isa, rows);
            }
            (Technique::Walk | Technique::AcrossTrees(_) | Technique::AcrossRows(_), _) => {
                for (row, margins) in rows.chunks_exact(n_features).zip(margins.chunks_exact_mut(n_outputs)) {
                    walk::add_leaves(layout, row, margins);
                }
            }
        }
    }
}

/// Keeps what is not estimated at several times the cheapest, for one row or for 64: the rest is not worth measuring.
fn retain_likely(costs: &mut Vec<(Technique, [f64; 2])>) {
    const TIMES: f64 = 4.0;
    let least = |n_rows_idx: usize| {
        costs
            .iter()
            .map(|(_, costs)| costs[n_rows_idx])
            .fold(f64::INFINITY, f64::min)
    };
    let least = [least(0), least(1)];
    costs.retain(|(_, costs)| costs[0] < TIMES * least[0] || costs[1] < TIMES * least[1]);
}

/// 64 rows that spread over the trees: every value is a threshold of its feature.
fn typical_rows(layout: &Layout, n_features: usize) -> Vec<f32> {
    let mut of_features = vec![vec![0.0]; n_features];
    for split in layout.splits().filter(|split| !split.is_categorical()) {
        of_features[split.feature()].push(split.threshold());
    }
    // Steps of the golden ratio's fraction of 2^32 (Knuth, volume 3, 6.4): spread, and the same each time.
    let mut state = 0_u32;
    let mut rows = Vec::with_capacity(N_ROWS * n_features);
    for _ in 0..N_ROWS {
        for thresholds in &of_features {
            state = state.wrapping_add(2_654_435_769);
            rows.push(thresholds[state as usize % thresholds.len()]);
        }
    }
    rows
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Walk => f.write_str("walk"),
            Self::AcrossTrees(isa) => write!(f, "across trees, {isa}"),
            Self::AcrossRows(isa) => write!(f, "across rows, {isa}"),
        }
    }
}
