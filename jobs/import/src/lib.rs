//! Import: history from a file into the tables, by a mapping of columns that people write.
//!
//! ```text
//! mapping ─► plan (against the blueprint in force) ─┐
//! file ─► rows of cells ─► records, or bad rows ────┴─► chunks ─► the lake, each chunk once
//! ```
//!
//! A file is read twice: the first pass checks every row and writes nothing, so a file that cannot be read to its end,
//! or that has bad rows where none are wanted, leaves the lake as it was. The second pass writes chunks of rows, each
//! under the import's own application id and its number. The id comes from what the file and the mapping say, so an
//! import that is repeated, or that was killed and is run again, neither loses nor doubles a row.
//!
//! Invariants:
//! - a row is written whole or is counted as bad, with its line; nothing is guessed and nothing is dropped in silence;
//! - a local clock time becomes an instant only by a time zone that the mapping names;
//! - every imported decision has a propensity, because a log without it says nothing about another policy.
//!
//! Deliberately absent: transformations of values. What a mapping cannot say is for the program that writes the file.

mod import;

mod report;

mod format;

mod mapping;

mod plan;

mod pass;

mod decisions;

mod features;

mod values;

mod instant;

mod rows;

mod identity;

mod error;

pub use error::ImportError;
pub use format::Format;
pub use import::{ImportRequest, import};
pub use mapping::MappingProblem;
pub use report::{BadRow, ImportReport, Progress};
