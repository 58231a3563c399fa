//! Rows of a feature view.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{FeatureType, FeatureValue, Micros};
use lakeloop_lake::{LakeError, TableName, feature_view_schema};

use crate::BadRow;
use crate::mapping::FeatureMapping;
use crate::values::Values;

/// One row of a feature view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureRow {
    entity: String,
    event_time: Micros,
    available_at: Micros,
    values: Vec<FeatureValue>,
}

impl FeatureMapping {
    /// The view's own columns.
    pub(crate) fn view_columns(&self) -> Vec<(String, FeatureType)> {
        self.columns
            .iter()
            .map(|column| (column.name.clone(), column.feature_type))
            .collect()
    }

    pub(crate) fn row(&self, values: Values<'_>) -> Result<FeatureRow, BadRow> {
        let event_time = values.instant(&self.event_time)?;
        Ok(FeatureRow {
            entity: values.required_text(&self.entity, "the key of the row")?,
            event_time,
            available_at: match &self.available_at {
                Some(form) => values.instant(form)?,
                None => event_time,
            },
            values: self
                .columns
                .iter()
                .map(|column| values.feature(column.source, column.feature_type))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn batch(&self, rows: &[FeatureRow]) -> Result<RecordBatch, LakeError> {
        let instants = |of: fn(&FeatureRow) -> Micros| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(of)).with_timezone("UTC"))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.entity))),
            instants(|row| row.event_time),
            instants(|row| row.available_at),
        ];
        for (idx, column) in self.columns.iter().enumerate() {
            columns.push(own_column(column.feature_type, rows.iter().map(|row| &row.values[idx])));
        }
        RecordBatch::try_new(feature_view_schema(&self.view_columns()), columns).map_err(|source| LakeError::Arrow {
            table: TableName::Features(self.view.clone()),
            source,
        })
    }
}

fn own_column<'a>(feature_type: FeatureType, values: impl Iterator<Item = &'a FeatureValue>) -> ArrayRef {
    match feature_type {
        FeatureType::Number => Arc::new(values.map(FeatureValue::as_number).collect::<Float64Array>()),
        FeatureType::Boolean => {
            let booleans = values.map(|value| match value {
                FeatureValue::Boolean(boolean) => Some(*boolean),
                _ => None,
            });
            Arc::new(booleans.collect::<BooleanArray>())
        }
        FeatureType::Category => {
            let texts = values.map(|value| match value {
                FeatureValue::Category(text) => Some(text.as_str()),
                _ => None,
            });
            Arc::new(texts.collect::<StringArray>())
        }
    }
}
