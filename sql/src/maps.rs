//! The two maps that hold a row's features: what they hold, and how entries are added without touching those there.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, MapArray, StringArray, StructArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// The position, among all entries of the array, of a key in a row's map.
pub(crate) fn entry(map: &MapArray, row_idx: usize, key: &str) -> Option<usize> {
    let keys = map.keys().as_string::<i32>();
    entries(map, row_idx).find(|entry| keys.value(*entry) == key)
}

/// The positions of one row's entries.
fn entries(map: &MapArray, row_idx: usize) -> Range<usize> {
    let offsets = map.value_offsets();
    offsets[row_idx] as usize..offsets[row_idx + 1] as usize
}

/// For each row the entries of one map and then those of the other, which is of the same type and length; all stay as they
/// are to the last bit. A map that is null has no entries.
pub(crate) fn joined(first: &MapArray, second: &MapArray) -> Result<MapArray, ArrowError> {
    let all = concat(&[first.entries(), second.entries()])?;
    let n_first = first.entries().len() as u64;
    let mut order = Vec::with_capacity(all.len());
    let mut lengths = Vec::with_capacity(first.len());
    for row_idx in 0..first.len() {
        let start = order.len();
        if first.is_valid(row_idx) {
            order.extend(entries(first, row_idx).map(|entry| entry as u64));
        }
        if second.is_valid(row_idx) {
            order.extend(entries(second, row_idx).map(|entry| n_first + entry as u64));
        }
        lengths.push(order.len() - start);
    }
    regrouped(first, &all, order, lengths)
}

/// A map like another one whose rows are these entries: `order` names them one after the other, and each row has the next
/// `lengths` of them.
fn regrouped(like: &MapArray, all: &dyn Array, order: Vec<u64>, lengths: Vec<usize>) -> Result<MapArray, ArrowError> {
    let DataType::Map(entry_field, ordered) = like.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is no map", like.data_type())));
    };
    let entries = take(all, &UInt64Array::from(order), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    MapArray::try_new(
        Arc::clone(entry_field),
        offsets,
        entries.as_struct().clone(),
        like.nulls().cloned(),
        *ordered,
    )
}

/// The text under a key in a row's map; `None` when the key is absent or its value missing.
pub(crate) fn text<'a>(map: &'a MapArray, row_idx: usize, key: &str) -> Option<&'a str> {
    let values = map.values().as_string::<i32>();
    entry(map, row_idx, key)
        .filter(|entry| values.is_valid(*entry))
        .map(|entry| values.value(entry))
}

/// Entries to add to the maps of one array, in the order of its rows.
pub(crate) struct Additions<V> {
    rows: Vec<usize>,
    keys: Vec<Arc<str>>,
    values: Vec<Option<V>>,
}

impl<V> Default for Additions<V> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<V> Additions<V> {
    /// Adds an entry to a row that is not before the last one added to.
    pub(crate) fn push(&mut self, row_idx: usize, key: &Arc<str>, value: Option<V>) {
        self.rows.push(row_idx);
        self.keys.push(Arc::clone(key));
        self.values.push(value);
    }

    /// The maps with the entries added after those that are there, which stay as they are to the last bit.
    pub(crate) fn append_to<A>(self, map: &MapArray) -> Result<MapArray, ArrowError>
    where
        A: From<Vec<Option<V>>> + Array + 'static,
    {
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values(self.keys.iter().map(AsRef::as_ref)));
        let values: ArrayRef = Arc::new(A::from(self.values));
        let added = StructArray::try_new(map.entries().fields().clone(), vec![keys, values], None)?;
        let all = concat(&[map.entries(), &added])?;

        let n_there = map.entries().len();
        let mut added = self.rows.iter().enumerate().peekable();
        let mut order = Vec::with_capacity(all.len());
        let mut lengths = Vec::with_capacity(map.len());
        for row_idx in 0..map.len() {
            let start = order.len();
            order.extend(entries(map, row_idx).map(|entry| entry as u64));
            while let Some((position, _)) = added.next_if(|(_, row)| **row == row_idx) {
                order.push((n_there + position) as u64);
            }
            lengths.push(order.len() - start);
        }
        regrouped(map, &all, order, lengths)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Float64Array, Float64Builder, MapBuilder, StringBuilder};

    use super::*;

    fn maps(rows: &[&[(&str, Option<f64>)]]) -> MapArray {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
        for row in rows {
            for (key, value) in *row {
                builder.keys().append_value(key);
                builder.values().append_option(*value);
            }
            builder.append(true).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn the_entries_of_two_maps_stand_behind_each_other() {
        let first = maps(&[
            &[("gone", None)],
            &[("a", Some(1.0)), ("b", None)],
            &[],
            &[("a", Some(-0.0))],
        ]);
        let second = maps(&[&[("c", Some(3.0))], &[("d", Some(4.0))], &[], &[("gone", None)]]);
        let both = joined(&first.slice(1, 3), &second.slice(0, 3)).unwrap();
        let expected = maps(&[
            &[("a", Some(1.0)), ("b", None), ("c", Some(3.0))],
            &[("d", Some(4.0))],
            &[("a", Some(-0.0))],
        ]);
        assert_eq!(both, expected);
        let last = both.values().as_primitive::<arrow::datatypes::Float64Type>().value(4);
        assert!(last.is_sign_negative());
    }

    #[test]
    fn entries_are_added_behind_those_that_are_there() {
        let negative_zero = -0.0;
        let before = maps(&[
            &[("gone", None)],
            &[("a", Some(negative_zero)), ("b", None)],
            &[],
            &[("a", Some(2.0))],
        ]);
        let mut additions = Additions::default();
        additions.push(0, &"c".into(), Some(3.0));
        additions.push(0, &"d".into(), None);
        additions.push(1, &"c".into(), Some(4.0));
        let after = additions.append_to::<Float64Array>(&before.slice(1, 3)).unwrap();
        let expected = maps(&[
            &[("a", Some(negative_zero)), ("b", None), ("c", Some(3.0)), ("d", None)],
            &[("c", Some(4.0))],
            &[("a", Some(2.0))],
        ]);
        assert_eq!(after, expected);
        let first = after.values().as_primitive::<arrow::datatypes::Float64Type>().value(0);
        assert_eq!(first.to_bits(), negative_zero.to_bits());
        assert_eq!(entry(&after, 1, "c"), Some(4));
        assert_eq!(entry(&after, 2, "c"), None);
    }
}
