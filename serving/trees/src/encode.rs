//! Owns codes: what a row's values become before complete trees look at them, one byte a column.
//!
//! A tree asks of a value only which side of a threshold it is on, and a model has few thresholds a feature (XGBoost's
//! histograms make at most 255). So a value may be replaced by the number of thresholds that it has reached, and a
//! comparison of numbers by one of bytes, exactly:
//!
//! ```text
//! thresholds of a feature    -1.5     0.25     7.0
//! value                  -2   |  -1    |    3   |  9     missing
//! code                    1        2        3      4        0      where missing goes left
//!                         0        1        2      3      255      where missing goes right
//! ```
//!
//! The value is below threshold k if the code is below k + 2, or k + 1 where missing goes right. A feature with more
//! thresholds than a byte counts gets several columns, each for a part of them; one that is missing to the left at
//! some nodes and to the right at others gets two; a set of categories gets one, of 0 (left) and 255 (right).

use std::collections::BTreeMap;

use crate::layout::{CategorySets, Layout, Node};

/// The columns of a row: as many as a byte can name.
pub(crate) const MAX_COLUMNS: usize = 256;
/// The rows that are encoded and evaluated together.
pub(crate) const N_ROWS: usize = 64;
/// A code for each column of one row.
pub(crate) type RowCodes = [u8; MAX_COLUMNS];
/// A code for each of 64 rows, of one column.
pub(crate) type ColumnCodes = [u8; N_ROWS];

/// Thresholds are counted in groups of this many.
const GROUP: usize = 16;
/// Thresholds of a column. One more number is counted with them, so that a value that is there has a code above 0.
const MAX_CUTS: usize = 254;

/// The way from values to codes.
#[derive(Debug, Default)]
pub(crate) struct Encoding {
    inputs: Vec<Input>,
    /// Of each input on thresholds: its numbers in groups, the first of them minus infinity, which every value has
    /// reached that is not missing. Where there is more than one group, the last number of each stands before them. What is
    /// left over is NaN, which no value reaches.
    numbers: Vec<[f32; GROUP]>,
    n_columns: usize,
}

/// One search in one feature, and the columns that come of it.
#[derive(Debug)]
struct Input {
    feature: u32,
    question: Question,
    columns: Columns,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    /// How many numbers of one group the value has reached.
    Group { first: u32 },
    /// How many numbers the value has reached; those of the group before `first` say in which group to count.
    Groups { first: u32 },
    /// Whether the value is in the set at this place.
    Categories { place: u32 },
}

/// The column for splits where missing goes left, and the one for those where it goes right.
#[derive(Debug, Clone, Copy, Default)]
struct Columns {
    left: Option<u8>,
    right: Option<u8>,
}

/// A split as codes ask it: right if the code of the column is at least the limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeSplit {
    pub column: u8,
    pub limit: u8,
}

/// The columns and limits of the splits of the model that an [`Encoding`] is made for.
pub(crate) struct CodeSplits<'a> {
    categories: &'a CategorySets,
    features: BTreeMap<usize, FeatureSplits<'a>>,
}

/// What all splits of a feature ask, and the columns that answer.
#[derive(Default)]
struct FeatureSplits<'a> {
    cuts: Vec<f32>,
    /// Of each [`MAX_CUTS`] thresholds.
    parts: Vec<Columns>,
    /// By the words of a set: its place, and its columns.
    sets: BTreeMap<&'a [u32], (u32, Columns)>,
}

impl<'a> CodeSplits<'a> {
    /// What the splits of each feature ask; no columns are given yet.
    fn of_features(layout: &'a Layout) -> Self {
        let mut features: BTreeMap<usize, FeatureSplits<'a>> = BTreeMap::new();
        for split in layout.splits() {
            let asked = features.entry(split.feature()).or_default();
            if split.is_categorical() {
                let place = split.category_set();
                let set = layout.categories.words_of(place);
                asked.sets.insert(set, (place, Columns::default()));
            } else {
                asked.cuts.push(split.threshold());
            }
        }
        for asked in features.values_mut() {
            asked.cuts.sort_unstable_by(f32::total_cmp);
            asked.cuts.dedup(); // 0.0 and -0.0 are one threshold, as they are to a comparison
            asked.parts = vec![Columns::default(); asked.cuts.len().div_ceil(MAX_CUTS)];
        }
        Self {
            categories: &layout.categories,
            features,
        }
    }

    /// The column that answers a split, if it has one yet, and its limit. `None` for a split of another model.
    fn find(&mut self, split: Node) -> Option<(&mut Option<u8>, u8)> {
        let asked = self.features.get_mut(&split.feature())?;
        let (columns, cut_idx) = if split.is_categorical() {
            let set = self.categories.words_of(split.category_set());
            (&mut asked.sets.get_mut(set)?.1, 0)
        } else {
            let cut_idx = asked.cuts.partition_point(|cut| *cut < split.threshold());
            (asked.parts.get_mut(cut_idx / MAX_CUTS)?, cut_idx % MAX_CUTS)
        };
        Some(match split.default_left() {
            true => (&mut columns.left, cut_idx as u8 + 2),
            false => (&mut columns.right, cut_idx as u8 + 1),
        })
    }

    /// How codes ask what a split of the model asks of values.
    pub fn code_split(&mut self, split: Node) -> Option<CodeSplit> {
        let (column, limit) = self.find(split)?;
        Some(CodeSplit {
            column: (*column)?,
            limit,
        })
    }
}

impl Encoding {
    /// The encoding of a model's splits, or `None` if they need too many columns.
    pub fn new(layout: &Layout) -> Option<(Self, CodeSplits<'_>)> {
        let mut splits = CodeSplits::of_features(layout);
        let mut encoding = Self::default();
        for split in layout.splits() {
            let (column, _) = splits.find(split)?;
            if column.is_none() {
                *column = Some(u8::try_from(encoding.n_columns).ok()?);
                encoding.n_columns += 1;
            }
        }
        for (feature, asked) in &splits.features {
            for (cuts, columns) in asked.cuts.chunks(MAX_CUTS).zip(&asked.parts) {
                let question = encoding.push_numbers(cuts);
                encoding.push(*feature, question, *columns);
            }
            for (place, columns) in asked.sets.values() {
                encoding.push(*feature, Question::Categories { place: *place }, *columns);
            }
        }
        encoding.numbers.shrink_to_fit();
        encoding.inputs.shrink_to_fit();
        Some((encoding, splits))
    }

    fn push(&mut self, feature: usize, question: Question, columns: Columns) {
        self.inputs.push(Input {
            feature: feature as u32,
            question,
            columns,
        });
    }

    fn push_numbers(&mut self, cuts: &[f32]) -> Question {
        let numbers: Vec<f32> = std::iter::once(f32::NEG_INFINITY).chain(cuts.iter().copied()).collect();
        let mut groups: Vec<[f32; GROUP]> = Vec::new();
        for some in numbers.chunks(GROUP) {
            let mut group = [f32::NAN; GROUP];
            group[..some.len()].copy_from_slice(some);
            groups.push(group);
        }
        let first = self.numbers.len() as u32;
        if let [group] = groups.as_slice() {
            self.numbers.push(*group);
            return Question::Group { first };
        }
        let mut lasts = [f32::NAN; GROUP];
        for (last, group) in lasts.iter_mut().zip(&groups) {
            *last = group[GROUP - 1];
        }
        self.numbers.push(lasts);
        self.numbers.extend(&groups);
        if lasts[groups.len() - 1].is_finite() || lasts[groups.len() - 1] == f32::INFINITY {
            // What has reached the last number of a full last group is counted in the group after it.
            self.numbers.push([f32::NAN; GROUP]);
        }
        Question::Groups { first: first + 1 }
    }

    /// The number of columns, at most [`MAX_COLUMNS`].
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of searches that a row takes.
    pub fn n_inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The bytes that encoding may touch, besides sets of categories.
    pub fn n_bytes(&self) -> usize {
        size_of_val(self.inputs.as_slice()) + size_of_val(self.numbers.as_slice())
    }

    /// Writes the codes of one row. `count` says how many of the numbers are at most the value.
    #[inline(always)]
    pub fn encode_row(
        &self,
        sets: &CategorySets,
        row: &[f32],
        codes: &mut RowCodes,
        count: impl Fn(&[f32; GROUP], f32) -> u32,
    ) {
        for input in &self.inputs {
            let value = row[input.feature as usize];
            // Where missing goes left; where it goes right the code is one less.
            let code = match input.question {
                Question::Group { first } => count(&self.numbers[first as usize], value) as u8,
                Question::Groups { first } => {
                    let (lasts, groups) = self.groups(first);
                    code_of_groups(lasts, groups, value, &count)
                }
                Question::Categories { place } => category_code(sets, place, value),
            };
            if let Some(column) = input.columns.left {
                codes[usize::from(column)] = code;
            }
            if let Some(column) = input.columns.right {
                codes[usize::from(column)] = code.wrapping_sub(1);
            }
        }
    }

    /// Writes the codes of up to 64 rows, column by column.
    #[inline(always)]
    pub fn encode_rows(
        &self,
        sets: &CategorySets,
        rows: &[f32],
        n_features: usize,
        codes: &mut [ColumnCodes],
        count: impl Fn(&[f32; GROUP], f32) -> u32,
    ) {
        for input in &self.inputs {
            let mut column = [0; N_ROWS];
            // Each chunk starts with the feature's value.
            let values = rows[input.feature as usize..].chunks(n_features).zip(&mut column);
            match input.question {
                Question::Group { first } => {
                    let numbers = &self.numbers[first as usize];
                    values.for_each(|(value, code)| *code = count(numbers, value[0]) as u8);
                }
                Question::Groups { first } => {
                    let (lasts, groups) = self.groups(first);
                    values.for_each(|(value, code)| *code = code_of_groups(lasts, groups, value[0], &count));
                }
                Question::Categories { place } => {
                    values.for_each(|(value, code)| *code = category_code(sets, place, value[0]));
                }
            }
            if let Some(left) = input.columns.left {
                codes[usize::from(left)] = column;
            }
            if let Some(right) = input.columns.right {
                codes[usize::from(right)] = column.map(|code| code.wrapping_sub(1));
            }
        }
    }

    /// The last numbers of groups, and the groups.
    #[inline(always)]
    fn groups(&self, first: u32) -> (&[f32; GROUP], &[[f32; GROUP]]) {
        (&self.numbers[first as usize - 1], &self.numbers[first as usize..])
    }
}

/// The number of numbers that the value has reached, those of 16 groups at most, and at most 255.
#[inline(always)]
fn code_of_groups(
    lasts: &[f32; GROUP],
    groups: &[[f32; GROUP]],
    value: f32,
    count: &impl Fn(&[f32; GROUP], f32) -> u32,
) -> u8 {
    let group = count(lasts, value);
    (group * GROUP as u32 + count(&groups[group as usize], value)) as u8
}

/// As if the set were the values from a single threshold on.
#[inline(never)]
fn category_code(sets: &CategorySets, place: u32, value: f32) -> u8 {
    match value.is_nan() {
        true => 0,
        false => 1 + u8::from(sets.contains(place, value)),
    }
}

/// How many of the numbers are at most the value, for any processor.
#[inline(always)]
pub(crate) fn count(numbers: &[f32; GROUP], value: f32) -> u32 {
    numbers.iter().map(|number| u32::from(*number <= value)).sum()
}
