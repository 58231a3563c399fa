//! Why an import did not happen.

use std::io;
use std::path::PathBuf;

use lakeloop_domain::StrategyName;
use lakeloop_lake::LakeError;

use crate::mapping::MappingProblem;
use crate::{BadRow, ImportReport};

/// Why an import failed. Unless it is an error of the lake or the file changed meanwhile, nothing was written; in any
/// case the same import can be run again and goes on where it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The mapping is not valid, or does not fit the file or the blueprint; one line for each mistake.
    #[error("{}", .0.iter().map(MappingProblem::to_string).collect::<Vec<_>>().join("\n"))]
    Mapping(Vec<MappingProblem>),
    /// The strategy has no blueprint in force.
    #[error(
        "strategy `{strategy}` is not applied, so the types of its context are unknown; apply its blueprint first with `lakeloop apply`{}",
        applied_words(.applied)
    )]
    NotApplied {
        /// The strategy that the mapping names.
        strategy: StrategyName,
        /// The strategies that are applied.
        applied: Vec<StrategyName>,
    },
    /// The name of the file does not say what it holds.
    #[error("the name of {} does not end in .csv, .parquet, .ndjson or .jsonl; say what it is with --format csv, parquet or ndjson", .file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what its format says, so that no further row can be told apart.
    #[error("{} is not readable as {format}: {found}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The word of the format.
        format: &'static str,
        /// Where and why.
        found: String,
    },
    /// Rows are bad, and the import was to be strict.
    #[error("{} of {} rows of {} are bad, so nothing was written:{}", .report.bad_rows, .report.rows_read, .file.display(), sample_lines(.file, .report))]
    BadRows {
        /// The file.
        file: PathBuf,
        /// What was read.
        report: Box<ImportReport>,
    },
    /// The file changed while it was being imported.
    #[error("{} changed while it was read; import it again once it is complete", .file.display())]
    Changed {
        /// The file.
        file: PathBuf,
    },
    /// The lake could not do its part.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The process is ending.
    #[error("the import was stopped; run it again and it goes on where it stopped")]
    Stopped,
}

fn applied_words(applied: &[StrategyName]) -> String {
    match applied {
        [] => String::new(),
        some => {
            let names: Vec<&str> = some.iter().map(StrategyName::as_str).collect();
            format!(" (applied are: {})", names.join(", "))
        }
    }
}

fn sample_lines(file: &std::path::Path, report: &ImportReport) -> String {
    let line = |bad: &BadRow| format!("\n{}:{bad}", file.display());
    let mut lines: String = report.samples.iter().map(line).collect();
    let n_more = report.bad_rows - report.samples.len() as u64;
    if n_more > 0 {
        lines.push_str(&format!("\n… and {n_more} more"));
    }
    lines
}
