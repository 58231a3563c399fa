//! Rows of a Parquet file, numbered from 1. Only the columns of the mapping are read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{Cell, Line, Wanted, cannot_read};
use crate::ImportError;

const BATCH_ROWS: usize = 4096;

pub(super) struct ParquetRows {
    file: PathBuf,
    reader: ParquetRecordBatchReader,
    /// The name of each wanted column.
    columns: Vec<String>,
    /// The cells of the batch at hand, by wanted column.
    cells: Vec<std::vec::IntoIter<Cell>>,
    n_left: usize,
    n_rows: u64,
}

impl ParquetRows {
    pub(super) fn open(file: &Path, wanted: Wanted<'_>) -> Result<Self, ImportError> {
        let source = File::open(file).map_err(cannot_read(file))?;
        let unreadable = |error: &dyn std::fmt::Display| unreadable(file, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(source).map_err(|error| unreadable(&error))?;
        let schema: SchemaRef = Arc::clone(builder.schema());
        let header: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let positions = wanted.positions(&header)?;
        for position in &positions {
            let field = schema.field(*position);
            if plain(field.data_type()).is_none() {
                let found = format!(
                    "column \"{}\" is {}; only plain columns can be read",
                    field.name(),
                    field.data_type()
                );
                return Err(unreadable(&found));
            }
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), positions);
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
        Ok(Self {
            file: file.to_owned(),
            reader: reader.map_err(|error| unreadable(&error))?,
            columns: wanted.columns.iter().map(|column| column.name.clone()).collect(),
            cells: Vec::new(),
            n_left: 0,
            n_rows: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Line>, ImportError> {
        while self.n_left == 0 {
            match self.reader.next() {
                None => return Ok(None),
                Some(batch) => self.take(batch).map_err(|error| unreadable(&self.file, &error))?,
            }
        }
        self.n_left -= 1;
        self.n_rows += 1;
        let cells = self
            .cells
            .iter_mut()
            .map(|column| column.next().unwrap_or(Cell::Absent))
            .collect();
        Ok(Some((self.n_rows, Ok(cells))))
    }

    fn take(&mut self, batch: Result<RecordBatch, ArrowError>) -> Result<(), ArrowError> {
        let batch = batch?;
        let column = |name: &String| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| ArrowError::SchemaError(format!("column \"{name}\" was not read")))
        };
        let cells = self.columns.iter().map(|name| Ok(cells(column(name)?)?.into_iter()));
        self.cells = cells.collect::<Result<_, ArrowError>>()?;
        self.n_left = batch.num_rows();
        Ok(())
    }
}

fn unreadable(file: &Path, found: &dyn std::fmt::Display) -> ImportError {
    ImportError::Unreadable {
        file: file.to_owned(),
        format: "parquet",
        found: found.to_string(),
    }
}

/// The type that a column is read as; `None` for types that are not plain.
fn plain(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Null | DataType::Boolean => Some(data_type.clone()),
        _ if data_type.is_integer() => Some(DataType::Int64),
        _ if data_type.is_floating() || data_type.is_decimal() => Some(DataType::Float64),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        DataType::Date32 | DataType::Date64 => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Dictionary(_, values) => plain(values),
        _ => None,
    }
}

fn cells(column: &ArrayRef) -> Result<Vec<Cell>, ArrowError> {
    let read_as = plain(column.data_type()).unwrap_or(DataType::Null);
    // A value that does not fit must be an error, not a null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let column = cast_with_options(column, &read_as, &options)?;
    let each = |cell: &dyn Fn(usize) -> Cell| -> Vec<Cell> {
        let value = |idx| if column.is_null(idx) { Cell::Absent } else { cell(idx) };
        (0..column.len()).map(value).collect()
    };
    Ok(match &read_as {
        DataType::Boolean => {
            let values = column.as_boolean();
            each(&|idx| Cell::Boolean(values.value(idx)))
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            each(&|idx| Cell::Integer(values.value(idx)))
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            each(&|idx| Cell::Number(values.value(idx)))
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            each(&|idx| Cell::Text(values.value(idx).to_owned()))
        }
        DataType::Timestamp(_, zone) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            let is_instant = zone.is_some();
            each(
                &|idx| match (is_instant, DateTime::from_timestamp_micros(values.value(idx))) {
                    (true, _) => Cell::Instant(values.value(idx)),
                    (false, Some(clock)) => Cell::Clock(clock.naive_utc()),
                    (false, None) => Cell::Unfit("a time beyond the calendar"),
                },
            )
        }
        _ => vec![Cell::Absent; column.len()],
    })
}
