//! The formats of files.

use std::path::Path;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values in UTF-8 with a header (RFC 4180).
    Csv,
    /// Apache Parquet with plain columns.
    Parquet,
    /// One JSON object on each line.
    NdJson,
}

impl Format {
    /// The format that a word names, in any case: `csv`, `parquet`, `ndjson` or `jsonl`.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "ndjson" | "jsonl" => Some(Self::NdJson),
            _ => None,
        }
    }

    /// The format that the extension of a file names.
    pub fn of(file: &Path) -> Option<Self> {
        Self::parse(file.extension()?.to_str()?)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::NdJson => "ndjson",
        }
    }
}
