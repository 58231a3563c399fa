//! The structure check: walks a document along a schema and collects everything that does not fit.
//!
//! Unknown and refused keys are told and left out; a value that does not fit takes the tables around it with it, up
//! to its section, so that later rules see whole sections or none.

use serde_json::Value as Schema;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::{Document, Problem, joined, quoted};
use crate::expectation::{Branches, built_words, expectation, is_built};
use crate::fit::{accepts, accepts_table, number, within};
use crate::form::Form;
use crate::nearest::nearest;
use crate::wording::{missing, not_built, type_in_words, unfit_form, unknown_key};

/// A key that once had another name: (old dotted path, new dotted path).
pub(crate) type Renamed<'r> = &'r [(&'r str, &'r str)];

/// How strictly to check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strictness<'r> {
    /// False for a layer that only overrides: nothing is required of it.
    pub(crate) complete: bool,
    /// Keys that get a message of their own.
    pub(crate) renamed: Renamed<'r>,
}

/// What the check found.
pub(crate) struct Checked {
    /// The sections that are sound.
    pub(crate) sound: toml::Table,
    /// The sections that stand in the document but are not sound.
    pub(crate) unsound: Vec<String>,
    /// Everything that does not fit.
    pub(crate) problems: Vec<Problem>,
}

/// Checks a document against a schema made by `schema::of`.
pub(crate) fn check(document: &Document<'_>, schema: &Schema, strictness: Strictness<'_>) -> Checked {
    let mut walk = Walk {
        document,
        strictness,
        problems: Vec::new(),
    };
    let mut sound = toml::Table::new();
    let mut unsound = Vec::new();
    let keys = walk.keys(schema, "", document.root(), 0, &[]);
    for (key, value) in keys.checked {
        match value {
            Some(value) => drop(sound.insert(key, value)),
            None => unsound.push(key),
        }
    }
    Checked {
        sound,
        unsound,
        problems: walk.problems,
    }
}

struct Walk<'d, 't> {
    document: &'d Document<'t>,
    strictness: Strictness<'d>,
    problems: Vec<Problem>,
}

/// The keys of one table that the schema knows, each with its value where that is sound.
struct Keys {
    checked: Vec<(String, Option<toml::Value>)>,
    is_complete: bool,
}

impl Walk<'_, '_> {
    fn report(&mut self, offset: usize, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            offset,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// Checks one value; `None` when it is not sound.
    fn value(&mut self, schema: &Schema, path: &str, node: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
        match Branches::of(schema) {
            Branches::None => self.plain(schema, schema, path, node),
            Branches::Words(words) => self.word(&expectation(schema), &words, path, node),
            Branches::Tagged { tag, branches } => self.tagged(schema, tag, &branches, path, node),
            Branches::Alternatives(branches) => {
                let of_its_type = |branch: &&&Schema| accepts(branch, node.get_ref());
                let names_it = |branch: &&&Schema| match (Branches::of(branch), node.get_ref().as_str()) {
                    (Branches::Words(words), Some(text)) => words.iter().any(|(word, _)| *word == text),
                    _ => false,
                };
                let is_words = |branch: &&&Schema| matches!(Branches::of(branch), Branches::Words(_));
                let candidates = || branches.iter().filter(of_its_type);
                let chosen = (candidates().find(names_it))
                    .or_else(|| candidates().find(|branch| !is_words(branch)))
                    .or_else(|| candidates().next());
                match chosen {
                    Some(branch) if accepts_table(branch) => self.value(branch, path, node),
                    Some(branch) => match Branches::of(branch) {
                        Branches::Words(words) => self.word(&expectation(schema), &words, path, node),
                        _ => self.plain(branch, schema, path, node),
                    },
                    None => self.unfit(schema, path, node),
                }
            }
        }
    }

    /// A value that must be one of some words.
    fn word(
        &mut self,
        expected: &str,
        words: &[(&str, bool)],
        path: &str,
        node: &Spanned<DeValue<'_>>,
    ) -> Option<toml::Value> {
        let Some(text) = node.get_ref().as_str() else {
            return self.unfit_type(expected, path, node);
        };
        let offset = node.span().start;
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, true)) => return Some(toml::Value::String(text.to_owned())),
            Some((_, false)) => self.report(
                offset,
                path,
                format!("{} or write {expected}", not_built(&quoted(text))),
            ),
            None => {
                let built = words.iter().filter(|(_, built)| *built).map(|(word, _)| *word);
                let message = match nearest(text, built) {
                    Some(word) => format!("{} is unknown; did you mean {}?", quoted(text), quoted(word)),
                    None => format!("{} is unknown; write {}", quoted(text), expected),
                };
                self.report(offset, path, message);
            }
        }
        None
    }

    /// A table whose form depends on the word under its tag.
    fn tagged(
        &mut self,
        whole: &Schema,
        tag: &str,
        branches: &[(&str, &Schema)],
        path: &str,
        node: &Spanned<DeValue<'_>>,
    ) -> Option<toml::Value> {
        let Some(table) = node.get_ref().as_table() else {
            return self.unfit(whole, path, node);
        };
        let words: Vec<(&str, bool)> = branches
            .iter()
            .map(|(word, branch)| (*word, is_built(branch)))
            .collect();
        let tag_path = joined(path, tag);
        let kinds = built_words(&words);
        let Some(tag_node) = table.get(tag) else {
            self.report(node.span().start, &tag_path, format!("missing; write {kinds}"));
            return None;
        };
        let chosen = self.word(&kinds, &words, &tag_path, tag_node)?;
        let (_, branch) = branches.iter().find(|(word, _)| Some(*word) == chosen.as_str())?;
        self.table(branch, path, table, node.span().start, branches)
    }

    /// A value without alternatives. `whole` is what the message asks for when it does not fit.
    fn plain(
        &mut self,
        schema: &Schema,
        whole: &Schema,
        path: &str,
        node: &Spanned<DeValue<'_>>,
    ) -> Option<toml::Value> {
        let type_name = schema.get("type").and_then(Schema::as_str);
        match (type_name, node.get_ref()) {
            (Some("object"), DeValue::Table(table)) => self.table(schema, path, table, node.span().start, &[]),
            (Some("array"), DeValue::Array(_)) => self.list(schema, path, node),
            (Some("boolean"), DeValue::Boolean(value)) => Some(toml::Value::Boolean(*value)),
            (Some("string"), DeValue::String(text)) => self.text(schema, whole, path, node, text),
            (Some("integer"), DeValue::Integer(integer)) => {
                let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                // Bounds in these schemas are small whole numbers, which f64 holds exactly.
                match value.filter(|value| within(schema, *value as f64)) {
                    Some(value) => Some(toml::Value::Integer(value)),
                    None => self.out_of_range(whole, path, node),
                }
            }
            (Some("number"), DeValue::Integer(_) | DeValue::Float(_)) => {
                let value = number(node.get_ref());
                match value.filter(|value| value.is_finite() && within(schema, *value)) {
                    Some(value) => Some(toml::Value::Float(value)),
                    None => self.out_of_range(whole, path, node),
                }
            }
            _ => self.unfit(whole, path, node),
        }
    }

    fn text(
        &mut self,
        schema: &Schema,
        whole: &Schema,
        path: &str,
        node: &Spanned<DeValue<'_>>,
        text: &str,
    ) -> Option<toml::Value> {
        let Some(form) = Form::of(schema) else {
            return Some(toml::Value::String(text.to_owned()));
        };
        match form.check(text) {
            Ok(()) => return Some(toml::Value::String(text.to_owned())),
            Err(why) => {
                let message = unfit_form(&self.document.shown(node.span()), form, why, &expectation(whole));
                self.report(node.span().start, path, message);
            }
        }
        None
    }

    fn list(&mut self, schema: &Schema, path: &str, node: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
        let items = node.get_ref().as_array()?;
        let fewest = schema.get("minItems").and_then(Schema::as_u64).unwrap_or(0);
        if (items.len() as u64) < fewest {
            let shown = self.document.shown(node.span());
            let message = format!("{shown} is too short; write {}", expectation(schema));
            self.report(node.span().start, path, message);
            return None;
        }
        let item_schema = schema.get("items").unwrap_or(&Schema::Null);
        let checked: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.value(item_schema, &format!("{path}[{index}]"), item))
            .collect();
        checked.into_iter().collect::<Option<Vec<_>>>().map(toml::Value::Array)
    }

    fn table(
        &mut self,
        schema: &Schema,
        path: &str,
        table: &DeTable<'_>,
        offset: usize,
        siblings: &[(&str, &Schema)],
    ) -> Option<toml::Value> {
        let fewest = schema.get("minProperties").and_then(Schema::as_u64).unwrap_or(0);
        if self.strictness.complete && (table.len() as u64) < fewest {
            self.report(offset, path, format!("it is empty; write {}", expectation(schema)));
            return None;
        }
        let keys = self.keys(schema, path, table, offset, siblings);
        let sound: Option<toml::Table> = keys
            .checked
            .into_iter()
            .map(|(key, value)| Some((key, value?)))
            .collect();
        sound.filter(|_| keys.is_complete).map(toml::Value::Table)
    }

    /// Checks every key of a table, and that none is missing.
    fn keys(
        &mut self,
        schema: &Schema,
        path: &str,
        table: &DeTable<'_>,
        offset: usize,
        siblings: &[(&str, &Schema)],
    ) -> Keys {
        let properties = schema.get("properties").and_then(Schema::as_object);
        let named_freely = schema.get("additionalProperties").filter(|schema| schema.is_object());
        let mut keys = Keys {
            checked: Vec::new(),
            is_complete: true,
        };
        let mut meant = Vec::new();
        for (key, node) in table {
            let name = key.get_ref().as_ref();
            let key_path = joined(path, name);
            let key_offset = key.span().start;
            if let Some((_, new)) = self.strictness.renamed.iter().find(|(old, _)| *old == key_path) {
                self.report(
                    key_offset,
                    &key_path,
                    format!("this key is now called {new}; write that instead"),
                );
                continue;
            }
            match (properties.and_then(|known| known.get(name)), named_freely) {
                (Some(property), _) if !is_built(property) => {
                    let what = if node.get_ref().is_table() {
                        "this section"
                    } else {
                        "this key"
                    };
                    self.report(key_offset, &key_path, not_built(what));
                }
                (Some(property), _) => {
                    let value = self.value(property, &key_path, node);
                    keys.checked.push((name.to_owned(), value));
                }
                (None, Some(property)) => {
                    let value = self.value(property, &key_path, node);
                    let value = value.filter(|_| self.key_has_its_form(schema, name, &key_path, key_offset));
                    keys.checked.push((name.to_owned(), value));
                }
                (None, None) => {
                    let (message, suggested) = unknown_key(schema, name, siblings);
                    self.report(key_offset, &key_path, message);
                    meant.extend(suggested);
                }
            }
        }
        for required in schema.get("required").and_then(Schema::as_array).into_iter().flatten() {
            let Some(required) = required.as_str() else { continue };
            let is_there = table.get(required).is_some();
            if is_there || !self.strictness.complete {
                continue;
            }
            keys.is_complete = false;
            // A key that was misspelt has its message already.
            if !meant.iter().any(|suggested| suggested == required) {
                let wanted = properties.and_then(|known| known.get(required)).map(missing);
                self.report(offset, &joined(path, required), wanted.unwrap_or_default());
            }
        }
        keys
    }

    /// Checks a key whose name the author chose.
    fn key_has_its_form(&mut self, schema: &Schema, name: &str, path: &str, offset: usize) -> bool {
        let Some(form) = schema.get("propertyNames").and_then(Form::of) else {
            return true;
        };
        match form.check(name) {
            Ok(()) => true,
            Err(why) => {
                self.report(offset, path, unfit_form(&quoted(name), form, why, form.expected()));
                false
            }
        }
    }

    fn out_of_range(&mut self, whole: &Schema, path: &str, node: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
        let shown = self.document.shown(node.span());
        let is_finite = number(node.get_ref()).is_none_or(f64::is_finite);
        let why = match Form::of(whole) {
            Some(form) => format!("is not {}", form.what()),
            None if is_finite => "is out of range".to_owned(),
            None => "is not a finite number".to_owned(),
        };
        let message = format!("{shown} {why}; write {}", expectation(whole));
        self.report(node.span().start, path, message);
        None
    }

    /// Tells of a value of a wrong type.
    fn unfit(&mut self, whole: &Schema, path: &str, node: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
        let expected = expectation(whole);
        let Some(form) = Form::of(whole).filter(|_| !node.get_ref().is_table()) else {
            return self.unfit_type(&expected, path, node);
        };
        let message = unfit_form(&self.document.shown(node.span()), form, None, &expected);
        self.report(node.span().start, path, message);
        None
    }

    fn unfit_type(&mut self, expected: &str, path: &str, node: &Spanned<DeValue<'_>>) -> Option<toml::Value> {
        let message = match node.get_ref() {
            DeValue::Table(_) => format!("a table does not fit here; write {expected}"),
            value => {
                let shown = self.document.shown(node.span());
                format!("{shown} is {}; write {expected}", type_in_words(value))
            }
        };
        self.report(node.span().start, path, message);
        None
    }
}
