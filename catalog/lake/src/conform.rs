//! Fits batches to a table's columns: same names, same meaning, exact types; never a silent change of a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use crate::{LakeError, TableName};

/// What to do where the columns of a batch are not the table's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Rows to write have every column and no other.
    Refuse,
    /// Rows that were read may have others, which are left out. Those that were added to the table later may be absent,
    /// and are then null.
    Ignore,
}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what other clients of the table can read.
const INSTANTS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// The batch with exactly the columns of `schema`, in its order.
///
/// Columns are found by name. Representations of the same values are converted (string views, names of the parts of
/// maps and lists); anything else that differs is an error, as are nulls where the table has none and instants
/// outside the years 1 to 9999.
pub(crate) fn conform(
    table: &TableName,
    schema: &SchemaRef,
    batch: &RecordBatch,
    extra: Extra,
) -> Result<RecordBatch, LakeError> {
    if extra == Extra::Refuse {
        let stray = batch
            .schema_ref()
            .fields()
            .iter()
            .find(|field| schema.column_with_name(field.name()).is_none());
        if let Some(stray) = stray {
            return Err(differs(table, stray.name(), "is none of the table's"));
        }
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => fit(table, field, column),
            None if extra == Extra::Ignore && table.added_later().contains(&field.name().as_str()) => {
                Ok(new_null_array(field.data_type(), batch.num_rows()))
            }
            None => Err(differs(table, field.name(), "is absent")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|source| LakeError::Arrow {
        table: table.clone(),
        source,
    })
}

fn fit(table: &TableName, field: &Field, column: &ArrayRef) -> Result<ArrayRef, LakeError> {
    if !means_the_same(column.data_type(), field.data_type()) {
        let found = format!("is {}, expected {}", column.data_type(), field.data_type());
        return Err(differs(table, field.name(), &found));
    }
    if !field.is_nullable() && column.null_count() > 0 {
        return Err(differs(
            table,
            field.name(),
            "has a null, which the table does not allow",
        ));
    }
    if let Some(instants) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        let bounds = [compute::min(instants), compute::max(instants)];
        if let Some(outside) = bounds.into_iter().flatten().find(|instant| !INSTANTS.contains(instant)) {
            let found = format!("has {outside} microseconds since 1970, which is outside the years 1 to 9999");
            return Err(differs(table, field.name(), &found));
        }
    }
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    compute::cast(column, field.data_type()).map_err(|source| LakeError::Arrow {
        table: table.clone(),
        source,
    })
}

fn differs(table: &TableName, column: &str, found: &str) -> LakeError {
    LakeError::RowsDiffer {
        table: table.clone(),
        column: column.to_owned(),
        found: found.to_owned(),
    }
}

/// True when two types hold the same values, perhaps laid out or labelled differently.
fn means_the_same(a: &DataType, b: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, LargeBinary, LargeList, LargeUtf8, List, Map, Struct, Timestamp, Utf8, Utf8View,
    };
    let is_utc = |zone: &str| matches!(zone, "UTC" | "+00:00" | "Z");
    match (a, b) {
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (List(a) | LargeList(a), List(b) | LargeList(b)) => means_the_same(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => match (a.data_type(), b.data_type()) {
            (Struct(a), Struct(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|(a, b)| means_the_same(a.data_type(), b.data_type()))
            }
            _ => false,
        },
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.name() == b.name() && means_the_same(a.data_type(), b.data_type()))
        }
        (Timestamp(a, Some(a_zone)), Timestamp(b, Some(b_zone))) => a == b && is_utc(a_zone) && is_utc(b_zone),
        (a, b) => a == b,
    }
}

/// The first way in which two sets of columns differ, in words.
pub(crate) fn first_difference(found: &Schema, expected: &Schema) -> Option<String> {
    let missing = expected
        .fields()
        .iter()
        .find_map(|field| match found.field_with_name(field.name()) {
            Err(_) => Some(format!("it has no column `{}`", field.name())),
            Ok(there) if there.data_type() != field.data_type() => Some(format!(
                "its column `{}` is {}, not {}",
                field.name(),
                there.data_type(),
                field.data_type()
            )),
            Ok(_) => None,
        });
    missing.or_else(|| {
        let extra = found
            .fields()
            .iter()
            .find(|field| expected.column_with_name(field.name()).is_none())?;
        Some(format!("it has a column `{}` more", extra.name()))
    })
}
