//! `lakeloop validate`: checks blueprints and changes nothing.

use std::path::{Path, PathBuf};

use anyhow::Context;
use lakeloop_config::{ParsedBlueprint, json_schema, parse_blueprint, read_blueprints};
use serde_json::json;

use crate::arguments::ValidateArguments;
use crate::home;
use crate::output::Output;

/// Prints the version of every blueprint that is valid, or every error of those that are not.
pub fn run(home: &Path, args: &ValidateArguments, output: &Output) -> anyhow::Result<()> {
    if args.schema {
        println_schema()?;
        return Ok(());
    }
    let blueprints = read(home, &args.files)?;
    let rows: Vec<_> = blueprints
        .iter()
        .map(|parsed| vec![json!(parsed.blueprint.name), json!(parsed.version), json!("valid")])
        .collect();
    output.rows(&["strategy", "version", "verdict"], &rows)
}

fn println_schema() -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&json_schema())?)?;
    Ok(())
}

/// Reads the given files, or all blueprints of the home. Fails with every error of every file.
pub fn read(home: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<ParsedBlueprint>> {
    if files.is_empty() {
        // A missing home is a mistyped path, and its settings are checked on the way.
        home::settings(home)?;
        let blueprints = read_blueprints(&home.join("blueprints"))?;
        anyhow::ensure!(
            !blueprints.is_empty(),
            "no blueprint in {}; write one there (`lakeloop init` gives an example) or name a file",
            home.join("blueprints").display()
        );
        return Ok(blueprints);
    }
    let mut blueprints: Vec<ParsedBlueprint> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let parsed = parse_blueprint(&file.display().to_string(), &text).map_err(|errors| joined(&errors))?;
        anyhow::ensure!(
            blueprints
                .iter()
                .all(|other| other.blueprint.name != parsed.blueprint.name),
            "{}: a second blueprint named `{}`; give each strategy one file",
            file.display(),
            parsed.blueprint.name
        );
        blueprints.push(parsed);
    }
    Ok(blueprints)
}

fn joined<E: ToString>(errors: &[E]) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\n"))
}
