//! What caps blocked at the decisions that a strategy learns from.

use std::collections::HashMap;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, Micros};

use crate::{Query, SqlError, instant};

/// The actions that caps blocked, by the id of the decision; decisions at which nothing was blocked are left out. They are
/// those of [`labelled_rows`](crate::labelled_rows) with the same bounds, and perhaps some without a label.
pub async fn blocked_actions(
    ctx: &SessionContext,
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Result<HashMap<String, Vec<String>>, SqlError> {
    let values = [
        ("strategy", ScalarValue::from(blueprint.name.as_str())),
        ("window_us", ScalarValue::Int64(Some(blueprint.label_window_us()))),
        ("as_of", instant(as_of)),
        ("window_start", instant(window_start)),
    ];
    let mut found = HashMap::new();
    for batch in Query::BLOCKED_ACTIONS.run(ctx, &values).await? {
        read(&batch, &mut found).map_err(SqlError::arrow("read what caps blocked"))?;
    }
    Ok(found)
}

fn read(batch: &RecordBatch, found: &mut HashMap<String, Vec<String>>) -> Result<(), ArrowError> {
    // The engine may hand texts out as views.
    let texts = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
    let ids = cast(batch.column(0), &DataType::Utf8)?;
    let blocked = cast(batch.column(1), &texts)?;
    let (ids, blocked) = (ids.as_string::<i32>(), blocked.as_list::<i32>());
    for row_idx in 0..batch.num_rows() {
        let actions = blocked.value(row_idx);
        let actions = actions.as_string::<i32>().iter().flatten().map(str::to_owned);
        found.insert(ids.value(row_idx).to_owned(), actions.collect());
    }
    Ok(())
}
