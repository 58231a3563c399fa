//! `lakeloop apply`: puts blueprints in force.

use std::path::Path;

use lakeloop_lake::blueprints::{self, Applied};
use serde_json::json;

use crate::arguments::ApplyArguments;
use crate::commands::validate;
use crate::home;
use crate::output::Output;

/// Checks every blueprint first, then applies each in one commit; an unchanged one makes no commit.
pub async fn run(home: &Path, args: &ApplyArguments, output: &Output) -> anyhow::Result<()> {
    let parsed = validate::read(home, &args.files)?;
    let (_, lake) = home::open(home).await?;
    let mut rows = Vec::new();
    for one in parsed {
        let applied = blueprints::apply(&lake, one.blueprint, one.version, &one.source, home::now()).await?;
        let (row, what) = match &applied {
            Applied::New(row) => (row, "applied"),
            Applied::Unchanged(row) => (row, "unchanged"),
        };
        rows.push(vec![
            json!(row.blueprint.name),
            json!(row.version),
            json!(row.sequence),
            json!(what),
        ]);
    }
    output.rows(&["strategy", "version", "sequence", "what"], &rows)
}
