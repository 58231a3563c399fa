//! `lakeloop models`: the registry, for people.

use std::path::Path;

use anyhow::Context;
use lakeloop_domain::{ModelStage, ModelVersion, StageMove, StrategyName};
use lakeloop_lake::Lake;
use lakeloop_lake::registry::{self, StageMoved};
use serde_json::json;

use crate::arguments::{ModelsArguments, ModelsCommand};
use crate::commands::{card, front, rollback};
use crate::home;
use crate::output::Output;

/// Lists, describes, promotes, retires or exports model versions.
pub async fn run(home: &Path, args: &ModelsArguments, output: &Output) -> anyhow::Result<()> {
    let (_, lake) = home::open(home).await?;
    match &args.command {
        ModelsCommand::List { strategy } => {
            let strategy = strategy.as_deref().map(StrategyName::new).transpose()?;
            let models = registry::list(&lake, strategy.as_ref()).await?;
            let rows: Vec<_> = models
                .iter()
                .map(|m| {
                    vec![
                        json!(m.strategy),
                        json!(m.version),
                        json!(m.stage.as_str()),
                        json!(m.metrics.metric),
                        json!(m.metrics.value),
                        json!(m.metrics.baseline),
                        json!(m.metrics.n_train_rows),
                        json!(m.metrics.artifact_bytes),
                        json!(m.metrics.latency_p99_us),
                        json!(m.stage_reason),
                    ]
                })
                .collect();
            output.rows(
                &[
                    "strategy",
                    "version",
                    "stage",
                    "metric",
                    "value",
                    "baseline",
                    "train_rows",
                    "bytes",
                    "p99_us",
                    "reason",
                ],
                &rows,
            )
        }
        ModelsCommand::Card { strategy, version, out } => {
            let wanted = card::Wanted {
                strategy,
                version: *version,
                out: out.as_deref(),
            };
            card::run(&lake, &wanted, output).await
        }
        ModelsCommand::Promote {
            strategy,
            version,
            reason,
        } => Ok(output.say(&move_to(&lake, strategy, *version, ModelStage::Live, reason).await?)?),
        ModelsCommand::Retire {
            strategy,
            version,
            reason,
        } => Ok(output.say(&move_to(&lake, strategy, *version, ModelStage::Retired, reason).await?)?),
        ModelsCommand::Rollback { strategy, to, reason } => {
            let strategy = StrategyName::new(strategy.as_str())?;
            rollback::model(&lake, &strategy, to.map(ModelVersion), reason, output).await
        }
        ModelsCommand::Front { strategy, plot } => {
            let file = plot.clone().unwrap_or_else(|| format!("{strategy}-front.svg").into());
            front::run(&lake, strategy, &file, output).await
        }
        ModelsCommand::Export {
            strategy,
            version,
            file,
        } => {
            let model = registry::get(&lake, &StrategyName::new(strategy.as_str())?, ModelVersion(*version))
                .await?
                .with_context(|| {
                    format!("no model {version} of `{strategy}`; `lakeloop models list` shows which there are")
                })?;
            std::fs::write(file, &model.artifact).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(output.say(&format!("wrote {} ({} bytes)", file.display(), model.artifact.len()))?)
        }
    }
}

/// Moves a model to another stage; says what became of it.
async fn move_to(lake: &Lake, strategy: &str, version: u32, to: ModelStage, reason: &str) -> anyhow::Result<String> {
    anyhow::ensure!(!reason.trim().is_empty(), "--reason is empty; say why in a few words");
    let strategy = StrategyName::new(strategy)?;
    let wish = StageMove {
        strategy: strategy.clone(),
        version: ModelVersion(version),
        to,
        reason: reason.to_owned(),
    };
    let stage = to.as_str();
    Ok(match registry::move_stage(lake, &wish, home::now()).await? {
        StageMoved::Already => format!("model {version} of {strategy} was {stage} already"),
        StageMoved::Moved { retired: Some(former) } => {
            format!("model {version} of {strategy} is {stage}; model {former} retired with the same commit")
        }
        StageMoved::Moved { retired: None } => format!("model {version} of {strategy} is {stage}"),
    })
}
