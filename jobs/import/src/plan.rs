//! The plan of an import: what each row becomes, and which tables take it.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{DecisionRecord, Micros, OutcomeRecord};
use lakeloop_lake::rows::{decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{Lake, LakeError, TableName, blueprints};

use crate::decisions::{DecisionPlan, SeenIds};
use crate::features::FeatureRow;
use crate::mapping::{DecisionMapping, FeatureMapping, Mapping, Target};
use crate::rows::Row;
use crate::values::Values;
use crate::{BadRow, ImportError};

/// A mapping that is judged.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) mapping: Arc<Mapping>,
    target: Arc<PlanTarget>,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it at a time")]
#[derive(Debug)]
enum PlanTarget {
    Features(FeatureMapping),
    Decisions(DecisionPlan),
}

/// The good rows of one chunk. Those of tables that the plan does not write stay empty.
#[derive(Debug, Default)]
pub(crate) struct Records {
    features: Vec<FeatureRow>,
    decisions: Vec<DecisionRecord>,
    outcomes: Vec<OutcomeRecord>,
}

impl Plan {
    /// Judges a mapping by what is in force in the lake.
    pub(crate) async fn new(
        lake: &Lake,
        mapping_file: &str,
        mapping: Mapping,
        now: Micros,
    ) -> Result<Self, ImportError> {
        let target = match &mapping.target {
            Target::Features(features) => PlanTarget::Features(features.clone()),
            Target::Decisions(decisions) => {
                PlanTarget::Decisions(decision_plan(lake, mapping_file, decisions.clone(), now).await?)
            }
        };
        Ok(Self {
            mapping: Arc::new(mapping),
            target: Arc::new(target),
        })
    }

    /// The tables that are written.
    pub(crate) fn tables(&self) -> Vec<TableName> {
        match &*self.target {
            PlanTarget::Features(features) => vec![TableName::Features(features.view.clone())],
            PlanTarget::Decisions(decisions) if decisions.has_outcomes() => {
                vec![TableName::Decisions, TableName::Outcomes]
            }
            PlanTarget::Decisions(_) => vec![TableName::Decisions],
        }
    }

    /// Makes the feature view unless it exists.
    pub(crate) async fn prepare(&self, lake: &Lake) -> Result<(), LakeError> {
        match &*self.target {
            PlanTarget::Features(features) => lake.create_feature_view(&features.view, &features.view_columns()).await,
            PlanTarget::Decisions(_) => Ok(()),
        }
    }

    /// Adds what a row becomes, or tells why it becomes nothing.
    pub(crate) fn add(&self, row: Row, seen: &mut SeenIds, records: &mut Records) -> Result<(), BadRow> {
        let cells = row.cells?;
        let values = Values {
            mapping: &self.mapping,
            line: row.line,
            number: row.number,
            cells: &cells,
        };
        match &*self.target {
            PlanTarget::Features(features) => records.features.push(features.row(values)?),
            PlanTarget::Decisions(plan) => {
                let (decision, outcome) = plan.decision(values, seen)?;
                records.decisions.push(decision);
                records.outcomes.extend(outcome);
            }
        }
        Ok(())
    }

    /// The records as batches, one for each table of [`Self::tables`], in that order.
    pub(crate) fn batches(&self, records: &Records) -> Result<Vec<RecordBatch>, LakeError> {
        match &*self.target {
            PlanTarget::Features(features) => Ok(vec![features.batch(&records.features)?]),
            PlanTarget::Decisions(plan) => {
                let mut batches = vec![decisions_to_batch(&records.decisions)?];
                if plan.has_outcomes() {
                    batches.push(outcomes_to_batch(&records.outcomes)?);
                }
                Ok(batches)
            }
        }
    }
}

async fn decision_plan(
    lake: &Lake,
    mapping_file: &str,
    mapping: DecisionMapping,
    now: Micros,
) -> Result<DecisionPlan, ImportError> {
    let all = blueprints::current(lake).await?;
    let names = all.iter().map(|applied| applied.blueprint.name.clone()).collect();
    let Some(applied) = all
        .into_iter()
        .find(|applied| applied.blueprint.name == mapping.strategy)
    else {
        return Err(ImportError::NotApplied {
            strategy: mapping.strategy,
            applied: names,
        });
    };
    DecisionPlan::new(mapping_file, mapping, applied, now).map_err(ImportError::Mapping)
}
