//! `lakeloop rollback`: an earlier blueprint or model, back in one commit.

use std::path::Path;

use lakeloop_domain::{ModelVersion, StrategyName};
use lakeloop_lake::Lake;
use lakeloop_pipeline::{rollback_blueprint, rollback_model};
use serde_json::json;

use crate::arguments::RollbackArguments;
use crate::home;
use crate::output::Output;

/// Brings back what was asked for, and says what is in force now.
pub async fn run(home: &Path, args: &RollbackArguments, output: &Output) -> anyhow::Result<()> {
    let strategy = StrategyName::new(args.strategy.as_str())?;
    refuse_empty(&args.reason)?;
    let (_, lake) = home::open(home).await?;
    if let Some(version) = args.model {
        return model(&lake, &strategy, Some(ModelVersion(version)), &args.reason, output).await;
    }
    let back = rollback_blueprint(&lake, &strategy, args.to.as_deref(), &args.reason, home::now()).await?;
    if let Some(misfit) = &back.misfit {
        output.say(&format!(
            "the live model cannot decide under this blueprint, so the default is served: {misfit}"
        ))?;
    }
    output.rows(
        &["strategy", "version", "sequence", "before", "misfit"],
        &[vec![
            json!(strategy),
            json!(back.now.version),
            json!(back.now.sequence),
            json!(back.before.version),
            json!(back.misfit),
        ]],
    )
}

/// Brings a model back, and says what is live now.
pub async fn model(
    lake: &Lake,
    strategy: &StrategyName,
    to: Option<ModelVersion>,
    reason: &str,
    output: &Output,
) -> anyhow::Result<()> {
    refuse_empty(reason)?;
    let back = rollback_model(lake, strategy, to, reason, home::now()).await?;
    output.rows(
        &["strategy", "live", "retired"],
        &[vec![json!(strategy), json!(back.now), json!(back.before)]],
    )
}

fn refuse_empty(reason: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!reason.trim().is_empty(), "--reason is empty; say why in a few words");
    Ok(())
}
