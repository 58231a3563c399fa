//! `lakeloop init`: lays out a folder that works as it is.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use lakeloop_config::{DEFAULT_SETTINGS, EXAMPLE_BLUEPRINT, json_schema};

use crate::arguments::InitArguments;
use crate::output::Output;

/// Writes commented settings, an example blueprint and the blueprint's JSON Schema. Whatever is there already stays.
pub fn run(home: &Path, args: &InitArguments, output: &Output) -> anyhow::Result<()> {
    let folder = args.folder.as_deref().unwrap_or(home);
    let schema = format!("{}\n", serde_json::to_string_pretty(&json_schema())?);
    let files = [
        ("lakeloop.toml", commented_out(DEFAULT_SETTINGS)),
        (
            "blueprints/menu.toml",
            format!("#:schema ../blueprint.schema.json\n{EXAMPLE_BLUEPRINT}"),
        ),
        ("blueprint.schema.json", schema),
    ];
    fs::create_dir_all(folder.join("blueprints"))
        .with_context(|| format!("cannot make {}", folder.join("blueprints").display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))?;
                output.say(&format!("wrote {}", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                output.say(&format!("kept  {} (it was there)", path.display()))?;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    let enter = if folder == Path::new(".") {
        String::new()
    } else {
        format!("cd {} && ", folder.display())
    };
    output.say(&format!("next: {enter}lakeloop apply && lakeloop serve"))?;
    Ok(())
}

/// The default settings with every key commented out: a file that shows what can be set and sets nothing, so that
/// later defaults reach this home too.
fn commented_out(settings: &str) -> String {
    settings
        .lines()
        .map(|line| {
            let kept = line.is_empty() || line.starts_with('#') || line.starts_with('[');
            if kept {
                format!("{line}\n")
            } else {
                format!("# {line}\n")
            }
        })
        .collect()
}
