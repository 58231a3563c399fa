//! Rows of the `decisions` table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Float64Builder, ListBuilder, StringArray, StringBuilder, new_null_array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{Choice, DecisionReason, DecisionRecord, ModelVersion};

use super::cells::{
    Cells, batch, instants, numbers, optional_numbers, optional_smalls, optional_texts, texts, to_json,
};
use super::features;
use crate::tables::list_element;
use crate::{LakeError, TableName};

/// The decisions as rows. Booleans become 1 and 0, for a model sees them so.
pub fn decisions_to_batch(decisions: &[DecisionRecord]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Decisions;
    let each = || decisions.iter();
    let [numeric, categorical] = features::to_columns(&table, each().map(|decision| &decision.features))?;
    let policies = each()
        .map(|decision| {
            decision
                .policy
                .map(|policy| to_json(&table, "policy", &policy))
                .transpose()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut actions = ListBuilder::new(StringBuilder::new()).with_field(list_element(DataType::Utf8));
    let mut scores = ListBuilder::new(Float64Builder::new()).with_field(list_element(DataType::Float64));
    for decision in decisions {
        decision
            .actions
            .iter()
            .for_each(|action| actions.values().append_value(action));
        actions.append(true);
        scores.values().append_slice(&decision.scores);
        scores.append(true);
    }
    let columns: Vec<ArrayRef> = vec![
        texts(each().map(|decision| decision.decision_id.as_str())),
        texts(each().map(|decision| decision.strategy.as_str())),
        texts(each().map(|decision| decision.blueprint_version.as_str())),
        optional_smalls(
            &table,
            "model_version",
            each().map(|decision| decision.model_version.map(|ModelVersion(version)| version)),
        )?,
        texts(each().map(|decision| decision.unit.as_str())),
        instants(each().map(|decision| decision.event_time)),
        instants(each().map(|decision| decision.received_at)),
        numeric,
        categorical,
        features::numbers_by_name(&table, each().map(|decision| decision.feature_versions.as_slice()))?,
        Arc::new(actions.finish()),
        Arc::new(scores.finish()),
        optional_texts(each().map(|decision| match &decision.choice {
            Choice::Action(action) => Some(action.as_str()),
            Choice::Number(_) => None,
        })),
        optional_numbers(each().map(|decision| match decision.choice {
            Choice::Action(_) => None,
            Choice::Number(number) => Some(number),
        })),
        numbers(each().map(|decision| decision.propensity)),
        texts(each().map(|decision| decision.reason.as_str())),
        optional_texts(policies.iter().map(Option::as_deref)),
        texts(each().map(|decision| decision.salt.as_str())),
        new_null_array(&DataType::Utf8, decisions.len()),
    ];
    batch(table, columns)
}

/// The rows as decisions. Features come back numbers first, then categories; booleans as the numbers 1 and 0.
pub fn decisions_from_batch(batch: &RecordBatch) -> Result<Vec<DecisionRecord>, LakeError> {
    Cells::new(TableName::Decisions, batch)?.rows(|cells, row| {
        Ok(DecisionRecord {
            decision_id: cells.parsed("decision_id", row)?,
            strategy: cells.parsed("strategy", row)?,
            blueprint_version: cells.parsed("blueprint_version", row)?,
            model_version: match cells.optional_small("model_version", row)? {
                Some(_) => Some(ModelVersion(cells.ordinal("model_version", row)?)),
                None => None,
            },
            unit: cells.parsed("unit", row)?,
            event_time: cells.instant("event_time", row)?,
            received_at: cells.instant("received_at", row)?,
            features: features::of_row(cells, row)?,
            feature_versions: cells.numbers_by_name("feature_versions", row)?,
            actions: cells.list("actions", row, |texts: &StringArray, idx| texts.value(idx).to_owned())?,
            scores: cells.list("scores", row, |numbers: &Float64Array, idx| numbers.value(idx))?,
            choice: match (
                cells.optional_text("action", row)?,
                cells.optional_number("value", row)?,
            ) {
                (Some(action), None) => Choice::Action(action.to_owned()),
                (None, Some(number)) => Choice::Number(number),
                _ => return Err(cells.value("action", "needs an action or a value, and not both")),
            },
            propensity: cells.number("propensity", row)?,
            reason: cells.word("reason", row, DecisionReason::parse)?,
            policy: match cells.optional_text("policy", row)? {
                Some(_) => Some(cells.json("policy", row)?),
                None => None,
            },
            salt: cells.text("salt", row)?.to_owned(),
        })
    })
}
