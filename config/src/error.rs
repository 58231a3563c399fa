//! What can be wrong with a file, a variable or a folder, in the words that a user meets.

use std::fmt;
use std::path::PathBuf;

use crate::document::{Problem, line_and_column};

/// One thing wrong in a blueprint, with its place: `menu.toml:14:11: policy.epsilon: 1.5 is not a probability; …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{message}", prefix(key))]
pub struct BlueprintError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The dotted key; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

fn prefix(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    }
}

impl BlueprintError {
    pub(crate) fn new(file: &str, text: &str, problem: Problem) -> Self {
        let (line, column) = line_and_column(text, problem.offset);
        Self {
            file: file.to_owned(),
            line,
            column,
            key: problem.key,
            message: problem.message,
        }
    }
}

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingPlace {
    /// In a file.
    File {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
}

impl fmt::Display for SettingPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One thing wrong in the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{message}", prefix(key))]
pub struct SettingError {
    /// Where it was written.
    pub place: SettingPlace,
    /// The dotted key; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Why settings or blueprints could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings are not valid; one line for each error.
    #[error("{}", lines(.0))]
    Settings(Vec<SettingError>),
    /// Blueprints are not valid; one line for each error.
    #[error("{}", lines(.0))]
    Blueprints(Vec<BlueprintError>),
    /// Checked layers of settings did not merge.
    #[error("cannot merge the settings: {0}")]
    Merge(#[source] Box<figment::Error>),
}

fn lines<E: fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(E::to_string).collect::<Vec<_>>().join("\n")
}
