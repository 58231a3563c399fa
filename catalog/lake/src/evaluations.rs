//! Evaluations: what candidates were worth on logged decisions, each estimate one row, never changed.

use datafusion::logical_expr::{ident, lit};
use lakeloop_domain::StrategyName;

use crate::rows::{Evaluation, evaluations_from_batch, evaluations_to_batch};
use crate::{Append, Lake, LakeError, TableName, WriterSequence, scan};

const TABLE: TableName = TableName::Evaluations;

/// Writes the estimates of one evaluation, in one commit; writing them again changes nothing. No estimates are no commit.
pub async fn record(lake: &Lake, estimates: &[Evaluation]) -> Result<(), LakeError> {
    let Some(first) = estimates.first() else { return Ok(()) };
    let writer = WriterSequence {
        app_id: format!("evaluate/{}", first.evaluation_id),
        version: 1,
    };
    match lake
        .append(&TABLE, vec![evaluations_to_batch(estimates)?], Some(writer))
        .await?
    {
        Append::Committed { .. } | Append::AlreadyCommitted => Ok(()),
    }
}

/// Every estimate for a strategy, the oldest evaluation first.
pub async fn history(lake: &Lake, strategy: &StrategyName) -> Result<Vec<Evaluation>, LakeError> {
    let state = lake.newest(&TABLE).await?;
    let of_strategy = ident("strategy").eq(lit(strategy.as_str()));
    let mut estimates = Vec::new();
    for batch in scan::rows(&TABLE, &state, Some(of_strategy)).await? {
        estimates.extend(evaluations_from_batch(&batch)?);
    }
    estimates.sort_by(|a, b| (a.evaluated_at, &a.evaluation_id).cmp(&(b.evaluated_at, &b.evaluation_id)));
    Ok(estimates)
}
