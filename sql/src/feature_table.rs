//! A feature view's table as a whole: its rows as a stream, for those who build something from all of them, and the
//! entities of what came later, for those who keep what was built up to date.

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, ident};
use futures::StreamExt as _;
use lakeloop_domain::{FeatureType, FeatureViewName, Micros, ValueRef};
use lakeloop_lake::{Changes, Lake, NewFiles, TableName, feature_view_schema};

use crate::SqlError;
use crate::session::read_only_provider;

/// A column's name and type.
pub type FeatureTableColumn = (String, FeatureType);

/// Every row of a view at one version, in no order.
pub struct FeatureTable {
    /// The version of the table that is read.
    pub table_version: i64,
    /// The columns that hold features; those of other types are left out.
    pub columns: Vec<FeatureTableColumn>,
    rows: SendableRecordBatchStream,
}

impl FeatureTable {
    /// Opens the newest version of a view's table; `None` when it has none. Reading holds a batch of rows of one file in
    /// memory, whatever the size of the table.
    pub async fn open(lake: &Lake, view: &FeatureViewName) -> Result<Option<Self>, SqlError> {
        let Some(table) = lake.table(&TableName::Features(view.clone())).await? else {
            return Ok(None);
        };
        let version = table.version().expect("a table that was read has a version");
        let ctx = sequential_session();
        let provider = read_only_provider(&table).await.map_err(SqlError::session)?;
        let columns = feature_columns(provider.schema().fields());
        let names = feature_view_schema(&columns);
        let names: Vec<_> = names.fields().iter().map(|field| ident(field.name())).collect();
        let frame = ctx.read_table(provider).and_then(|frame| frame.select(names));
        let rows = frame.map_err(SqlError::session)?.execute_stream().await;
        Ok(Some(Self {
            table_version: i64::try_from(version).expect("a table has fewer than 2^63 versions"),
            columns,
            rows: rows.map_err(SqlError::session)?,
        }))
    }

    /// The next rows; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<FeatureTableRows>, SqlError> {
        match self.rows.next().await {
            None => Ok(None),
            Some(batch) => FeatureTableRows::new(&batch.map_err(SqlError::session)?).map(Some),
        }
    }
}

/// Some rows of a view, column by column.
pub struct FeatureTableRows {
    entities: ArrayRef,
    event_times: ArrayRef,
    available_at: ArrayRef,
    values: Vec<ArrayRef>,
}

impl FeatureTableRows {
    fn new(batch: &RecordBatch) -> Result<Self, SqlError> {
        let plain = |array: &ArrayRef| match array.data_type() {
            DataType::LargeUtf8 | DataType::Utf8View => {
                cast(array, &DataType::Utf8).map_err(SqlError::arrow("read the texts of a feature view"))
            }
            _ => Ok(ArrayRef::clone(array)),
        };
        Ok(Self {
            entities: plain(batch.column(0))?,
            event_times: ArrayRef::clone(batch.column(1)),
            available_at: ArrayRef::clone(batch.column(2)),
            values: batch.columns()[3..].iter().map(plain).collect::<Result<_, _>>()?,
        })
    }

    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.entities.len()
    }

    /// The entity of a row.
    pub fn entity(&self, row_idx: usize) -> &str {
        self.entities.as_string::<i32>().value(row_idx)
    }

    /// Since when a row's values hold.
    pub fn event_time(&self, row_idx: usize) -> Micros {
        self.event_times
            .as_primitive::<TimestampMicrosecondType>()
            .value(row_idx)
    }

    /// Since when they could be read.
    pub fn available_at(&self, row_idx: usize) -> Micros {
        self.available_at
            .as_primitive::<TimestampMicrosecondType>()
            .value(row_idx)
    }

    /// The values of a row, in the order of the table's columns.
    pub fn values(&self, row_idx: usize) -> impl Iterator<Item = ValueRef<'_>> {
        self.values.iter().map(move |array| value(array, row_idx))
    }
}

fn value(array: &ArrayRef, row_idx: usize) -> ValueRef<'_> {
    if array.is_null(row_idx) {
        return ValueRef::Missing;
    }
    match array.data_type() {
        DataType::Boolean => ValueRef::Boolean(array.as_boolean().value(row_idx)),
        DataType::Utf8 => ValueRef::Category(array.as_string::<i32>().value(row_idx)),
        _ => match array.as_primitive::<Float64Type>().value(row_idx) {
            number if number.is_finite() => ValueRef::Number(number),
            _ => ValueRef::Missing,
        },
    }
}

fn feature_columns(fields: &arrow::datatypes::Fields) -> Vec<FeatureTableColumn> {
    let columns = fields.iter().skip(3).filter_map(|field| {
        let feature_type = match field.data_type() {
            DataType::Float64 => FeatureType::Number,
            DataType::Boolean => FeatureType::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FeatureType::Category,
            _ => return None,
        };
        Some((field.name().clone(), feature_type))
    });
    columns.collect()
}

/// The entities of which rows came to a view's table since a version.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangedEntities {
    /// These, up to `table_version`; with files that were merged, perhaps also others. One may be named repeatedly.
    Known {
        /// The version up to which was looked.
        table_version: i64,
        /// The entities.
        entities: Vec<String>,
    },
    /// More than the caller takes, or it cannot be told: rows were replaced, or the log does not go back so far.
    Unknown {
        /// Why, for a log line.
        because: &'static str,
    },
}

/// The entities of the rows that came to a view's table after `since`, unless they are more than `max_rows` rows. Reads
/// one column of the files that were committed since.
pub async fn changed_entities(
    lake: &Lake,
    view: &FeatureViewName,
    since: i64,
    max_rows: usize,
) -> Result<ChangedEntities, SqlError> {
    let unknown = |because| Ok(ChangedEntities::Unknown { because });
    match lake.changes(&TableName::Features(view.clone()), since).await? {
        Changes::Unknown => unknown("the table's log does not tell what came since"),
        Changes::Rewritten(_) => unknown("rows of the table were replaced"),
        Changes::Appended(new) => {
            let table_version = new.version;
            match entities(new, max_rows).await? {
                Some(entities) => Ok(ChangedEntities::Known {
                    table_version,
                    entities,
                }),
                None => unknown("too many rows came since"),
            }
        }
    }
}

async fn entities(new: NewFiles, max_rows: usize) -> Result<Option<Vec<String>>, SqlError> {
    if new.paths.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let provider = new.table.table_provider().with_file_paths(new.paths);
    let provider = provider.await.map_err(SqlError::session)?;
    let frame: Result<DataFrame, _> = sequential_session()
        .read_table(provider)
        .and_then(|frame| frame.select(vec![ident("entity")]));
    let mut rows = frame
        .map_err(SqlError::session)?
        .execute_stream()
        .await
        .map_err(SqlError::session)?;
    let mut entities = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(SqlError::session)?;
        if entities.len() + batch.num_rows() > max_rows {
            return Ok(None);
        }
        let texts =
            cast(batch.column(0), &DataType::Utf8).map_err(SqlError::arrow("read the entities of a feature view"))?;
        entities.extend(texts.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok(Some(entities))
}

/// Reads one file after the other: what is read here is long, and shares the machine with serving.
fn sequential_session() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1))
}
