//! The two maps that hold a row's features: what they hold, and how entries are added without touching those there.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, MapArray, StringArray, StructArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// The position, among all entries of the array, of a key in a row's map.
pub(crate) fn entry(map: &MapArray, row_idx: usize, key: &str) -> Option<usize> {
    let keys = map.keys().as_string::<i32>();
    let offsets = map.value_offsets();
    let (start, end) = (offsets[row_idx] as usize, offsets[row_idx + 1] as usize);
    (start..end).find(|entry| keys.value(*entry) == key)
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
        A: From<Vec<Option<V>>> + arrow::array::Array + 'static,
    {
        let DataType::Map(entry_field, ordered) = map.data_type() else {
            return Err(ArrowError::SchemaError(format!("{} is no map", map.data_type())));
        };
        let keys: ArrayRef = Arc::new(StringArray::from_iter_values(self.keys.iter().map(AsRef::as_ref)));
        let values: ArrayRef = Arc::new(A::from(self.values));
        let added = StructArray::try_new(map.entries().fields().clone(), vec![keys, values], None)?;
        let all = concat(&[map.entries(), &added])?;

        let n_there = map.entries().len();
        let offsets = map.value_offsets();
        let mut added = self.rows.iter().enumerate().peekable();
        let mut order = Vec::with_capacity(all.len());
        let mut lengths = Vec::with_capacity(map.len());
        for row_idx in 0..map.len() {
            let start = order.len();
            order.extend(offsets[row_idx] as u64..offsets[row_idx + 1] as u64);
            while let Some((position, _)) = added.next_if(|(_, row)| **row == row_idx) {
                order.push((n_there + position) as u64);
            }
            lengths.push(order.len() - start);
        }
        let entries = take(&all, &UInt64Array::from(order), None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        MapArray::try_new(
            Arc::clone(entry_field),
            offsets,
            entries.as_struct().clone(),
            map.nulls().cloned(),
            *ordered,
        )
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
