//! The rows of a feature view in the form that queries read: its own columns gathered in one, `feature_values`.
//!
//! Views differ in their columns; a query with a fixed text needs one shape. The struct also orders rows that agree in
//! both times, so that the choice among them does not depend on the order of files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::TableReference;
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::prelude::{DataFrame, Expr, SessionContext, ident, lit};
use lakeloop_domain::{FeatureColumn, FeatureType, FeatureValue, FeatureViewName};

use crate::SqlError;

/// The relation that `as_of_features` and `feature_history` read.
pub(crate) const FEATURE_ROWS: &str = "feature_rows";

/// `entity`, `event_time`, `available_at` and the columns as `feature_values`; an error when the view or a column is
/// absent or of another type.
pub(crate) async fn feature_rows(
    ctx: &SessionContext,
    table: TableReference,
    view: &FeatureViewName,
    columns: &[FeatureColumn],
) -> Result<DataFrame, SqlError> {
    if !ctx.table_exist(table.clone()).map_err(SqlError::session)? {
        return Err(SqlError::NoFeatureView { view: view.clone() });
    }
    let frame = ctx.table(table).await.map_err(SqlError::session)?;
    for column in columns {
        let found = frame
            .schema()
            .as_arrow()
            .field_with_name(&column.name)
            .ok()
            .map(|field| field.data_type());
        if !found.is_some_and(|found| holds(found, column.feature_type)) {
            return Err(SqlError::FeatureColumn {
                view: view.clone(),
                column: column.name.to_string(),
                expected: column.feature_type,
                found: found.map_or("none of that name".to_owned(), |found| found.to_string()),
            });
        }
    }
    let parts: Vec<Expr> = columns
        .iter()
        .flat_map(|column| [lit(column.name.as_ref()), ident(column.name.as_ref())])
        .collect();
    let gathered = named_struct(parts).alias("feature_values");
    frame
        .select(vec![
            ident("entity"),
            ident("event_time"),
            ident("available_at"),
            gathered,
        ])
        .map_err(SqlError::session)
}

fn holds(found: &DataType, feature_type: FeatureType) -> bool {
    match feature_type {
        FeatureType::Number => *found == DataType::Float64,
        FeatureType::Boolean => *found == DataType::Boolean,
        FeatureType::Category => matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// The columns of a `feature_values` array, ready to be read row by row.
pub(crate) struct FeatureValues {
    columns: Vec<(FeatureType, ArrayRef)>,
}

impl FeatureValues {
    pub(crate) fn new(values: &StructArray, columns: &[FeatureColumn]) -> Result<Self, SqlError> {
        let read = |(position, column): (usize, &FeatureColumn)| {
            let array = values.column(position);
            let array = match column.feature_type {
                FeatureType::Category => {
                    cast(array, &DataType::Utf8).map_err(SqlError::arrow("read the texts of a feature view"))?
                }
                _ => Arc::clone(array),
            };
            Ok((column.feature_type, array))
        };
        Ok(Self {
            columns: columns.iter().enumerate().map(read).collect::<Result<_, SqlError>>()?,
        })
    }

    /// The value of a column in a row. What is no finite number is missing, whoever wrote it.
    pub(crate) fn value(&self, column_idx: usize, row_idx: usize) -> FeatureValue {
        let (feature_type, array) = &self.columns[column_idx];
        if array.is_null(row_idx) {
            return FeatureValue::Missing;
        }
        match feature_type {
            FeatureType::Number => match array.as_primitive::<Float64Type>().value(row_idx) {
                number if number.is_finite() => FeatureValue::Number(number),
                _ => FeatureValue::Missing,
            },
            FeatureType::Boolean => FeatureValue::Boolean(array.as_boolean().value(row_idx)),
            FeatureType::Category => FeatureValue::Category(array.as_string::<i32>().value(row_idx).to_owned()),
        }
    }
}
