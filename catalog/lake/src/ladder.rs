//! Where strategies stand on their ladders: the latest row of `ladder_moves` of each.
//!
//! A strategy without a row stands on the first step. The table only grows. A move is judged on the table's newest version and
//! committed as exactly the next one, so that of two who see a gate open one moves and the other finds it moved.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ident, lit};
use lakeloop_domain::{LadderCounts, LadderMove, LadderStep, Micros, StrategyName};

use crate::judged::Judged;
use crate::rows::{ladder_moves_from_batch, ladder_moves_to_batch};
use crate::{Lake, LakeError, TableName, scan};

/// A wish to have a strategy on a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The strategy.
    pub strategy: StrategyName,
    /// Where it is to stand.
    pub to: LadderStep,
    /// When.
    pub now: Micros,
    /// Who moves it.
    pub moved_by: String,
    /// Why.
    pub reason: String,
    /// What the lake held then.
    pub counts: LadderCounts,
}

/// Puts a strategy on a step; `None` when it stands there already.
pub async fn move_to(lake: &Lake, wish: &Wish) -> Result<Option<LadderMove>, LakeError> {
    let filter: Expr = ident("strategy").eq(lit(wish.strategy.as_str()));
    lake.judge(&TableName::LadderMoves, Some(filter), |rows| {
        let latest = latest_of(read(rows)?).into_values().next();
        let from = LadderStep::after(latest.as_ref());
        if from == wish.to {
            return Ok(Judged::Answer(None));
        }
        let moved = LadderMove {
            strategy: wish.strategy.clone(),
            sequence: latest.as_ref().map_or(1, |latest| latest.sequence.saturating_add(1)),
            from,
            to: wish.to,
            moved_at: latest.map_or(wish.now, |latest| latest.moved_at.max(wish.now)),
            moved_by: wish.moved_by.clone(),
            reason: wish.reason.clone(),
            counts: wish.counts,
        };
        let batch = ladder_moves_to_batch(std::slice::from_ref(&moved))?;
        Ok(Judged::Append(batch, Some(moved)))
    })
    .await
}

/// The latest move of every strategy that was ever moved, by name.
pub async fn latest(lake: &Lake) -> Result<BTreeMap<StrategyName, LadderMove>, LakeError> {
    let table = TableName::LadderMoves;
    let state = lake.newest(&table).await?;
    Ok(latest_of(read(&scan::rows(&table, &state, None).await?)?))
}

fn latest_of(moves: Vec<LadderMove>) -> BTreeMap<StrategyName, LadderMove> {
    let mut latest: BTreeMap<StrategyName, LadderMove> = BTreeMap::new();
    for one in moves {
        match latest.get(&one.strategy) {
            Some(other) if other.sequence > one.sequence => {}
            _ => {
                latest.insert(one.strategy.clone(), one);
            }
        }
    }
    latest
}

fn read(rows: &[RecordBatch]) -> Result<Vec<LadderMove>, LakeError> {
    let read: Result<Vec<_>, _> = rows.iter().map(ladder_moves_from_batch).collect();
    Ok(read?.into_iter().flatten().collect())
}
