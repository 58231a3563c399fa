//! The trials of searches: written as they end, so that a search that breaks off can go on.

use datafusion::logical_expr::{Expr, ident, lit};
use lakeloop_domain::{StrategyName, TrainingSetId};

use crate::rows::{Trial, trials_from_batch, trials_to_batch};
use crate::{Append, Lake, LakeError, TableName, WriterSequence, scan};

const TABLE: TableName = TableName::Trials;

/// Appends trials of one search. `n_before` is the number of its trials that were written before: the same trials written
/// again after the same number are recognised and written once.
pub async fn append(
    lake: &Lake,
    training_set_id: &TrainingSetId,
    n_before: usize,
    trials: &[Trial],
) -> Result<(), LakeError> {
    let writer = WriterSequence {
        app_id: format!("trials/{training_set_id}"),
        version: i64::try_from(n_before + trials.len()).unwrap_or(i64::MAX),
    };
    match lake
        .append(&TABLE, vec![trials_to_batch(trials)?], Some(writer))
        .await?
    {
        Append::Committed { .. } | Append::AlreadyCommitted => Ok(()),
    }
}

/// The trials of the search on a training set, by position.
pub async fn of_set(lake: &Lake, training_set_id: &TrainingSetId) -> Result<Vec<Trial>, LakeError> {
    find(lake, ident("training_set_id").eq(lit(training_set_id.as_str()))).await
}

/// The trials of all searches of a strategy, the earliest search first.
pub async fn of_strategy(lake: &Lake, strategy: &StrategyName) -> Result<Vec<Trial>, LakeError> {
    find(lake, ident("strategy").eq(lit(strategy.as_str()))).await
}

async fn find(lake: &Lake, filter: Expr) -> Result<Vec<Trial>, LakeError> {
    let state = lake.newest(&TABLE).await?;
    let mut trials = Vec::new();
    for batch in scan::rows(&TABLE, &state, Some(filter)).await? {
        trials.extend(trials_from_batch(&batch)?);
    }
    trials.sort_by(|a, b| {
        let by_set = a.training_set_id.cmp(&b.training_set_id);
        by_set.then(a.trial.cmp(&b.trial)).then(a.started_at.cmp(&b.started_at))
    });
    // What was fitted again after a crash came to the same; one row of it is enough.
    trials
        .dedup_by(|later, earlier| (&later.training_set_id, later.trial) == (&earlier.training_set_id, earlier.trial));
    Ok(trials)
}

/// Marks the trial whose model was registered. Doing it again changes nothing.
pub async fn mark_chosen(lake: &Lake, training_set_id: &TrainingSetId, trial: u32) -> Result<(), LakeError> {
    let Some(table) = lake.table(&TABLE).await? else {
        return Ok(());
    };
    let is_it = ident("training_set_id")
        .eq(lit(training_set_id.as_str()))
        .and(ident("trial").eq(lit(trial as i32)));
    table
        .update()
        .with_predicate(is_it)
        .with_update("chosen", lit(true))
        .await
        .map_err(|source| LakeError::storage("mark the chosen trial", lake.location(), source))?;
    Ok(())
}
