//! Logged rankings next to what a candidate would have done: the probability of each candidate at its position.

use std::collections::HashMap;

use datafusion::prelude::SessionContext;
use lakeloop_decide::{Offered, Scratch, position_probabilities};
use lakeloop_domain::{Choice, DecisionRecord, Features, Micros, Ranking, StrategyName};
use lakeloop_lake::rows::decisions_from_batch;
use lakeloop_sql::{DecisionRange, DecisionRows, decision_rows};
use lakeloop_stats::off_policy::{SlateLog, SlateProbability, Slot};

use super::candidate::Deciding;
use super::rows::EvaluationRows;
use crate::error::PipelineError;
use crate::rows::FeatureLayout;

/// The slates of a strategy that ranks, for a candidate, with how many rankings were left out because a position of them has
/// no label.
pub(crate) fn slates(
    rows: &EvaluationRows,
    deciding: &Deciding<'_>,
    rankings: &HashMap<String, Ranking>,
) -> Result<(SlateLog, usize), PipelineError> {
    let mut slates = Slates {
        rows,
        deciding,
        scratch: Scratch::new(),
        log: SlateLog::new(SlateProbability::Marginal),
        n_left_out: 0,
    };
    let mut start = 0;
    while start < rows.len() {
        let id = rows.decision_id(start);
        let end = (start..rows.len()).find(|row_idx| rows.decision_id(*row_idx) != id);
        let end = end.unwrap_or(rows.len());
        match rankings.get(id) {
            Some(ranking) => slates.push(ranking, start..end)?,
            None => slates.n_left_out += 1,
        }
        start = end;
    }
    Ok((slates.log, slates.n_left_out))
}

/// Every ranking of a range of time by its decision's id; of repeated ones the one received first, as in the training query.
pub(crate) async fn rankings(
    ctx: &SessionContext,
    strategy: &StrategyName,
    from: Option<Micros>,
    until: Micros,
) -> Result<HashMap<String, Ranking>, PipelineError> {
    let range = DecisionRange {
        strategy: Some(strategy.clone()),
        from,
        until: Some(until.saturating_add(1)),
    };
    let frame = decision_rows(ctx, &DecisionRows::Range(range)).await?;
    let mut found: HashMap<String, (Micros, Ranking)> = HashMap::new();
    for batch in frame.collect().await.map_err(PipelineError::Decisions)? {
        for record in decisions_from_batch(&batch)? {
            let DecisionRecord {
                decision_id,
                received_at,
                choice: Choice::Ranking(ranking),
                ..
            } = record
            else {
                continue;
            };
            let id = decision_id.to_string();
            if found.get(&id).is_none_or(|(known_at, _)| received_at < *known_at) {
                found.insert(id, (received_at, ranking));
            }
        }
    }
    Ok(found.into_iter().map(|(id, (_, ranking))| (id, ranking)).collect())
}

struct Slates<'a, 'b> {
    rows: &'a EvaluationRows,
    deciding: &'a Deciding<'b>,
    scratch: Scratch,
    log: SlateLog,
    n_left_out: usize,
}

impl Slates<'_, '_> {
    /// Adds the ranking whose candidates stand in a range of rows.
    fn push(&mut self, ranking: &Ranking, range: std::ops::Range<usize>) -> Result<(), PipelineError> {
        let rows = self.rows;
        let is_whole = range.len() == ranking.positions.len()
            && range
                .clone()
                .enumerate()
                .all(|(position, row_idx)| rows.position(row_idx) == position);
        if !is_whole {
            self.n_left_out += 1;
            return Ok(());
        }
        let first = range.start;
        let deciding = self.deciding;
        let bundle = deciding.of_row(first);
        let shared = shared_features(rows, first, bundle.blueprint());
        let offered = Offered {
            features: &shared,
            candidates: &ranking.candidates,
        };
        // Where the model fails, the request's order is certain, as it is when it serves.
        let positions = position_probabilities(bundle, offered, &mut self.scratch).ok();
        let slots = range.clone().enumerate().map(|(position, row_idx)| {
            let id = rows.candidate(row_idx);
            let idx = ranking
                .candidates
                .iter()
                .position(|candidate| candidate.id.as_str() == id);
            let target = match &positions {
                Some(positions) => idx
                    .and_then(|idx| positions.at(position).get(idx).copied())
                    .unwrap_or(0.0),
                None => f64::from(u8::from(idx == Some(position))),
            };
            Slot {
                reward: rows.reward_of_candidate(row_idx),
                behaviour: rows.propensity(row_idx),
                // Probabilities that are sums may exceed 1 by rounding.
                target: target.min(1.0),
            }
        });
        let slots: Vec<Slot> = slots.collect();
        self.log
            .push(&slots, Some(rows.unit(first)), 1.0)
            .map_err(|source| rows.unusable(first, source))
    }
}

/// The features of a row that its candidates share.
fn shared_features(rows: &EvaluationRows, row_idx: usize, blueprint: &lakeloop_domain::Blueprint) -> Features {
    let layout = FeatureLayout::new(blueprint);
    let mut features = layout.blank();
    rows.rows.read_features(row_idx, &layout, &mut features);
    let is_own = |name: &str| blueprint.candidates.iter().any(|field| *field.name == *name);
    features.retain(|feature| !is_own(&feature.name));
    features
}
