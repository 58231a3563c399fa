//! The text of a mapping with the place of each key, and the collecting of what is wrong in it.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ColumnIdx, Mapping, SourceColumn, Target};

/// One thing wrong in a mapping, or between it and the file or the blueprint:
/// `weather.toml:6:10: columns.temp: the file has no column "tmp"; …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingProblem {
    /// The mapping, as the caller named it.
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

impl fmt::Display for MappingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            key,
            message,
        } = self;
        let separator = if key.is_empty() { "" } else { ": " };
        write!(f, "{file}:{line}:{column}: {key}{separator}{message}")
    }
}

/// Where something stands in a mapping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    line: usize,
    column: usize,
    key: String,
}

impl Place {
    /// What is wrong here.
    pub(crate) fn problem(&self, file: &str, message: String) -> MappingProblem {
        MappingProblem {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            key: self.key.clone(),
            message,
        }
    }
}

/// Parses the text; its syntax errors come back at once.
pub(super) fn parse<'t>(file: &str, text: &'t str) -> Result<Spanned<DeTable<'t>>, Vec<MappingProblem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let walk = Walk::new(file, text);
    let problem = |error: &toml::de::Error| {
        let message = format!("this is no TOML: {}", error.message().trim().replace('\n', ", "));
        let place = walk.place(error.span().map_or(0, |span| span.start), "");
        place.problem(file, message)
    };
    let mut problems: Vec<MappingProblem> = errors.iter().map(problem).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    // What follows on the same line follows from the first error there.
    problems.dedup_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(root) } else { Err(problems) }
}

/// A walk through a text that collects its problems and the columns that it names.
pub(super) struct Walk<'t> {
    file: &'t str,
    text: &'t str,
    problems: Vec<MappingProblem>,
    columns: Vec<SourceColumn>,
}

impl<'t> Walk<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self {
            file,
            text,
            problems: Vec::new(),
            columns: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, offset: usize, key: &str, message: impl Into<String>) {
        let problem = self.place(offset, key).problem(self.file, message.into());
        self.problems.push(problem);
    }

    pub(super) fn place(&self, offset: usize, key: &str) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: key.to_owned(),
        }
    }

    /// The position of a column of the file among those that are read.
    pub(super) fn column(&mut self, name: &str, node: &Node<'_, '_>) -> ColumnIdx {
        let known = self.columns.iter().position(|column| column.name == name);
        let idx = known.unwrap_or_else(|| {
            let place = self.place(node.offset(), &node.path);
            self.columns.push(SourceColumn {
                name: name.to_owned(),
                place,
            });
            self.columns.len() - 1
        });
        ColumnIdx(idx)
    }

    /// The mapping, unless there were problems.
    pub(super) fn into_mapping(self, missing: Vec<String>, target: Target) -> Result<Mapping, Vec<MappingProblem>> {
        if !self.problems.is_empty() {
            return Err(self.into_problems());
        }
        Ok(Mapping {
            missing,
            columns: self.columns,
            target,
        })
    }

    /// The problems in the order of the text.
    pub(super) fn into_problems(self) -> Vec<MappingProblem> {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

/// A value with its dotted key.
pub(super) struct Node<'d, 't> {
    pub(super) path: String,
    pub(super) value: &'d Spanned<DeValue<'t>>,
}

impl<'d, 't> Node<'d, 't> {
    pub(super) fn offset(&self) -> usize {
        self.value.span().start
    }

    pub(super) fn as_str(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// The value as a table of its own.
    pub(super) fn section(&self) -> Option<Section<'d, 't>> {
        Some(Section {
            path: self.path.clone(),
            offset: self.offset(),
            table: self.value.get_ref().as_table()?,
            known: Vec::new(),
        })
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self.value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|n| n as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        }
    }
}

/// A table of the mapping whose keys are taken one after another; those that nobody asked for are unknown.
pub(super) struct Section<'d, 't> {
    path: String,
    offset: usize,
    table: &'d DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'d, 't> Section<'d, 't> {
    pub(super) fn root(table: &'d DeTable<'t>) -> Self {
        Self {
            path: String::new(),
            offset: 0,
            table,
            known: Vec::new(),
        }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Node<'d, 't>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(Node {
            path: self.joined(key),
            value,
        })
    }

    /// The value of a key that must be there; its absence is a problem that says what to write.
    pub(super) fn required(&mut self, walk: &mut Walk<'_>, key: &'static str, expected: &str) -> Option<Node<'d, 't>> {
        let found = self.get(key);
        if found.is_none() {
            walk.report(self.offset, &self.joined(key), format!("missing; write {expected}"));
        }
        found
    }

    /// Every key with its value, for tables whose keys the author chooses.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, Node<'d, 't>)> {
        self.table.iter().map(|(key, value)| {
            let name: &'d str = key.get_ref();
            let path = self.joined(name);
            (name, Node { path, value })
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Tells of the keys that nobody asked for.
    pub(super) fn refuse_others(&self, walk: &mut Walk<'_>) {
        for (key, _) in self
            .table
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.get_ref().as_ref()))
        {
            let mut known = self.known.clone();
            known.sort_unstable();
            let message = format!("unknown key; the keys here are {}", known.join(", "));
            walk.report(key.span().start, &self.joined(key.get_ref()), message);
        }
    }

    fn joined(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}
