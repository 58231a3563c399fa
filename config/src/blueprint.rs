//! Blueprint files: from TOML text to a checked blueprint with its version.

use std::collections::BTreeMap;
use std::path::Path;

use lakeloop_domain::{Blueprint, BlueprintVersion, StrategyName};
use serde::Deserialize;

use crate::document::{Document, Problem};
use crate::error::{BlueprintError, ConfigError};
use crate::raw::RawBlueprint;
use crate::structure::{Strictness, check};
use crate::{lower, rules, schema};

/// A blueprint that was read and found valid.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedBlueprint {
    /// The checked blueprint.
    pub blueprint: Blueprint,
    /// The version of everything that it declares.
    pub version: BlueprintVersion,
    /// The text, as its author wrote it.
    pub source: String,
}

/// Reads a blueprint; `file` only names it in messages.
///
/// The error holds everything that is wrong, in the order of the text.
///
/// ```
/// let text = r#"
///     name = "banner"
///     unit = "user"
///     decision = { kind = "yes_no", default = false }
///     context = { age = "number" }
///     outcome = { event = "click", aggregation = "any", window = "30m" }
/// "#;
/// let parsed = lakeloop_config::parse_blueprint("banner.toml", text).unwrap();
/// assert_eq!(parsed.blueprint.actions(), ["no", "yes"]);
///
/// let errors = lakeloop_config::parse_blueprint("banner.toml", &text.replace("30m", "30")).unwrap_err();
/// assert_eq!((errors[0].line, errors[0].key.as_str()), (6, "outcome.window"));
/// ```
pub fn parse_blueprint(file: &str, text: &str) -> Result<ParsedBlueprint, Vec<BlueprintError>> {
    let blueprint = checked_blueprint(text).map_err(|mut problems| {
        problems.sort_by_key(|problem| problem.offset);
        problems
            .into_iter()
            .map(|problem| BlueprintError::new(file, text, problem))
            .collect::<Vec<_>>()
    })?;
    Ok(ParsedBlueprint {
        version: Blueprint::version_of(&canonical(&blueprint)),
        blueprint,
        source: text.to_owned(),
    })
}

pub(crate) fn checked_blueprint(text: &str) -> Result<Blueprint, Vec<Problem>> {
    let document = Document::parse(text)?;
    let strictness = Strictness {
        complete: true,
        renamed: &[],
    };
    let mut checked = check(&document, schema::blueprint(), strictness);
    // The types and the schema come from one source, so what fits the schema reads; if not, say so rather than stop.
    let raw = RawBlueprint::deserialize(checked.sound).map_err(|error| {
        vec![Problem {
            offset: 0,
            key: String::new(),
            message: error.message().to_owned(),
        }]
    })?;
    checked
        .problems
        .extend(rules::violations(&document, &raw, &checked.unsound));
    match lower::blueprint(&raw) {
        Some(blueprint) if checked.problems.is_empty() => Ok(blueprint),
        _ => Err(checked.problems),
    }
}

/// The canonical text of a blueprint: JSON in which equal declarations are equal texts. Its hash is the version.
pub fn canonical(blueprint: &Blueprint) -> String {
    serde_json::to_string(blueprint).expect("a blueprint has no map and no value that JSON cannot write")
}

/// Reads every `*.toml` of a folder, in the order of their names.
///
/// The error holds what is wrong in all of them; two files that declare one strategy are an error that names both.
pub fn read_blueprints(dir: &Path) -> Result<Vec<ParsedBlueprint>, ConfigError> {
    let cannot_read = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot_read(dir))? {
        let path = entry.map_err(cannot_read(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let mut parsed = Vec::new();
    let mut errors = Vec::new();
    let mut declared_by: BTreeMap<StrategyName, String> = BTreeMap::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(cannot_read(&path))?;
        let file = path.display().to_string();
        match parse_blueprint(&file, &text) {
            Err(of_file) => errors.extend(of_file),
            Ok(blueprint) => match declared_by.get(&blueprint.blueprint.name) {
                Some(other) => errors.push(declared_twice(&file, &text, &blueprint.blueprint, other)),
                None => {
                    declared_by.insert(blueprint.blueprint.name.clone(), file);
                    parsed.push(blueprint);
                }
            },
        }
    }
    if errors.is_empty() {
        Ok(parsed)
    } else {
        Err(ConfigError::Blueprints(errors))
    }
}

fn declared_twice(file: &str, text: &str, blueprint: &Blueprint, other: &str) -> BlueprintError {
    let offset = Document::parse(text).map_or(0, |document| document.offset_of(&["name"]));
    let problem = Problem {
        offset,
        key: "name".into(),
        message: format!(
            "\"{}\" is declared by {other} too; rename one of the two",
            blueprint.name
        ),
    };
    BlueprintError::new(file, text, problem)
}
