//! The outcomes of a reward, as the relation that the queries of rewards read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use lakeloop_domain::Blueprint;

use crate::{Query, SqlError};

/// The tables that the queries of rewards read besides the parts.
const TABLES: [&str; 2] = ["decisions", "outcomes"];

/// The query that labels a blueprint's rows with its reward.
pub(crate) fn reward_query(blueprint: &Blueprint) -> Query {
    if blueprint.ranks() {
        Query::TRAINING_CANDIDATE_REWARDS
    } else {
        Query::TRAINING_REWARDS
    }
}

/// A session of its own with the tables of `ctx` and the parts of the reward, so that these are seen by nobody else.
pub(crate) async fn reward_session(ctx: &SessionContext, blueprint: &Blueprint) -> Result<SessionContext, SqlError> {
    let own = SessionContext::new_with_config_rt(ctx.copied_config(), ctx.runtime_env());
    for table in TABLES {
        let provider = ctx.table_provider(table).await.map_err(SqlError::session)?;
        own.register_table(table, provider).map_err(SqlError::session)?;
    }
    own.register_batch("reward_parts", reward_parts(blueprint)?)
        .map_err(SqlError::session)?;
    Ok(own)
}

fn reward_parts(blueprint: &Blueprint) -> Result<RecordBatch, SqlError> {
    let parts = blueprint.label_parts();
    let outcomes = || parts.iter().map(|part| part.outcome);
    let columns: [(&str, ArrayRef); 7] = [
        (
            "part_idx",
            Arc::new(Int64Array::from_iter_values(0..parts.len() as i64)),
        ),
        (
            "event",
            Arc::new(StringArray::from_iter_values(outcomes().map(|outcome| &outcome.event))),
        ),
        (
            "outcome_type",
            Arc::new(StringArray::from_iter_values(
                outcomes().map(|outcome| outcome.outcome_type.as_str()),
            )),
        ),
        (
            "aggregation",
            Arc::new(StringArray::from_iter_values(
                outcomes().map(|outcome| outcome.aggregation.as_str()),
            )),
        ),
        (
            "absent",
            Arc::new(Float64Array::from_iter(
                outcomes().map(|outcome| outcome.absent.value()),
            )),
        ),
        (
            "window_us",
            Arc::new(Int64Array::from_iter_values(
                outcomes().map(|outcome| outcome.window_us),
            )),
        ),
        (
            "weight",
            Arc::new(Float64Array::from_iter_values(parts.iter().map(|part| part.weight))),
        ),
    ];
    RecordBatch::try_from_iter(columns).map_err(SqlError::arrow("gather the outcomes of a reward"))
}
