//! Schemas in words: which alternatives a schema offers, and what it asks an author to write.

use serde_json::Value as Schema;

use crate::document::quoted;
use crate::form::Form;
use crate::schema::BUILT;

/// The alternatives of a schema.
pub(crate) enum Branches<'s> {
    /// It has none.
    None,
    /// One of some words, each with whether it is built.
    Words(Vec<(&'s str, bool)>),
    /// Tables told apart by the word under one key.
    Tagged {
        /// The key.
        tag: &'s str,
        /// The table for each word.
        branches: Vec<(&'s str, &'s Schema)>,
    },
    /// Values told apart by their type.
    Alternatives(Vec<&'s Schema>),
}

impl<'s> Branches<'s> {
    /// Reads them from a schema.
    pub(crate) fn of(schema: &'s Schema) -> Self {
        if let Some(word) = schema.get("const").and_then(Schema::as_str) {
            return Self::Words(vec![(word, is_built(schema))]);
        }
        if let Some(words) = schema.get("enum").and_then(Schema::as_array) {
            return Self::Words(
                words
                    .iter()
                    .filter_map(Schema::as_str)
                    .map(|word| (word, true))
                    .collect(),
            );
        }
        let branches = schema
            .get("oneOf")
            .or_else(|| schema.get("anyOf"))
            .and_then(Schema::as_array);
        let Some(branches) = branches else { return Self::None };
        let words: Option<Vec<_>> = branches.iter().map(words_of).collect();
        if let Some(words) = words {
            return Self::Words(words.concat());
        }
        let tagged: Option<Vec<_>> = branches.iter().map(|branch| Some((tag_of(branch)?, branch))).collect();
        match tagged {
            Some(tagged) => Self::Tagged {
                tag: tagged.first().map_or("", |((tag, _), _)| *tag),
                branches: tagged.into_iter().map(|((_, word), branch)| (word, branch)).collect(),
            },
            None => Self::Alternatives(branches.iter().collect()),
        }
    }
}

/// The words that a branch stands for, when it is one of words only.
fn words_of(branch: &Schema) -> Option<Vec<(&str, bool)>> {
    match (branch.get("const"), branch.get("enum")) {
        (Some(word), _) => Some(vec![(word.as_str()?, is_built(branch))]),
        (None, Some(words)) => words
            .as_array()?
            .iter()
            .map(|word| Some((word.as_str()?, true)))
            .collect(),
        (None, None) => None,
    }
}

/// The key and the word by which a branch is told from its siblings.
fn tag_of(branch: &Schema) -> Option<(&str, &str)> {
    let properties = branch.get("properties")?.as_object()?;
    properties
        .iter()
        .find_map(|(key, property)| Some((key.as_str(), property.get("const")?.as_str()?)))
}

/// False for what is declared only.
pub(crate) fn is_built(schema: &Schema) -> bool {
    schema.get(BUILT) != Some(&Schema::Bool(false))
}

/// What to write where a value of this schema stands.
pub(crate) fn expectation(schema: &Schema) -> String {
    match Branches::of(schema) {
        Branches::Words(words) => built_words(&words),
        Branches::Tagged { tag, branches } => {
            let words: Vec<_> = branches
                .iter()
                .map(|(word, branch)| (*word, is_built(branch)))
                .collect();
            format!("a table whose {tag} is {}", built_words(&words))
        }
        Branches::Alternatives(branches) => {
            let each: Vec<String> = branches.iter().map(|branch| expectation(branch)).collect();
            listed(&each)
        }
        Branches::None => plain_expectation(schema),
    }
}

/// Those of some words that are built, as a choice.
pub(crate) fn built_words(words: &[(&str, bool)]) -> String {
    let built: Vec<String> = words
        .iter()
        .filter(|(_, built)| *built)
        .map(|(word, _)| quoted(word))
        .collect();
    listed(&built)
}

fn plain_expectation(schema: &Schema) -> String {
    if let Some(form) = Form::of(schema) {
        return form.expected().to_owned();
    }
    match schema.get("type").and_then(Schema::as_str) {
        Some("boolean") => "true or false".into(),
        Some("string") => "a text in quotes".into(),
        Some("integer") => format!("a whole number{}", range(schema)),
        Some("number") => format!("a number{}", range(schema)),
        Some("array") => match schema.get("minItems").and_then(Schema::as_u64) {
            Some(fewest) => format!("a list of {fewest} or more"),
            None => "a list".into(),
        },
        _ => table_expectation(schema),
    }
}

fn table_expectation(schema: &Schema) -> String {
    let mut required: Vec<String> = (schema.get("required").and_then(Schema::as_array).into_iter().flatten())
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    required.sort_unstable();
    // A longer list says no more than the documentation does.
    const LONGEST: usize = 4;
    if required.len() > LONGEST {
        required.clear();
    }
    let each = schema.get("additionalProperties").filter(|schema| schema.is_object());
    match (required.as_slice(), each) {
        ([], Some(each)) => format!("a table whose keys you name, with {} for each", expectation(each)),
        ([], None) => "a table".into(),
        ([only], _) => format!("a table with {only}"),
        ([init @ .., last], _) => format!("a table with {} and {last}", init.join(", ")),
    }
}

fn range(schema: &Schema) -> String {
    let bound = |keyword| schema.get(keyword).and_then(Schema::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(minimum), Some(maximum)) => format!(" from {minimum} to {maximum}"),
        (Some(minimum), None) => format!(", {minimum} or more"),
        (None, Some(maximum)) => format!(", {maximum} or less"),
        (None, None) => String::new(),
    }
}

/// `a, b or c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
