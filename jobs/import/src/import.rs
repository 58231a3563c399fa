//! The import itself: judge the mapping, check every row, then write the chunks that are not in the tables yet.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;

use lakeloop_domain::Micros;
use lakeloop_lake::{Append, Lake, WriterSequence};

use crate::identity::{Stamp, application_id};
use crate::mapping::Mapping;
use crate::pass::{CHUNK_ROWS, Chunk, Pass, Source};
use crate::plan::Plan;
use crate::report::N_SAMPLES;
use crate::{Format, ImportError, ImportReport, Progress};

/// What to import.
#[derive(Debug, Clone, Copy)]
pub struct ImportRequest<'a> {
    /// The file.
    pub file: &'a Path,
    /// What messages call the mapping.
    pub mapping_file: &'a str,
    /// The mapping, as TOML.
    pub mapping_text: &'a str,
    /// How the file is written; `None`: as its extension says.
    pub format: Option<Format>,
    /// True: a file with any bad row is refused as a whole. False: bad rows are left out and reported.
    pub strict: bool,
    /// The instant at which the rows are received.
    pub now: Micros,
}

/// Imports a file.
///
/// The file is read twice, once to check it and once to write it; memory holds a chunk of 20,000 rows at a time, and 16
/// bytes for each row where decision ids come from a column. Errors before the first chunk leave the lake as it was.
/// After a later one, or a kill, the same import goes on where it stopped; once it is complete, running it again
/// writes nothing.
pub async fn import(
    lake: &Lake,
    request: ImportRequest<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, ImportError> {
    let mapping = Mapping::parse(request.mapping_file, request.mapping_text).map_err(ImportError::Mapping)?;
    let plan = Plan::new(lake, request.mapping_file, mapping, request.now).await?;
    let source = source(request, plan)?;
    let application = identify(&source).await?;

    let mut report = check(&source, progress).await?;
    if request.strict && report.bad_rows > 0 {
        return Err(ImportError::BadRows {
            file: request.file.to_owned(),
            report: Box::new(report),
        });
    }
    if report.bad_rows < report.rows_read {
        write(lake, &source, &application, &mut report, progress).await?;
    }
    tracing::info!(
        application,
        file = %request.file.display(),
        rows_read = report.rows_read,
        bad_rows = report.bad_rows,
        already_imported = report.already_imported,
        "imported a file"
    );
    Ok(report)
}

fn source(request: ImportRequest<'_>, plan: Plan) -> Result<Source, ImportError> {
    let format = request.format.or_else(|| Format::of(request.file));
    Ok(Source {
        file: request.file.into(),
        format: format.ok_or_else(|| ImportError::UnknownFormat {
            file: request.file.to_owned(),
        })?,
        mapping_file: request.mapping_file.into(),
        plan,
        stamp: Stamp::of(request.file)?,
    })
}

async fn identify(source: &Source) -> Result<String, ImportError> {
    let source = source.clone();
    blocking(move || application_id(&source.file, &source.plan.mapping)).await?
}

/// The first pass: reads every row and writes none.
async fn check(source: &Source, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport {
        rows_written: source
            .plan
            .tables()
            .into_iter()
            .map(|table| (table, 0))
            .collect::<BTreeMap<_, _>>(),
        ..ImportReport::default()
    };
    let mut pass = begin(source).await?;
    while let Some(chunk) = next_chunk(&mut pass).await? {
        report.rows_read += chunk.n_rows;
        report.bad_rows += chunk.bad_rows.len() as u64;
        let n_more = N_SAMPLES - report.samples.len();
        report.samples.extend(chunk.bad_rows.into_iter().take(n_more));
        progress(Progress::Checked {
            n_rows: report.rows_read,
        });
    }
    Ok(report)
}

/// The second pass: appends every chunk to its tables, those that are there already excepted.
///
/// The tables of a chunk take it one after another, each under the import's application id and the number of the
/// chunk, so what a kill left out is exactly what is still to be appended.
async fn write(
    lake: &Lake,
    source: &Source,
    application: &str,
    report: &mut ImportReport,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), ImportError> {
    source.plan.prepare(lake).await?;
    let tables = source.plan.tables();
    let mut n_there = i64::MAX;
    for table in &tables {
        n_there = n_there.min(lake.last_sequence(table, application).await?.unwrap_or(0));
    }
    let n_chunks = report.rows_read.div_ceil(CHUNK_ROWS);
    if u64::try_from(n_there).is_ok_and(|n_there| n_there >= n_chunks) {
        report.already_imported = true;
        return Ok(());
    }
    let mut pass = begin(source).await?;
    let (mut sequence, mut n_rows) = (0, 0);
    while let Some(chunk) = next_chunk(&mut pass).await? {
        sequence += 1;
        n_rows += chunk.n_rows;
        if sequence <= n_there {
            continue;
        }
        for (table, batch) in tables.iter().zip(source.plan.batches(&chunk.records)?) {
            let n_batch = batch.num_rows() as u64;
            let writer = WriterSequence {
                app_id: application.to_owned(),
                version: sequence,
            };
            match lake.append(table, vec![batch], Some(writer)).await? {
                Append::Committed { .. } => *report.rows_written.entry(table.clone()).or_default() += n_batch,
                Append::AlreadyCommitted => {}
            }
            progress(Progress::Written {
                table: table.clone(),
                n_rows,
                of: report.rows_read,
            });
        }
    }
    Ok(())
}

/// A pass that is handed to a thread and back, chunk by chunk; absent only after an error.
type Shared = Option<Pass>;

async fn begin(source: &Source) -> Result<Shared, ImportError> {
    let source = source.clone();
    blocking(move || Pass::begin(source)).await?.map(Some)
}

/// Reads the next chunk on a thread that may block.
async fn next_chunk(pass: &mut Shared) -> Result<Option<Chunk>, ImportError> {
    let Some(mut moved) = pass.take() else { return Ok(None) };
    let (moved, chunk) = blocking(move || {
        let chunk = moved.next_chunk();
        (moved, chunk)
    })
    .await?;
    *pass = Some(moved);
    chunk
}

/// Does work that reads files on a thread of its own; its panic is the caller's.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(ImportError::Stopped),
        },
    }
}
