//! A TOML file with the place of each key and value, so that every error can say where it stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong at one place of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Byte offset in the text.
    pub(crate) offset: usize,
    /// The dotted key; empty where the text is no TOML.
    pub(crate) key: String,
    /// What is wrong, and what to write instead.
    pub(crate) message: String,
}

/// A parsed text.
pub(crate) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Parses the text; its syntax errors come back at once, one for each line.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { text, root });
        }
        let problem = |error: &toml::de::Error| Problem {
            offset: error.span().map_or(0, |span| span.start),
            key: String::new(),
            message: format!("this is no TOML: {}", error.message().trim().replace('\n', ", ")),
        };
        let mut problems: Vec<Problem> = errors.iter().map(problem).collect();
        problems.sort_by_key(|problem| problem.offset);
        // What follows on the same line follows from the first error there.
        problems.dedup_by_key(|problem| line_and_column(text, problem.offset).0);
        Err(problems)
    }

    /// The outermost table.
    pub(crate) fn root(&self) -> &DeTable<'t> {
        self.root.get_ref()
    }

    /// The value at a path of keys.
    pub(crate) fn value(&self, path: &[&str]) -> Option<&Spanned<DeValue<'t>>> {
        let (first, rest) = path.split_first()?;
        let mut found = self.root().get(*first)?;
        for key in rest {
            found = found.get_ref().get(*key)?;
        }
        Some(found)
    }

    /// Where the value at a path begins; where there is none, its nearest parent; else the beginning of the text.
    pub(crate) fn offset_of(&self, path: &[&str]) -> usize {
        (1..=path.len())
            .rev()
            .find_map(|n_keys| self.value(&path[..n_keys]))
            .map_or(0, |value| value.span().start)
    }

    /// The text of a value as its author wrote it, on one line and not too long.
    pub(crate) fn shown(&self, span: Range<usize>) -> String {
        const LONGEST: usize = 60;
        let written = self.text.get(span).unwrap_or_default();
        let line = written.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= LONGEST {
            return line;
        }
        let head: String = line.chars().take(LONGEST).collect();
        format!("{head}…")
    }
}

/// The line and the column of a byte offset, both counted from 1; columns count characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Appends a key to a dotted path, in quotes where TOML wants them.
pub(crate) fn joined(path: &str, key: &str) -> String {
    let key = bare_or_quoted(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A key as TOML writes it.
pub(crate) fn bare_or_quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// A text as TOML writes it, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\nérable = 2\n";
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, text.find('2').unwrap()), (2, 10));
    }

    #[test]
    fn a_path_without_value_falls_back_to_its_parent() {
        let document = Document::parse("[policy]\nkind = \"greedy\"\n").ok().unwrap();
        assert_eq!(document.offset_of(&["policy", "kind"]), 16);
        assert_eq!(document.offset_of(&["policy", "epsilon"]), 0);
        assert_eq!(document.offset_of(&["schedule"]), 0);
    }

    #[test]
    fn every_line_with_a_syntax_error_is_told() {
        let problems = Document::parse("a = \nb = 1\nc == 2\n").err().unwrap();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn keys_and_texts_are_quoted_as_toml_wants() {
        assert_eq!(joined("context", "age"), "context.age");
        assert_eq!(joined("", "a b"), "\"a b\"");
        assert_eq!(quoted("say \"hi\"\n"), "\"say \\\"hi\\\"\\u000a\"");
    }
}
