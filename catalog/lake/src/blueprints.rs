//! Blueprints as they were applied: the latest application of a strategy is in force.

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ident, lit};
use lakeloop_domain::{AppliedBlueprint, Blueprint, BlueprintVersion, Micros, StrategyName};

use crate::changes::Changes;
use crate::judged::Judged;
use crate::lake::signed;
use crate::rows::{Application, applications_from_batch, applications_to_batch, blueprints_from_batch};
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
    let wish = Wish {
        blueprint,
        version,
        source: source.to_owned(),
        reason: None,
    };
    apply_wish(lake, &wish, now).await
}

/// A blueprint that is to be put in force, with the reason that its row keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The blueprint.
    pub blueprint: Blueprint,
    /// Its version.
    pub version: BlueprintVersion,
    /// The text, as its author wrote it.
    pub source: String,
    /// Why, where a gate is overruled or an earlier version comes back.
    pub reason: Option<String>,
}

/// [`apply`] with a reason.
pub async fn apply_wish(lake: &Lake, wish: &Wish, now: Micros) -> Result<Applied, LakeError> {
    let Wish {
        blueprint,
        version,
        source,
        reason,
    } = wish;
    let table = TableName::Blueprints;
    let filter = of_strategy(&blueprint.name);
    lake.judge(&table, Some(filter), |rows| {
        let in_force = read(rows)?.into_iter().max_by_key(|applied| applied.sequence);
        if let Some(same) = in_force.as_ref().filter(|applied| applied.version == *version) {
            return Ok(Judged::Answer(Applied::Unchanged(same.clone())));
        }
        let applied = AppliedBlueprint {
            blueprint: blueprint.clone(),
            version: version.clone(),
            sequence: in_force.map_or(0, |before| before.sequence) + 1,
            source: source.clone(),
            applied_at: now,
        };
        let application = Application {
            applied: applied.clone(),
            reason: reason.clone(),
        };
        let batch = applications_to_batch(&[application])?;
        Ok(Judged::Append(batch, Applied::New(applied)))
    })
    .await
}

/// The blueprint in force of each strategy, by name.
pub async fn current(lake: &Lake) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let mut in_force = InForce::default();
    for applied in all(lake, None).await? {
        in_force.take(applied);
    }
    Ok(in_force.by_strategy.into_values().collect())
}

/// The blueprints in force as of a version of the table, for those who follow it.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    version: Option<i64>,
    by_strategy: BTreeMap<StrategyName, AppliedBlueprint>,
}

impl InForce {
    /// The blueprint in force of a strategy, if one was applied.
    pub fn get(&self, strategy: &StrategyName) -> Option<&AppliedBlueprint> {
        self.by_strategy.get(strategy)
    }

    /// Takes in what was applied since the last look; answers the strategies that have another blueprint now. Reads only
    /// the files that were committed since, and costs one look-up when none were. An error leaves everything as it was.
    pub async fn catch_up(&mut self, lake: &Lake) -> Result<BTreeSet<StrategyName>, LakeError> {
        let table = TableName::Blueprints;
        if self.version.is_some() && lake.version(&table).await? == self.version {
            return Ok(BTreeSet::new());
        }
        let changes = match self.version {
            Some(version) => lake.changes(&table, version).await?,
            None => Changes::Unknown,
        };
        let (version, rows) = match changes {
            Changes::Appended(new) | Changes::Rewritten(new) => {
                let rows = match new.paths.is_empty() {
                    true => Vec::new(),
                    false => scan::rows_of_files(&table, &new.table, new.paths).await?,
                };
                (Some(new.version), rows)
            }
            Changes::Unknown => {
                let state = lake.newest(&table).await?;
                (state.version().map(signed), scan::rows(&table, &state, None).await?)
            }
        };
        let applied = read(&rows)?;
        self.version = version;
        Ok(applied.into_iter().filter_map(|applied| self.take(applied)).collect())
    }

    /// Takes in one application; answers its strategy when it is in force from now on.
    fn take(&mut self, applied: AppliedBlueprint) -> Option<StrategyName> {
        let strategy = applied.blueprint.name.clone();
        let known = self.get(&strategy);
        if known.is_some_and(|known| known.sequence >= applied.sequence) {
            return None;
        }
        self.by_strategy.insert(strategy.clone(), applied);
        Some(strategy)
    }
}

/// Every application of every strategy, by strategy and the oldest first.
pub async fn histories(lake: &Lake) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let mut applied = all(lake, None).await?;
    applied.sort_by(|a, b| (&a.blueprint.name, a.sequence).cmp(&(&b.blueprint.name, b.sequence)));
    Ok(applied)
}

/// Every application of a strategy, the oldest first.
pub async fn history(lake: &Lake, strategy: &StrategyName) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let mut applied = all(lake, Some(of_strategy(strategy))).await?;
    applied.sort_by_key(|applied| applied.sequence);
    Ok(applied)
}

/// Every application of a strategy with its reason, the oldest first.
pub async fn applications(lake: &Lake, strategy: &StrategyName) -> Result<Vec<Application>, LakeError> {
    let table = TableName::Blueprints;
    let state = lake.newest(&table).await?;
    let mut applications = Vec::new();
    for batch in scan::rows(&table, &state, Some(of_strategy(strategy))).await? {
        applications.extend(applications_from_batch(&batch)?);
    }
    applications.sort_by_key(|application| application.applied.sequence);
    Ok(applications)
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
