//! Brings an earlier blueprint or an earlier model back: one commit, nothing deleted, the reason kept.
//!
//! A blueprint comes back as a new application of the same version; a model by one stage move, which retires the one that is
//! live. Running servers pick either up as any other change. No gate is asked: whoever rolls back is in a hurry, and what
//! comes back has decided before.

use lakeloop_domain::{AppliedBlueprint, Micros, ModelRecord, ModelStage, ModelVersion, StageMove, StrategyName};
use lakeloop_lake::Lake;
use lakeloop_lake::blueprints::{self, Applied, Wish};
use lakeloop_lake::registry::{self, StageMoved};

use crate::error::PipelineError;
use crate::evaluate::bundle_of;

/// A blueprint that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueprintRollback {
    /// What is in force now.
    pub now: AppliedBlueprint,
    /// What was until then.
    pub before: AppliedBlueprint,
    /// Why the live model cannot decide under it, where it cannot: the default is then served.
    pub misfit: Option<String>,
}

/// A model that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRollback {
    /// What is live now.
    pub now: ModelVersion,
    /// What was until then, and retired by the same commit.
    pub before: Option<ModelVersion>,
}

/// Puts an earlier blueprint of a strategy back in force: the one of a version (or of an application's number), else the last one
/// that differs from what is in force.
pub async fn rollback_blueprint(
    lake: &Lake,
    strategy: &StrategyName,
    to: Option<&str>,
    reason: &str,
    now: Micros,
) -> Result<BlueprintRollback, PipelineError> {
    let history = blueprints::history(lake, strategy).await?;
    let Some(before) = history.last() else {
        return Err(PipelineError::NothingToRollBack {
            what: format!("no blueprint of `{strategy}` was ever applied"),
        });
    };
    let earlier = &history[..history.len() - 1];
    let found = match to {
        None => earlier.iter().rfind(|applied| applied.version != before.version),
        Some(to) => earlier
            .iter()
            .rfind(|applied| applied.version.as_str() == to || applied.sequence.to_string() == to),
    };
    let Some(found) = found else {
        return Err(PipelineError::NothingToRollBack {
            what: no_such_blueprint(strategy, to, before, earlier),
        });
    };
    if found.version == before.version {
        return Err(PipelineError::NothingToRollBack {
            what: format!("blueprint {} of `{strategy}` is in force already", found.version),
        });
    }
    let wish = Wish {
        blueprint: found.blueprint.clone(),
        version: found.version.clone(),
        source: found.source.clone(),
        reason: Some(format!("rolled back from {}: {reason}", before.version)),
    };
    let applied = match blueprints::apply_wish(lake, &wish, now).await? {
        Applied::New(applied) | Applied::Unchanged(applied) => applied,
    };
    let live = registry::live_of(lake, strategy).await?;
    Ok(BlueprintRollback {
        misfit: bundle_of(&applied, live.as_ref()).err().map(|error| error.to_string()),
        now: applied,
        before: before.clone(),
    })
}

fn no_such_blueprint(
    strategy: &StrategyName,
    to: Option<&str>,
    before: &AppliedBlueprint,
    earlier: &[AppliedBlueprint],
) -> String {
    let Some(to) = to else {
        return format!("`{strategy}` has no earlier blueprint than {}", before.version);
    };
    if to == before.version.as_str() || to == before.sequence.to_string() {
        return format!("blueprint {} of `{strategy}` is in force already", before.version);
    }
    let known: Vec<String> = earlier
        .iter()
        .map(|applied| format!("{} (number {})", applied.version, applied.sequence))
        .collect();
    match known.as_slice() {
        [] => format!("`{strategy}` has no earlier blueprint than {}", before.version),
        known => format!(
            "`{strategy}` never had a blueprint {to}; earlier ones are {}",
            known.join(", ")
        ),
    }
}

/// Makes an earlier model of a strategy live again: the one of a version, else the one that the live model replaced. A model that
/// does not fit the blueprint in force stays where it is.
pub async fn rollback_model(
    lake: &Lake,
    strategy: &StrategyName,
    to: Option<ModelVersion>,
    reason: &str,
    now: Micros,
) -> Result<ModelRollback, PipelineError> {
    let models = registry::list(lake, Some(strategy)).await?;
    let live = models.iter().find(|model| model.stage == ModelStage::Live);
    let wanted = match to {
        Some(version) => models.iter().find(|model| model.version == version),
        None => replaced(&models, live),
    };
    let Some(wanted) = wanted else {
        return Err(match to {
            Some(version) => PipelineError::UnknownModel {
                strategy: strategy.clone(),
                version,
                known: models.iter().map(|model| model.version).collect(),
            },
            None => PipelineError::NothingToRollBack {
                what: format!(
                    "which model of `{strategy}` was live before is not known; name one (`lakeloop models list {strategy}`)"
                ),
            },
        });
    };
    if wanted.stage == ModelStage::Live {
        return Err(PipelineError::NothingToRollBack {
            what: format!("model {} of `{strategy}` is live already", wanted.version),
        });
    }
    if let Some(applied) = blueprints::history(lake, strategy).await?.last() {
        bundle_of(applied, Some(wanted))?;
    }
    let wish = StageMove {
        strategy: strategy.clone(),
        version: wanted.version,
        to: ModelStage::Live,
        reason: match live {
            Some(live) => format!("rolled back from model {}: {reason}", live.version),
            None => format!("rolled back: {reason}"),
        },
    };
    let before = match registry::move_stage(lake, &wish, now).await? {
        StageMoved::Moved { retired } => retired,
        StageMoved::Already => None,
    };
    Ok(ModelRollback {
        now: wanted.version,
        before,
    })
}

/// The model that was live before: it retired at the very instant at which the live one went live. Where none is live, the one
/// that retired last.
fn replaced<'m>(models: &'m [ModelRecord], live: Option<&ModelRecord>) -> Option<&'m ModelRecord> {
    let mut retired = models.iter().filter(|model| model.stage == ModelStage::Retired);
    match live {
        Some(live) => retired.find(|model| model.stage_changed_at == live.stage_changed_at),
        None => retired.max_by_key(|model| model.stage_changed_at),
    }
}
