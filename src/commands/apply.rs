//! `lakeloop apply`: puts blueprints in force, if the gates that they declare pass.

use std::path::Path;

use lakeloop_config::ParsedBlueprint;
use lakeloop_lake::blueprints::{self, Applied, Wish};
use lakeloop_pipeline::{GateVerdict, JobContext, gate};
use serde_json::{Value, json};

use crate::arguments::ApplyArguments;
use crate::commands::validate;
use crate::home;
use crate::output::Output;

/// Checks every blueprint and asks every gate first, then applies each in one commit; an unchanged one makes no commit. When
/// a gate refuses, none is applied.
pub async fn run(home: &Path, args: &ApplyArguments, output: &Output) -> anyhow::Result<()> {
    let parsed = validate::read(home, &args.files)?;
    let force = args.force.as_deref();
    anyhow::ensure!(
        force.is_none_or(|reason| !reason.trim().is_empty()),
        "--force is empty; say why in a few words"
    );
    let settings = home::settings(home)?;
    let lake = home::open_lake(&settings).await?;
    let ctx = JobContext::new(lake.clone(), settings, home::system_clock());
    let mut wishes = Vec::new();
    let mut refused = Vec::new();
    for one in parsed {
        let verdict = gate(&ctx, &one).await?.verdict;
        if let (GateVerdict::Fails(why), None) = (&verdict, force) {
            refused.push(format!("`{}`: {why}", one.blueprint.name));
        }
        wishes.push((wish(one, &verdict, force), verdict));
    }
    anyhow::ensure!(
        refused.is_empty(),
        "the off-policy gate refuses {}; nothing was applied. `lakeloop plan` shows more, and --force REASON applies all the \
         same",
        refused.join("; ")
    );
    let mut rows = Vec::new();
    for (wish, verdict) in wishes {
        let applied = blueprints::apply_wish(&lake, &wish, home::now()).await?;
        let (row, what) = match &applied {
            Applied::New(row) => (row, "applied"),
            Applied::Unchanged(row) => (row, "unchanged"),
        };
        rows.push(vec![
            json!(row.blueprint.name),
            json!(row.version),
            json!(row.sequence),
            json!(what),
            in_a_word(&verdict),
        ]);
    }
    output.rows(&["strategy", "version", "sequence", "what", "gate"], &rows)
}

fn wish(parsed: ParsedBlueprint, verdict: &GateVerdict, force: Option<&str>) -> Wish {
    let reason = match (verdict, force) {
        (GateVerdict::Fails(why), Some(force)) => Some(format!("forced: {force} (the off-policy gate: {why})")),
        _ => None,
    };
    Wish {
        blueprint: parsed.blueprint,
        version: parsed.version,
        source: parsed.source,
        reason,
    }
}

fn in_a_word(verdict: &GateVerdict) -> Value {
    match verdict {
        GateVerdict::NotDeclared => Value::Null,
        GateVerdict::Passes(_) => json!("passed"),
        GateVerdict::Fails(_) => json!("forced"),
    }
}
