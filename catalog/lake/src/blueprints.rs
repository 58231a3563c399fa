//! Blueprints as they were applied: the latest application of a strategy is in force.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ident, lit};
use lakeloop_domain::{AppliedBlueprint, Blueprint, BlueprintVersion, Micros, StrategyName};

use crate::judged::Judged;
use crate::rows::{blueprints_from_batch, blueprints_to_batch};
use crate::{Lake, LakeError, TableName, scan};

/// What became of an application.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Applied {
    /// The blueprint is in force from now on.
    New(AppliedBlueprint),
    /// This version was in force already; nothing was written.
    Unchanged(AppliedBlueprint),
}

/// Puts a blueprint in force.
///
/// An older version that is applied again counts as a new application. Of two that are applied to one strategy at the
/// same time, one comes after the other.
pub async fn apply(
    lake: &Lake,
    blueprint: Blueprint,
    version: BlueprintVersion,
    source: &str,
    now: Micros,
) -> Result<Applied, LakeError> {
    let table = TableName::Blueprints;
    let filter = of_strategy(&blueprint.name);
    lake.judge(&table, Some(filter), |rows| {
        let in_force = read(rows)?.into_iter().max_by_key(|applied| applied.sequence);
        if let Some(same) = in_force.as_ref().filter(|applied| applied.version == version) {
            return Ok(Judged::Answer(Applied::Unchanged(same.clone())));
        }
        let applied = AppliedBlueprint {
            blueprint: blueprint.clone(),
            version: version.clone(),
            sequence: in_force.map_or(0, |before| before.sequence) + 1,
            source: source.to_owned(),
            applied_at: now,
        };
        let batch = blueprints_to_batch(std::slice::from_ref(&applied))?;
        Ok(Judged::Append(batch, Applied::New(applied)))
    })
    .await
}

/// The blueprint in force of each strategy, by name.
pub async fn current(lake: &Lake) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let mut latest: BTreeMap<StrategyName, AppliedBlueprint> = BTreeMap::new();
    for applied in all(lake, None).await? {
        match latest.get(&applied.blueprint.name) {
            Some(other) if other.sequence > applied.sequence => {}
            _ => {
                latest.insert(applied.blueprint.name.clone(), applied);
            }
        }
    }
    Ok(latest.into_values().collect())
}

/// Every application of a strategy, the oldest first.
pub async fn history(lake: &Lake, strategy: &StrategyName) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let mut applied = all(lake, Some(of_strategy(strategy))).await?;
    applied.sort_by_key(|applied| applied.sequence);
    Ok(applied)
}

async fn all(lake: &Lake, filter: Option<Expr>) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let table = TableName::Blueprints;
    let state = lake.newest(&table).await?;
    read(&scan::rows(&table, &state, filter).await?)
}

fn read(rows: &[RecordBatch]) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let read: Result<Vec<_>, _> = rows.iter().map(blueprints_from_batch).collect();
    Ok(read?.into_iter().flatten().collect())
}

fn of_strategy(strategy: &StrategyName) -> Expr {
    ident("strategy").eq(lit(strategy.as_str()))
}
