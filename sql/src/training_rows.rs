//! What a strategy learns from: labelled decisions, or labelled candidates of rankings, with all the features that its
//! blueprint names.
//!
//! A feature that a decision's log holds is taken from there, to the last bit: what was served is what is learned
//! from. Only a column of a feature view that the log does not hold (the view was declared later) is joined, as of
//! the decision's own time.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, Float64Array, Int64Array, MapArray, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, FeatureColumn, FeatureType, FeatureValue, FeatureView, Micros};
use lakeloop_lake::TableName;

use crate::as_of::{Known, Moments, as_of};
use crate::maps::{Additions, entry, joined, text};
use crate::reward::{reward_query, reward_session};
use crate::{Query, SqlError, instant};

/// Stands for the unit itself where a feature view names its entity.
const UNIT: &str = "unit";

/// The parameter for the categories of an outcome, which candidates do not have.
const CLASSES: &str = "classes";

/// The columns of [`training_rows`]: those of the table `training_rows` without `training_set_id` and `split`, which the
/// caller decides.
pub fn training_rows_schema() -> SchemaRef {
    let table = lakeloop_lake::schema(&TableName::TrainingRows).expect("training_rows is a table of fixed columns");
    let fields = table
        .fields()
        .iter()
        .filter(|field| !matches!(field.name().as_str(), "training_set_id" | "split"));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// The labelled decisions of a strategy whose attribution windows had closed by `as_of`, from `window_start` on, ordered
/// by `(event_time, decision_id)`; their columns are [`training_rows_schema`].
///
/// A strategy that ranks has a row for each candidate that was returned, in the order returned. Its features are those of
/// the decision followed by the candidate's own, and its propensity is that of the candidate at its position.
///
/// Labels are those of `sql/queries/training_labels.sql`, or `training_candidate_labels.sql`: outcomes in [decision, decision + window] count however late
/// they were received; repeated decisions and repeated reports count once, the first received. A category's label is its
/// position among the actions. With a reward the label is the sum of its outcomes' labels, each times its weight
/// (`training_rewards.sql`, `training_candidate_rewards.sql`), for rows whose longest window had closed; a row of which one
/// outcome is absent and excluded has none. Feature views are joined where a decision's log lacks a column: the row with the latest
/// event time among those that had happened and were available by then, unless it is stale, else `when_missing`.
///
/// Reads the tables that are in `ctx`, at its versions; takes time and memory in proportion to the rows of the result
/// and of the views joined.
pub async fn training_rows(
    ctx: &SessionContext,
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Result<Vec<RecordBatch>, SqlError> {
    let labelled = labelled_rows(ctx, blueprint, as_of, window_start).await?;
    Ok(labelled.into_iter().map(|labelled| labelled.rows).collect())
}

/// Some of the rows of [`training_rows`], with what is no column of a training set.
#[derive(Debug, Clone)]
pub struct LabelledRows {
    /// The rows.
    pub rows: RecordBatch,
    /// For whom each decision was.
    pub units: StringArray,
    /// Of a strategy that ranks, the position at which each candidate was returned, from 0.
    pub positions: Option<Int64Array>,
}

/// The rows of [`training_rows`], in the same order, each with its unit, and with its position where the strategy ranks.
pub async fn labelled_rows(
    ctx: &SessionContext,
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Result<Vec<LabelledRows>, SqlError> {
    let mut rows = if blueprint.rewards.reward.is_empty() {
        let mut values = label_values(blueprint, as_of, window_start);
        let query = if blueprint.ranks() {
            values.retain(|(name, _)| *name != CLASSES);
            Query::TRAINING_CANDIDATE_LABELS
        } else {
            Query::TRAINING_LABELS
        };
        query.run(ctx, &values).await?
    } else {
        let own = reward_session(ctx, blueprint).await?;
        let values = reward_values(blueprint, as_of, window_start);
        reward_query(blueprint).run(&own, &values).await?
    };
    rows.retain(|batch| batch.num_rows() > 0);
    let mut rows = rows.iter().map(LabelledRows::new).collect::<Result<Vec<_>, _>>()?;
    for view in &blueprint.features {
        complete(ctx, view, &mut rows).await?;
    }
    Ok(rows)
}

fn reward_values(
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> [(&'static str, ScalarValue); 4] {
    [
        ("strategy", blueprint.name.as_str().into()),
        ("window_us", ScalarValue::Int64(Some(blueprint.label_window_us()))),
        ("as_of", instant(as_of)),
        ("window_start", instant(window_start)),
    ]
}

fn label_values(
    blueprint: &Blueprint,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Vec<(&'static str, ScalarValue)> {
    let outcome = &blueprint.outcome;
    let classes: Vec<ScalarValue> = blueprint.actions().into_iter().map(ScalarValue::from).collect();
    vec![
        ("strategy", blueprint.name.as_str().into()),
        ("event", outcome.event.as_str().into()),
        ("outcome_type", outcome.outcome_type.as_str().into()),
        ("aggregation", outcome.aggregation.as_str().into()),
        ("absent", ScalarValue::Float64(outcome.absent.value())),
        (
            CLASSES,
            ScalarValue::List(ScalarValue::new_list_nullable(&classes, &DataType::Utf8)),
        ),
        ("window_us", ScalarValue::Int64(Some(outcome.window_us))),
        ("as_of", instant(as_of)),
        ("window_start", instant(window_start)),
    ]
}

impl LabelledRows {
    fn new(batch: &RecordBatch) -> Result<Self, SqlError> {
        let column = |name: &str, data_type: &DataType| {
            let found = batch.schema_ref().index_of(name)?;
            cast(batch.column(found), data_type)
        };
        // Rankings have no action and no category, other decisions no candidate.
        let has = |name: &str| batch.column_by_name(name).is_some();
        let of_field = |field: &Arc<Field>| -> Result<ArrayRef, ArrowError> {
            let own = format!("candidate_{}", field.name());
            if !has(field.name()) && field.is_nullable() {
                return Ok(new_null_array(field.data_type(), batch.num_rows()));
            }
            let shared = column(field.name(), field.data_type())?;
            if !has(&own) {
                return Ok(shared);
            }
            Ok(Arc::new(joined(
                shared.as_map(),
                column(&own, field.data_type())?.as_map(),
            )?))
        };
        let schema = training_rows_schema();
        let columns: Result<Vec<_>, _> = schema.fields().iter().map(of_field).collect();
        let rows = columns
            .and_then(|columns| RecordBatch::try_new(schema, columns))
            .map_err(SqlError::arrow("arrange training rows"))?;
        let units = column("unit", &DataType::Utf8).map_err(SqlError::arrow("read the units of decisions"))?;
        let positions = has("position").then(|| column("position", &DataType::Int64));
        let positions = positions
            .transpose()
            .map_err(SqlError::arrow("read the positions of candidates"))?;
        Ok(Self {
            rows,
            units: units.as_string::<i32>().clone(),
            positions: positions.map(|positions| positions.as_primitive::<Int64Type>().clone()),
        })
    }

    fn map(&self, feature_type: FeatureType) -> &MapArray {
        let name = match feature_type {
            FeatureType::Number | FeatureType::Boolean => "numeric",
            FeatureType::Category => "categorical",
        };
        self.rows
            .column_by_name(name)
            .expect("training rows have both maps")
            .as_map()
    }

    fn lacks(&self, row_idx: usize, column: &FeatureColumn) -> bool {
        entry(self.map(column.feature_type), row_idx, &column.name).is_none()
    }

    /// The entity that a view describes for a row, as it was logged.
    fn entity(&self, row_idx: usize, view: &FeatureView) -> Option<&str> {
        match view.entity.as_ref() {
            UNIT => Some(self.units.value(row_idx)),
            field => text(self.map(FeatureType::Category), row_idx, field),
        }
    }

    fn event_time(&self, row_idx: usize) -> Micros {
        let times = self
            .rows
            .column_by_name("event_time")
            .expect("training rows have an event time");
        times.as_primitive::<TimestampMicrosecondType>().value(row_idx)
    }

    /// Adds what was known to the rows that lack columns of the view.
    fn fill(&mut self, view: &FeatureView, first_row_idx: usize, known: &Known) -> Result<(), SqlError> {
        let (mut numeric, mut categorical) = (Additions::default(), Additions::default());
        for row_idx in 0..self.rows.num_rows() {
            for (column_idx, column) in view
                .columns
                .iter()
                .enumerate()
                .filter(|(_, column)| self.lacks(row_idx, column))
            {
                let value = match known.value((first_row_idx + row_idx) as i64, column_idx) {
                    FeatureValue::Missing => column.when_missing.clone(),
                    value => value,
                };
                match (column.feature_type, value) {
                    (FeatureType::Category, FeatureValue::Category(text)) => {
                        categorical.push(row_idx, &column.name, Some(text));
                    }
                    (FeatureType::Category, _) => categorical.push(row_idx, &column.name, None),
                    (_, value) => numeric.push(row_idx, &column.name, value.as_number()),
                }
            }
        }
        let failed = "add the features of a view";
        let numeric = numeric
            .append_to::<Float64Array>(self.map(FeatureType::Number))
            .map_err(SqlError::arrow(failed))?;
        let categorical = categorical
            .append_to::<StringArray>(self.map(FeatureType::Category))
            .map_err(SqlError::arrow(failed))?;
        let schema = self.rows.schema();
        let columns =
            schema
                .fields()
                .iter()
                .zip(self.rows.columns())
                .map(|(field, column)| match field.name().as_str() {
                    "numeric" => Arc::new(numeric.clone()) as _,
                    "categorical" => Arc::new(categorical.clone()) as _,
                    _ => Arc::clone(column),
                });
        let columns = columns.collect();
        self.rows = RecordBatch::try_new(schema, columns).map_err(SqlError::arrow(failed))?;
        Ok(())
    }
}

/// Joins a view to the rows whose log lacks any of its columns.
async fn complete(ctx: &SessionContext, view: &FeatureView, rows: &mut [LabelledRows]) -> Result<(), SqlError> {
    let mut moments = Moments::default();
    let mut lacking = vec![false; rows.len()];
    let mut first_row_idx = 0;
    for (batch_idx, batch) in rows.iter().enumerate() {
        for row_idx in 0..batch.rows.num_rows() {
            if !view.columns.iter().any(|column| batch.lacks(row_idx, column)) {
                continue;
            }
            lacking[batch_idx] = true;
            if let Some(entity) = batch.entity(row_idx, view) {
                moments.row_idx.push((first_row_idx + row_idx) as i64);
                moments.entity.push(entity.to_owned());
                moments.event_time.push(batch.event_time(row_idx));
            }
        }
        first_row_idx += batch.rows.num_rows();
    }
    if !lacking.contains(&true) {
        return Ok(());
    }
    let known = as_of(ctx, view, moments).await?;
    let mut first_row_idx = 0;
    for (batch, lacking) in rows.iter_mut().zip(lacking) {
        if lacking {
            batch.fill(view, first_row_idx, &known)?;
        }
        first_row_idx += batch.rows.num_rows();
    }
    Ok(())
}
