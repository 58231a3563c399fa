//! What can go wrong in the lake, with the table, what was being done, and what to do about it.
//!
//! Expected conflicts (a repeated batch, a run that another process holds) are answers of the calls that meet them,
//! not errors.

use std::error::Error;
use std::io;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use lakeloop_domain::{FeatureViewName, ModelStage, ModelVersion, RunId, StrategyName};

use crate::TableName;

/// Why the lake could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The location is no folder or URL that a lake can live in.
    #[error(
        "`{location}` cannot hold a lake: {found}; name a new or empty folder, or an s3:// URL, as the lake's location"
    )]
    NotALake {
        /// What was opened.
        location: String,
        /// What was found there.
        found: String,
    },
    /// The store refused or failed.
    #[error("could not {doing} at `{path}`: {source}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: String,
        /// Why not.
        source: Box<DeltaTableError>,
    },
    /// The store may be read but not written.
    #[error(
        "could not {doing} at `{path}`: it is read-only for this process; give it write permission, or name another location"
    )]
    ReadOnly {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: String,
        /// What the store said.
        source: Box<DeltaTableError>,
    },
    /// The disk is full.
    #[error("could not {doing} at `{path}`: no space is left; free some and try again, nothing was committed")]
    OutOfSpace {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: String,
        /// What the store said.
        source: Box<DeltaTableError>,
    },
    /// The table's log cannot be read.
    #[error(
        "the log of `{table}` is damaged: {found}; restore `{path}` from a backup, or move the table's folder away to begin it anew"
    )]
    Damaged {
        /// The table.
        table: TableName,
        /// The file, or the log's folder.
        path: String,
        /// What is wrong with it.
        found: String,
        /// What reading it said.
        source: Box<DeltaTableError>,
    },
    /// The table is not the one that this version of lakeloop writes; it was left as it is.
    #[error(
        "table `{table}` at `{path}` is not lakeloop's: {difference}; name another location, or move that folder away"
    )]
    SchemaDiffers {
        /// The table.
        table: TableName,
        /// Where it lies.
        path: String,
        /// The first difference.
        difference: String,
    },
    /// The table's folder vanished while the lake was open.
    #[error("table `{table}` at `{path}` is gone; put its folder back, or restart to begin it anew")]
    Vanished {
        /// The table.
        table: TableName,
        /// Where it lay.
        path: String,
    },
    /// There is no such table.
    #[error("there is no table `{table}` in `{location}`; create it first")]
    NoSuchTable {
        /// The table.
        table: TableName,
        /// The lake.
        location: String,
    },
    /// The text names no table.
    #[error(
        "`{name}` names no table; write one of blueprints, decisions, outcomes, models, trials, training_sets, training_rows, job_runs or features.<view>"
    )]
    NoSuchTableName {
        /// The text.
        name: String,
    },
    /// The table has no such version, or not any more.
    #[error("`{table}` has no version {asked}; it can be read at {oldest} to {newest}")]
    NoSuchVersion {
        /// The table.
        table: TableName,
        /// The version asked for.
        asked: i64,
        /// The oldest one there is.
        oldest: i64,
        /// The newest one there is.
        newest: i64,
    },
    /// Rows do not fit the table; none was written.
    #[error("rows do not fit `{table}`: column `{column}` {found}")]
    RowsDiffer {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// What is wrong with it.
        found: String,
    },
    /// A value has no place in the table, or a stored value is none that lakeloop writes.
    #[error("`{table}`, column `{column}`: {found}")]
    Value {
        /// The table.
        table: TableName,
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        found: String,
    },
    /// Arrow could not build or convert columns.
    #[error("could not convert rows of `{table}`: {source}")]
    Arrow {
        /// The table.
        table: TableName,
        /// Why not.
        source: ArrowError,
    },
    /// Reading rows failed.
    #[error("could not read `{table}`: {source}")]
    Read {
        /// The table.
        table: TableName,
        /// Why not.
        source: Box<DataFusionError>,
    },
    /// Others kept committing first.
    #[error("`{table}` changed {attempts} times while one change was tried; nothing was written, try again")]
    Contended {
        /// The table.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
    },
    /// The feature view exists with other columns.
    #[error(
        "feature view `{view}` exists and differs: {difference}; use its columns, or give the new view another name"
    )]
    FeatureViewDiffers {
        /// The view.
        view: FeatureViewName,
        /// The first difference.
        difference: String,
    },
    /// A feature view cannot have such columns.
    #[error("feature view `{view}` cannot have these columns: {found}")]
    FeatureViewColumns {
        /// The view.
        view: FeatureViewName,
        /// What is wrong.
        found: String,
    },
    /// There is no such run of a job.
    #[error("there is no run `{run_id}`; claim the job first")]
    NoSuchRun {
        /// The run.
        run_id: RunId,
    },
    /// The registry has no such model.
    #[error("strategy `{strategy}` has no model {version}; `lakeloop models` lists those there are")]
    NoSuchModel {
        /// The strategy.
        strategy: StrategyName,
        /// The version.
        version: ModelVersion,
    },
    /// The model may not go from where it stands to where it was meant to go.
    #[error("model {version} of `{strategy}` is {} and cannot become {}; a candidate can go live or retire, a live one retire, a retired one go live again", from.as_str(), to.as_str())]
    StageRefused {
        /// The strategy.
        strategy: StrategyName,
        /// The version.
        version: ModelVersion,
        /// Where it stands.
        from: ModelStage,
        /// Where it was to go.
        to: ModelStage,
    },
}

impl LakeError {
    /// Wraps a failure of the store, telling a full disk and a read-only place from others.
    pub(crate) fn storage(doing: &'static str, path: impl Into<String>, source: DeltaTableError) -> Self {
        let path = path.into();
        let kind = io_kind(&source);
        let source = Box::new(source);
        match kind {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::OutOfSpace { doing, path, source },
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                Self::ReadOnly { doing, path, source }
            }
            _ => Self::Storage { doing, path, source },
        }
    }

    /// Wraps a failure of reading rows.
    pub(crate) fn read(table: &TableName, source: DataFusionError) -> Self {
        Self::Read {
            table: table.clone(),
            source: Box::new(source),
        }
    }

    /// True when the store is full: the caller may keep what it holds and try again once there is space.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::OutOfSpace { .. })
            || matches!(
                io_kind(self),
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            )
    }
}

/// The kind of the first input/output error among an error and its causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An io::Error made from another error has that one inside, not as its source.
            let inner = io.get_ref().and_then(|inner| io_kind(inner));
            return inner.or(Some(io.kind()));
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_read_only_place() {
        let wrapped = |kind: io::ErrorKind| {
            let source = DeltaTableError::GenericError {
                source: Box::new(io::Error::new(kind, "x")),
            };
            LakeError::storage("write rows", "/lake/decisions", source)
        };
        assert!(wrapped(io::ErrorKind::StorageFull).is_out_of_space());
        assert!(matches!(
            wrapped(io::ErrorKind::PermissionDenied),
            LakeError::ReadOnly { .. }
        ));
        assert!(matches!(wrapped(io::ErrorKind::Other), LakeError::Storage { .. }));
    }
}
