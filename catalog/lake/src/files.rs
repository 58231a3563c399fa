//! Data files: rows written as Parquet beside the log, not yet part of the table until a commit names them.

use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use arrow::record_batch::RecordBatch;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::object_store::{Error as ObjectStoreError, ObjectStore, ObjectStoreExt as _, PutPayload};
use deltalake::datafile::writer::{DeltaWriter, WriterConfig};
use deltalake::kernel::Add;
use deltalake::operations::write::configs::WriterStatsConfig;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::basic::{Compression, ZstdLevel};
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties};
use deltalake::parquet::schema::types::ColumnPath;
use deltalake::{DeltaTable, DeltaTableError};
use futures::stream::{self, StreamExt as _};
use futures::{Stream, TryStreamExt as _};

use crate::conform::{Extra, conform};
use crate::log::{local_root, location, make_durable};
use crate::{LakeError, TableName, scan};

/// Rows of a row group: a few megabytes of decisions, so that a reader that wants an hour of a large file skips the
/// rest of it, and a writer holds little.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// A page of what is written quickly: it fits a processor's cache while it is compressed, and its memory is used again for the next one, while
/// a buffer of a megabyte is asked of the kernel and given back each time.
const QUICK_PAGE_BYTES: usize = 64 * 1024;

/// So many values are looked at together: a page of numbers.
const QUICK_BATCH_VALUES: usize = QUICK_PAGE_BYTES / size_of::<f64>();

/// A local file is written so many bytes at a time: a quarter of a millisecond.
const LOCAL_PART_BYTES: usize = 256 * 1024;

/// The columns of decisions and outcomes in which values hardly ever come twice.
const HARDLY_REPEATED: [&str; 5] = ["decision_id", "outcome_id", "unit", "event_time", "received_at"];

/// How much work goes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For rows that are compacted later, on the processor that answers requests meanwhile. Snappy, which every reader of
    /// Parquet knows, but not for the numbers of features, which hardly get smaller; no dictionary for the maps of features, which
    /// would look up the name of each feature of each row, nor for ids and instants, of which each is new; and small pages.
    Quick,
    /// For what is read for years.
    Small,
}

/// Where the rows of an append are put together and written as Parquet: arithmetic, without a wait for anything.
#[derive(Clone, Copy)]
pub enum Encode<'e> {
    /// Where the append is called.
    Here,
    /// By whatever this hands the work to. It polls the work to its end before it returns, within a Tokio runtime; work that it
    /// drops is an error of the append, which then leaves everything as it was. The work pauses after each batch of rows.
    By(&'e EncodeBy<'e>),
}

/// Polls a future to its end.
pub type EncodeBy<'e> = dyn Fn(Pin<Box<dyn Future<Output = ()> + Send + '_>>) + Sync + 'e;

/// Writes rows to one new file (none when there are no rows), durably, and describes it for a commit.
///
/// The batches have exactly the table's columns. The file is put together in memory and gets its name when it
/// is whole, so that a full disk or a lost store leaves no half of it.
pub(crate) async fn write(
    name: &TableName,
    table: &DeltaTable,
    effort: Effort,
    encode: Encode<'_>,
    rows: impl Stream<Item = Result<RecordBatch, LakeError>> + Send,
) -> Result<Vec<Add>, LakeError> {
    let failed = |source| LakeError::storage("write rows", location(table), source);
    let memory: Arc<InMemory> = Arc::default();
    let encoding = async {
        let mut writer = writer(table, effort, Arc::clone(&memory)).map_err(failed)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(batch) = rows.next().await {
            writer.write(&batch?).await.map_err(failed)?;
            tokio::task::yield_now().await;
        }
        writer.close().await.map_err(failed)
    };
    let adds = match encode {
        Encode::Here => encoding.await?,
        Encode::By(by) => {
            let mut encoded = None;
            by(Box::pin(async { encoded = Some(encoding.await) }));
            encoded.ok_or_else(|| failed(DeltaTableError::generic("the work was given up")))??
        }
    };
    let mut stored = Vec::with_capacity(adds.len());
    for add in adds {
        if let Err(source) = store(table, &memory, &add).await {
            discard(name, table, stored).await;
            return Err(failed(source));
        }
        stored.push(add);
    }
    Ok(stored)
}

/// Moves a finished file from memory to the table's folder.
async fn store(table: &DeltaTable, memory: &InMemory, add: &Add) -> Result<(), DeltaTableError> {
    let path = Path::from(add.path.as_str());
    let content = PutPayload::from(memory.get(&path).await?.bytes().await?);
    let store = table.log_store().object_store(None);
    match local_root(table) {
        Some(_) => put_in_parts(&store, &path, &content).await?,
        None => drop(store.put(&path, content).await?),
    }
    make_durable(table, std::slice::from_ref(&add.path)).await
}

/// Writes a local file under another name, in small parts, and renames it. One call for tens of megabytes would keep its core to itself
/// for tens of milliseconds, for which requests would wait; between two parts the core is theirs.
async fn put_in_parts(store: &dyn ObjectStore, path: &Path, content: &PutPayload) -> Result<(), ObjectStoreError> {
    // An upload that is dropped removes what it has written.
    let mut upload = store.put_multipart(path).await?;
    for bytes in content.iter() {
        for part in bytes.chunks(LOCAL_PART_BYTES) {
            upload.put_part(bytes.slice_ref(part).into()).await?;
        }
    }
    upload.complete().await.map(drop)
}

/// Reads the rows of one data file by its path below the table, whether or not it is still part of it: no file is ever
/// deleted once a commit named it. The file is fetched whole, so this is for small ones.
pub(crate) async fn read(name: &TableName, table: &DeltaTable, path: &str) -> Result<Vec<RecordBatch>, LakeError> {
    let failed = |source| LakeError::storage("read a data file", format!("{}/{path}", location(table)), source);
    let store = table.log_store().object_store(None);
    let file = store
        .get(&Path::from(path))
        .await
        .map_err(|source| failed(source.into()))?;
    let bytes = file.bytes().await.map_err(|source| failed(source.into()))?;
    let rows = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|reader| reader.build());
    let schema = scan::columns_of(name, table)?;
    rows.map_err(|source| failed(source.into()))?
        .map(|batch| {
            let batch = batch.map_err(|source| LakeError::Arrow {
                table: name.clone(),
                source,
            })?;
            conform(name, &schema, &batch, Extra::Ignore)
        })
        .collect()
}

fn writer(table: &DeltaTable, effort: Effort, memory: Arc<InMemory>) -> Result<DeltaWriter, DeltaTableError> {
    let snapshot = table.snapshot()?.snapshot();
    let schema = snapshot.arrow_schema();
    let stats = WriterStatsConfig::from_config(snapshot.table_configuration());
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("lakeloop {}", env!("CARGO_PKG_VERSION")))
        .set_compression(match effort {
            Effort::Quick => Compression::SNAPPY,
            Effort::Small => Compression::ZSTD(ZstdLevel::default()),
        })
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    if effort == Effort::Quick {
        properties = properties
            .set_data_page_size_limit(QUICK_PAGE_BYTES)
            .set_write_batch_size(QUICK_BATCH_VALUES);
        for column in HARDLY_REPEATED {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        for leaf in schema.fields().iter().flat_map(map_leaves) {
            if leaf.is_number {
                properties = properties.set_column_compression(leaf.path.clone(), Compression::UNCOMPRESSED);
            }
            properties = properties.set_column_dictionary_enabled(leaf.path, false);
        }
    }
    if let Some(bounded) = &stats.stats_columns {
        // Smallest and largest values help only where queries bound a column. Finding them in the maps of features costs
        // more than writing these.
        properties = properties.set_statistics_enabled(EnabledStatistics::None);
        for column in bounded {
            properties =
                properties.set_column_statistics_enabled(ColumnPath::from(column.as_str()), EnabledStatistics::Page);
        }
    }
    let config = WriterConfig::new(
        schema,
        Vec::new(),
        Some(properties.build()),
        None,
        Some(ROW_GROUP_ROWS),
        stats.num_indexed_cols,
        stats.stats_columns,
    );
    Ok(DeltaWriter::new(memory, config))
}

/// A column of keys or of values of a map.
struct MapLeaf {
    path: ColumnPath,
    is_number: bool,
}

/// The columns of keys and of values of a map; none of another column.
fn map_leaves(field: &FieldRef) -> Vec<MapLeaf> {
    let DataType::Map(entries, _) = field.data_type() else {
        return Vec::new();
    };
    let DataType::Struct(parts) = entries.data_type() else {
        return Vec::new();
    };
    let leaf = |part: &FieldRef| MapLeaf {
        path: ColumnPath::new([field, entries, part].map(|one| one.name().clone()).to_vec()),
        is_number: part.data_type().is_numeric(),
    };
    parts.iter().map(leaf).collect()
}

/// Removes files that no commit names and none will. A file that stays does no harm, so a failure is only logged.
pub(crate) async fn discard(name: &TableName, table: &DeltaTable, adds: Vec<Add>) {
    let paths: Vec<_> = adds.into_iter().map(|add| Ok(Path::from(add.path))).collect();
    let store = table.log_store().object_store(None);
    let removed = store
        .delete_stream(stream::iter(paths).boxed())
        .try_collect::<Vec<_>>()
        .await;
    if let Err(error) = removed {
        tracing::warn!(table = %name, %error, "a data file that no table refers to could not be removed");
    }
}
