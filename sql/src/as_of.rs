//! Joins a feature view to moments: for each the row that was known then.
//!
//! The rule, in one place each for training and serving: `as_of_features.sql` here, [`FeatureHistory::as_of`] there; a
//! property test holds both against a third, naive one.
//!
//! [`FeatureHistory::as_of`]: crate::FeatureHistory::as_of

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::prelude::SessionContext;
use lakeloop_domain::{FeatureValue, FeatureView, Micros};

use crate::feature_rows::{FEATURE_ROWS, FeatureValues, feature_rows};
use crate::session::FEATURES;
use crate::{Query, SqlError, instant};

/// Moments to join at, column by column.
#[derive(Default)]
pub(crate) struct Moments {
    pub(crate) row_idx: Vec<i64>,
    pub(crate) entity: Vec<String>,
    pub(crate) event_time: Vec<Micros>,
}

/// What was known at the moments, by their `row_idx`.
#[derive(Default)]
pub(crate) struct Known {
    values: Vec<FeatureValues>,
    found: HashMap<i64, (usize, usize)>,
}

impl Known {
    /// A column's value at a moment: missing where no row was known, or none fresh enough.
    pub(crate) fn value(&self, row_idx: i64, column_idx: usize) -> FeatureValue {
        match self.found.get(&row_idx) {
            Some((batch_idx, position)) => self.values[*batch_idx].value(column_idx, *position),
            None => FeatureValue::Missing,
        }
    }
}

/// Joins the view's table in `ctx` to the moments.
pub(crate) async fn as_of(ctx: &SessionContext, view: &FeatureView, moments: Moments) -> Result<Known, SqlError> {
    let table = TableReference::partial(FEATURES, view.name.as_str());
    let rows = feature_rows(ctx, table, &view.name, &view.columns).await?;
    let (Some(first), Some(last)) = (moments.event_time.iter().min(), moments.event_time.iter().max()) else {
        return Ok(Known::default());
    };
    let oldest = view.freshness_us.map(|freshness_us| first.saturating_sub(freshness_us));
    let values = [
        ("from", instant(oldest)),
        ("until", instant(*last)),
        ("freshness_us", ScalarValue::Int64(view.freshness_us)),
    ];

    // A session of its own, so that the two relations of the query are seen by nobody else.
    let own = SessionContext::new_with_config_rt(ctx.copied_config(), ctx.runtime_env());
    own.register_table(FEATURE_ROWS, rows.into_view())
        .map_err(SqlError::session)?;
    own.register_batch("moments", moments_batch(moments)?)
        .map_err(SqlError::session)?;
    collect(&Query::AS_OF_FEATURES.run(&own, &values).await?, view)
}

fn moments_batch(moments: Moments) -> Result<RecordBatch, SqlError> {
    let columns: [(&str, ArrayRef); 3] = [
        ("row_idx", Arc::new(Int64Array::from(moments.row_idx))),
        ("entity", Arc::new(StringArray::from(moments.entity))),
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from(moments.event_time).with_timezone("UTC")),
        ),
    ];
    RecordBatch::try_from_iter(columns).map_err(SqlError::arrow("gather the moments of a join"))
}

fn collect(batches: &[RecordBatch], view: &FeatureView) -> Result<Known, SqlError> {
    let mut known = Known::default();
    for (batch_idx, batch) in batches.iter().enumerate() {
        known
            .values
            .push(FeatureValues::new(batch.column(1).as_struct(), &view.columns)?);
        let row_idx = batch.column(0).as_primitive::<Int64Type>();
        known.found.extend(
            row_idx
                .values()
                .iter()
                .enumerate()
                .map(|(position, row_idx)| (*row_idx, (batch_idx, position))),
        );
    }
    Ok(known)
}
