//! Cells: typed access to the columns of one table's batch, with errors that name table and column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use lakeloop_domain::Micros;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::conform::{Extra, conform};
use crate::{LakeError, TableName, tables};

/// A batch whose columns are known to be the table's.
pub(super) struct Cells {
    table: TableName,
    batch: RecordBatch,
}

macro_rules! typed {
    ($name:ident, $optional:ident, $array:ty, $value:ty) => {
        /// The value of a column that has no nulls.
        pub fn $name(&self, column: &'static str, row: usize) -> Result<$value, LakeError> {
            self.$optional(column, row)?
                .ok_or_else(|| self.value(column, "is null"))
        }

        /// The value, or `None` where it is null.
        pub fn $optional(&self, column: &'static str, row: usize) -> Result<Option<$value>, LakeError> {
            let array = self.array::<$array>(column)?;
            Ok(array.is_valid(row).then(|| array.value(row)))
        }
    };
}

impl Cells {
    /// Checks that the batch has the table's columns.
    pub fn new(table: TableName, batch: &RecordBatch) -> Result<Self, LakeError> {
        let schema = columns(&table)?;
        let batch = conform(&table, &schema, batch, Extra::Ignore)?;
        Ok(Self { table, batch })
    }

    /// Reads every row.
    pub fn rows<T>(&self, read: impl Fn(&Self, usize) -> Result<T, LakeError>) -> Result<Vec<T>, LakeError> {
        (0..self.batch.num_rows()).map(|row| read(self, row)).collect()
    }

    /// The array of a column.
    pub fn array<A: Array + 'static>(&self, column: &'static str) -> Result<&A, LakeError> {
        let array = self
            .batch
            .column_by_name(column)
            .and_then(|array| array.as_any().downcast_ref::<A>());
        array.ok_or_else(|| self.value(column, "is not of its declared type"))
    }

    typed!(number, optional_number, Float64Array, f64);
    typed!(small, optional_small, Int32Array, i32);
    typed!(count, optional_count, Int64Array, i64);
    typed!(flag, optional_flag, BooleanArray, bool);
    typed!(instant, optional_instant, TimestampMicrosecondArray, Micros);

    /// The text of a column that has no nulls.
    pub fn text(&self, column: &'static str, row: usize) -> Result<&str, LakeError> {
        self.optional_text(column, row)?
            .ok_or_else(|| self.value(column, "is null"))
    }

    /// The text, or `None` where it is null.
    pub fn optional_text(&self, column: &'static str, row: usize) -> Result<Option<&str>, LakeError> {
        let array = self.array::<StringArray>(column)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    /// The bytes of a column that has no nulls.
    pub fn bytes(&self, column: &'static str, row: usize) -> Result<&[u8], LakeError> {
        let array = self.array::<BinaryArray>(column)?;
        if array.is_valid(row) {
            Ok(array.value(row))
        } else {
            Err(self.value(column, "is null"))
        }
    }

    /// The text as an identifier or another noun that is checked where it is made.
    pub fn parsed<T>(&self, column: &'static str, row: usize) -> Result<T, LakeError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(column, row)?
            .parse()
            .map_err(|error: T::Err| self.value(column, &error.to_string()))
    }

    /// The same for a column that may be null.
    pub fn optional_parsed<T>(&self, column: &'static str, row: usize) -> Result<Option<T>, LakeError>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let text = self.optional_text(column, row)?;
        text.map(|text| {
            text.parse()
                .map_err(|error: T::Err| self.value(column, &error.to_string()))
        })
        .transpose()
    }

    /// The noun that a word stands for.
    pub fn word<T>(&self, column: &'static str, row: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, LakeError> {
        let word = self.text(column, row)?;
        parse(word).ok_or_else(|| self.value(column, &format!("`{word}` is none of its words")))
    }

    /// The noun that a JSON text holds.
    pub fn json<T: DeserializeOwned>(&self, column: &'static str, row: usize) -> Result<T, LakeError> {
        serde_json::from_str(self.text(column, row)?).map_err(|error| self.value(column, &error.to_string()))
    }

    /// The value that a JSON text stands for, or `None` where it is null.
    pub fn optional_json<T: DeserializeOwned>(&self, column: &'static str, row: usize) -> Result<Option<T>, LakeError> {
        let text = self.optional_text(column, row)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| self.value(column, &error.to_string())))
            .transpose()
    }

    /// The number, which cannot be negative in the domain.
    pub fn unsigned<T: TryFrom<i64>>(&self, column: &'static str, row: usize) -> Result<T, LakeError> {
        let found = self.count(column, row)?;
        T::try_from(found).map_err(|_| self.value(column, &format!("{found} is out of range")))
    }

    /// The same for a column that may be null.
    pub fn optional_unsigned<T: TryFrom<i64>>(&self, column: &'static str, row: usize) -> Result<Option<T>, LakeError> {
        let found = self.optional_count(column, row)?;
        found.map(|_| self.unsigned(column, row)).transpose()
    }

    /// The small number, which cannot be negative in the domain.
    pub fn ordinal(&self, column: &'static str, row: usize) -> Result<u32, LakeError> {
        let found = self.small(column, row)?;
        u32::try_from(found).map_err(|_| self.value(column, &format!("{found} is negative")))
    }

    /// The same for a column that may be null.
    pub fn optional_ordinal(&self, column: &'static str, row: usize) -> Result<Option<u32>, LakeError> {
        let found = self.optional_small(column, row)?;
        found.map(|_| self.ordinal(column, row)).transpose()
    }

    /// The entries of a map, in the order they were written: keys with whatever `V` reads of a value.
    pub fn entries<'a, A, V>(
        &'a self,
        column: &'static str,
        row: usize,
        read: impl Fn(&'a A, usize) -> V,
    ) -> Result<Vec<(&'a str, Option<V>)>, LakeError>
    where
        A: Array + 'static,
    {
        map_entries(self.array(column)?, row, read).ok_or_else(|| self.value(column, "is not of its declared type"))
    }

    /// Whole numbers by name.
    pub fn numbers_by_name(&self, column: &'static str, row: usize) -> Result<Vec<(String, i64)>, LakeError> {
        let entries = self.entries(column, row, |values: &Int64Array, idx| values.value(idx))?;
        let named = entries.into_iter().map(|(name, number)| match number {
            Some(number) => Ok((name.to_owned(), number)),
            None => Err(self.value(column, &format!("`{name}` has no number"))),
        });
        named.collect()
    }

    /// The elements of a list, none of which is null.
    pub fn list<'a, A, V>(
        &'a self,
        column: &'static str,
        row: usize,
        read: impl Fn(&'a A, usize) -> V,
    ) -> Result<Vec<V>, LakeError>
    where
        A: Array + 'static,
    {
        let list = self.array::<ListArray>(column)?;
        let Some(values) = list.values().as_any().downcast_ref::<A>() else {
            return Err(self.value(column, "is not of its declared type"));
        };
        let offsets = list.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        range
            .map(|idx| {
                if values.is_valid(idx) {
                    Ok(read(values, idx))
                } else {
                    Err(self.value(column, "has a null"))
                }
            })
            .collect()
    }

    /// An error about a value of a column.
    pub fn value(&self, column: &'static str, found: &str) -> LakeError {
        value(&self.table, column, found)
    }
}

/// The entries of a map, as [`Cells::entries`] reads them; `None` when its parts are of other types.
pub(super) fn map_entries<'a, A, V>(
    map: &'a MapArray,
    row: usize,
    read: impl Fn(&'a A, usize) -> V,
) -> Option<Vec<(&'a str, Option<V>)>>
where
    A: Array + 'static,
{
    let keys = map.keys().as_any().downcast_ref::<StringArray>()?;
    let values = map.values().as_any().downcast_ref::<A>()?;
    let offsets = map.value_offsets();
    let range = offsets[row] as usize..offsets[row + 1] as usize;
    Some(
        range
            .map(|idx| (keys.value(idx), values.is_valid(idx).then(|| read(values, idx))))
            .collect(),
    )
}

/// An error about a value of a column.
pub(super) fn value(table: &TableName, column: &'static str, found: &str) -> LakeError {
    LakeError::Value {
        table: table.clone(),
        column,
        found: found.to_owned(),
    }
}

/// The columns of a table of which every lake has one.
fn columns(table: &TableName) -> Result<SchemaRef, LakeError> {
    tables::schema(table).ok_or_else(|| value(table, "entity", "feature views have no rows of the domain"))
}

/// The columns of one table, in order, as a batch.
pub(super) fn batch(table: TableName, arrays: Vec<ArrayRef>) -> Result<RecordBatch, LakeError> {
    let schema = columns(&table)?;
    RecordBatch::try_new(schema, arrays).map_err(|source| LakeError::Arrow { table, source })
}

/// A column of text.
pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of text with nulls.
pub(super) fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// A column of numbers.
pub(super) fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// A column of numbers with nulls.
pub(super) fn optional_numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

/// A column of instants.
pub(super) fn instants(values: impl Iterator<Item = Micros>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

/// A column of instants with nulls.
pub(super) fn optional_instants(values: impl Iterator<Item = Option<Micros>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A column of flags.
pub(super) fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values.collect::<Vec<_>>()))
}

/// A column of whole numbers; one that does not fit is an error.
pub(super) fn counts(
    table: &TableName,
    column: &'static str,
    values: impl Iterator<Item = u64>,
) -> Result<ArrayRef, LakeError> {
    let signed = values.map(|found| {
        i64::try_from(found).map_err(|_| value(table, column, &format!("{found} is larger than {}", i64::MAX)))
    });
    Ok(Arc::new(Int64Array::from(signed.collect::<Result<Vec<_>, _>>()?)))
}

/// A column of whole numbers with nulls; one that does not fit is an error.
pub(super) fn optional_counts(
    table: &TableName,
    column: &'static str,
    values: impl Iterator<Item = Option<u64>>,
) -> Result<ArrayRef, LakeError> {
    let signed = values.map(|found| {
        let signed = found.map(i64::try_from).transpose();
        signed.map_err(|error| value(table, column, &error.to_string()))
    });
    Ok(Arc::new(Int64Array::from(signed.collect::<Result<Vec<_>, _>>()?)))
}

/// A column of small whole numbers with nulls; one that does not fit is an error.
pub(super) fn optional_smalls(
    table: &TableName,
    column: &'static str,
    values: impl Iterator<Item = Option<u32>>,
) -> Result<ArrayRef, LakeError> {
    let signed = values.map(|found| match found {
        None => Ok(None),
        Some(found) => i32::try_from(found)
            .map(Some)
            .map_err(|_| value(table, column, &format!("{found} is larger than {}", i32::MAX))),
    });
    Ok(Arc::new(Int32Array::from(signed.collect::<Result<Vec<_>, _>>()?)))
}

/// Nouns, each as JSON text.
pub(super) fn jsons<'a, T: Serialize + 'a>(
    table: &TableName,
    column: &'static str,
    nouns: impl Iterator<Item = &'a T>,
) -> Result<Vec<String>, LakeError> {
    nouns.map(|noun| to_json(table, column, noun)).collect()
}

/// Nouns that may be absent, each as JSON text.
pub(super) fn optional_jsons<'a, T: Serialize + ?Sized + 'a>(
    table: &TableName,
    column: &'static str,
    nouns: impl Iterator<Item = Option<&'a T>>,
) -> Result<Vec<Option<String>>, LakeError> {
    nouns
        .map(|noun| noun.map(|noun| to_json(table, column, noun)).transpose())
        .collect()
}

/// A noun as JSON text.
pub(super) fn to_json<T: Serialize + ?Sized>(
    table: &TableName,
    column: &'static str,
    noun: &T,
) -> Result<String, LakeError> {
    serde_json::to_string(noun).map_err(|error| value(table, column, &error.to_string()))
}
