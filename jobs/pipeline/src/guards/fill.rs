//! Counts how often each feature is filled in the logs of decisions with and without an outcome.
//!
//! Only where a decision without an outcome is left out of training: elsewhere it has a label, and missing values are
//! among what a single column is judged by.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray as _, MapArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::prelude::{SessionContext, ident, lit};
use futures::TryStreamExt as _;
use lakeloop_domain::{AbsentLabel, Blueprint, Micros};

use crate::error::PipelineError;
use crate::rows::TrainingRows;

/// How often features are filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fill {
    /// Decisions with an outcome.
    pub n_with_outcome: u64,
    /// Decisions without one whose window has closed.
    pub n_without_outcome: u64,
    /// For each feature that was logged: how many of either have a value.
    pub filled: HashMap<String, (u64, u64)>,
}

impl Fill {
    /// The shares of decisions with and without an outcome for which a feature is filled. `None` for a feature that no
    /// decision has logged: it was joined later, as of the decision, and can hold nothing from after it.
    pub fn shares(&self, feature: &str) -> Option<(f64, f64)> {
        let (with, without) = self.filled.get(feature)?;
        Some((
            *with as f64 / self.n_with_outcome as f64,
            *without as f64 / self.n_without_outcome as f64,
        ))
    }
}

/// Counts over the decisions that a training set was drawn from; `None` where every one of them has a label, and for
/// rankings, whose candidates differ.
pub(crate) async fn count(
    session: &SessionContext,
    blueprint: &Blueprint,
    rows: &TrainingRows,
    (from, until): (Option<Micros>, Micros),
) -> Result<Option<Fill>, PipelineError> {
    let parts = blueprint.label_parts();
    let can_lack = parts.iter().all(|part| part.outcome.absent == AbsentLabel::Exclude);
    if !can_lack || blueprint.ranks() {
        return Ok(None);
    }
    let instant = |at: Micros| lit(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())));
    let mut wanted = ident("strategy")
        .eq(lit(blueprint.name.as_str()))
        .and(ident("event_time").lt_eq(instant(until)));
    if let Some(from) = from {
        wanted = wanted.and(ident("event_time").gt_eq(instant(from)));
    }
    let frame = session
        .table("decisions")
        .await
        .and_then(|frame| {
            frame
                .filter(wanted)?
                .select(vec![ident("decision_id"), ident("numeric"), ident("categorical")])
        })
        .map_err(PipelineError::Fill)?;
    let mut batches = frame.execute_stream().await.map_err(PipelineError::Fill)?;
    let labelled: HashSet<&str> = rows.decision_ids().iter().flatten().collect();
    let mut fill = Fill::default();
    while let Some(batch) = batches.try_next().await.map_err(PipelineError::Fill)? {
        let ids = cast(batch.column(0), &DataType::Utf8).map_err(PipelineError::TrainingRows)?;
        let has_outcome: Vec<bool> = ids
            .as_string::<i32>()
            .iter()
            .map(|id| id.is_some_and(|id| labelled.contains(id)))
            .collect();
        let n_with = has_outcome.iter().filter(|has_outcome| **has_outcome).count() as u64;
        fill.n_with_outcome += n_with;
        fill.n_without_outcome += has_outcome.len() as u64 - n_with;
        for column_idx in [1, 2] {
            if let Some(map) = batch.column(column_idx).as_map_opt() {
                add(&mut fill, map, &has_outcome)?;
            }
        }
    }
    Ok((fill.n_with_outcome > 0 && fill.n_without_outcome > 0).then_some(fill))
}

fn add(fill: &mut Fill, map: &MapArray, has_outcome: &[bool]) -> Result<(), PipelineError> {
    let names = cast(map.keys(), &DataType::Utf8).map_err(PipelineError::TrainingRows)?;
    let (names, values, offsets) = (names.as_string::<i32>(), map.values(), map.value_offsets());
    for (row_idx, has_outcome) in has_outcome.iter().enumerate() {
        // Offsets of a valid map array are never negative.
        for entry in offsets[row_idx] as usize..offsets[row_idx + 1] as usize {
            let name = names.value(entry);
            if !fill.filled.contains_key(name) {
                fill.filled.insert(name.to_owned(), (0, 0));
            }
            if let Some(counts) = fill.filled.get_mut(name).filter(|_| values.is_valid(entry)) {
                counts.0 += u64::from(*has_outcome);
                counts.1 += u64::from(!*has_outcome);
            }
        }
    }
    Ok(())
}
