//! The tables: their names, where they lie, what their columns are, and who alone writes each.
//!
//! | table | one row is | sole writer |
//! |---|---|---|
//! | `blueprints` | one application of a blueprint | `lakeloop apply` and `rollback` |
//! | `decisions` | one decision, with all that is needed to make it again | the flush of the decision journal; imports |
//! | `outcomes` | one reported outcome, as often as it was received | the flush of the outcome journal; imports |
//! | `features.<view>` | one entity's features from `event_time` on, known since `available_at` | imports |
//! | `training_sets` | one training set that was built | the train job |
//! | `training_rows` | one row of a training set | the train job |
//! | `trials` | one trial of a search | the train job |
//! | `models` | one model with its present stage | the registry |
//! | `evaluations` | one estimate of what a candidate is worth on logged decisions | `lakeloop evaluate` and the gate of `apply` |
//! | `job_runs` | one state of one run, from `at` on | the job claims |
//! | `ladder_moves` | one move of a strategy to another step of its ladder | the ladder job |
//!
//! All are plain Delta tables: no partition columns, no deletion vectors, no column mapping, so that every Delta
//! client reads them, and any engine reads their Parquet files. Rows lie roughly in the order of their time column, and
//! the log keeps statistics of the columns that queries bound, so that files outside a time range are never opened.
//! Maps keep the features because strategies differ in theirs; a null value in a map is a missing feature.
//!
//! A column that is added later goes to the end of its table, may be null, and is named in
//! [`TableName::added_later`]: a lake that was laid out before it had the column gets it when it is opened, and its
//! earlier rows have null there.

use std::fmt;
use std::str::FromStr;

use lakeloop_domain::FeatureViewName;

use crate::LakeError;

mod columns;

pub(crate) use columns::{FEATURE_VIEW_BASE, candidate_fields, list_element};
pub use columns::{feature_view_schema, schema};

/// Names one table of the lake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// Every application of a blueprint.
    Blueprints,
    /// Every decision.
    Decisions,
    /// Every reported outcome.
    Outcomes,
    /// Every model with its stage.
    Models,
    /// Every trial of every search.
    Trials,
    /// Every training set that was built.
    TrainingSets,
    /// The rows of the training sets.
    TrainingRows,
    /// Every estimate of what a candidate is worth.
    Evaluations,
    /// Every state of every run of a job.
    JobRuns,
    /// Every move of every strategy on its ladder.
    LadderMoves,
    /// One feature view.
    Features(FeatureViewName),
}

impl TableName {
    /// The tables that every lake has; feature views come on top.
    pub const ALL: [Self; 10] = [
        Self::Blueprints,
        Self::Decisions,
        Self::Outcomes,
        Self::Models,
        Self::Trials,
        Self::TrainingSets,
        Self::TrainingRows,
        Self::JobRuns,
        Self::Evaluations,
        Self::LadderMoves,
    ];

    /// Where the table lies below the lake's location, with `/` between folders.
    pub fn path(&self) -> String {
        match self {
            Self::Features(view) => format!("features/{view}"),
            fixed => fixed.to_string(),
        }
    }

    /// The name as a query writes it; quoted where SQL asks for it.
    pub fn sql_name(&self) -> String {
        match self {
            Self::Features(view) if view.as_str().contains('-') => format!("features.\"{view}\""),
            other => other.to_string(),
        }
    }

    /// The instant that the rows are roughly ordered by.
    pub fn time_column(&self) -> &'static str {
        match self {
            Self::Decisions | Self::Outcomes | Self::TrainingRows | Self::Features(_) => "event_time",
            Self::Blueprints => "applied_at",
            Self::Models => "registered_at",
            Self::Trials => "started_at",
            Self::TrainingSets => "built_at",
            Self::JobRuns => "at",
            Self::Evaluations => "evaluated_at",
            Self::LadderMoves => "moved_at",
        }
    }

    /// The last columns of the table that its first layout did not have, in their order.
    pub(crate) fn added_later(&self) -> &'static [&'static str] {
        match self {
            Self::Decisions => &[
                "candidates",
                "ranking",
                "position_propensities",
                "blocked",
                "step",
                "rule_action",
                "model_action",
            ],
            Self::Outcomes => &["candidate"],
            Self::TrainingRows => &["candidate", "unit"],
            Self::TrainingSets => &["n_late_outcomes", "n_missed_outcomes"],
            Self::Models => &["prediction_interval", "card", "card_markdown", "uncertainty"],
            Self::Blueprints => &["reason"],
            Self::Trials => &[
                "fold_values",
                "rungs",
                "is_complete",
                "latency_p50_us",
                "latency_p99_us",
                "feature_cost_us",
            ],
            Self::JobRuns | Self::Evaluations | Self::LadderMoves | Self::Features(_) => &[],
        }
    }

    /// The columns whose smallest and largest values the log keeps for each file. Only those that queries bound: JSON
    /// texts and model files would make the log heavy.
    pub(crate) fn stats_columns(&self) -> &'static [&'static str] {
        match self {
            Self::Decisions => &["event_time", "received_at", "decision_id", "strategy", "unit"],
            Self::Outcomes => &["event_time", "received_at", "decision_id", "strategy", "unit", "event"],
            Self::Features(_) => &["event_time", "available_at", "entity"],
            Self::Blueprints => &["applied_at", "strategy", "sequence"],
            Self::Models => &["registered_at", "strategy", "version", "stage"],
            Self::Trials => &["started_at", "strategy", "training_set_id"],
            Self::TrainingSets => &["built_at", "strategy", "training_set_id"],
            Self::TrainingRows => &["event_time", "training_set_id", "decision_id"],
            Self::JobRuns => &["at", "run_id", "job", "strategy"],
            Self::Evaluations => &["evaluated_at", "strategy", "candidate"],
            Self::LadderMoves => &["moved_at", "strategy", "sequence"],
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blueprints => f.write_str("blueprints"),
            Self::Decisions => f.write_str("decisions"),
            Self::Outcomes => f.write_str("outcomes"),
            Self::Models => f.write_str("models"),
            Self::Trials => f.write_str("trials"),
            Self::TrainingSets => f.write_str("training_sets"),
            Self::TrainingRows => f.write_str("training_rows"),
            Self::JobRuns => f.write_str("job_runs"),
            Self::Evaluations => f.write_str("evaluations"),
            Self::LadderMoves => f.write_str("ladder_moves"),
            Self::Features(view) => write!(f, "features.{view}"),
        }
    }
}

impl FromStr for TableName {
    type Err = LakeError;

    fn from_str(text: &str) -> Result<Self, LakeError> {
        if let Some(fixed) = Self::ALL.into_iter().find(|table| table.to_string() == text) {
            return Ok(fixed);
        }
        text.strip_prefix("features.")
            .and_then(|view| FeatureViewName::new(view).ok())
            .map(Self::Features)
            .ok_or_else(|| LakeError::NoSuchTableName {
                name: text.chars().take(80).collect(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn names_read_back_as_themselves() {
        let view = TableName::Features(FeatureViewName::new("menu-items").unwrap());
        for table in TableName::ALL.into_iter().chain([view.clone()]) {
            assert_eq!(table.to_string().parse::<TableName>().unwrap(), table);
        }
        assert_eq!(view.path(), "features/menu-items");
        assert_eq!(view.sql_name(), "features.\"menu-items\"");
        for wrong in ["", "decision", "features.", "features.A", "features/menu"] {
            assert!(wrong.parse::<TableName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn columns_that_were_added_later_stand_last_and_may_be_null() {
        for table in TableName::ALL {
            let Some(schema) = schema(&table) else { continue };
            let n_first = schema.fields().len() - table.added_later().len();
            for (field, name) in schema.fields()[n_first..].iter().zip(table.added_later()) {
                assert_eq!((field.name().as_str(), field.is_nullable()), (*name, true), "{table}");
            }
        }
    }

    #[test]
    fn every_time_and_statistics_column_exists() {
        for table in TableName::ALL {
            let Some(schema) = schema(&table) else { continue };
            for column in table.stats_columns() {
                assert!(schema.column_with_name(column).is_some(), "{table} has no {column}");
            }
            assert!(table.stats_columns().contains(&table.time_column()), "{table}");
        }
    }
}
