//! Rows of the `decisions` table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int32Builder, ListBuilder, StringArray, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{Choice, DecisionReason, DecisionRecord, FeatureType, Micros, ModelVersion, ValueRef};

use super::cells::{Cells, batch, to_json, value};
use super::conditions::{self, ConditionColumns, RowConditions};
use super::features::{self, FeatureColumns, NumbersByName};
use super::ranking::{self, Parts, RankingColumns, RankingRow};
use crate::tables::list_element;
use crate::{LakeError, TableName};

/// One decision as a row takes it, borrowed from wherever it is kept; the fields are those of
/// [`DecisionRecord`](lakeloop_domain::DecisionRecord).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecisionRow<'a> {
    /// Names the decision.
    pub decision_id: &'a str,
    /// Which strategy decided.
    pub strategy: &'a str,
    /// By which version of its blueprint.
    pub blueprint_version: &'a str,
    /// By which model.
    pub model_version: Option<u32>,
    /// For whom.
    pub unit: &'a str,
    /// When the decision was made.
    pub event_time: Micros,
    /// When the server received the request.
    pub received_at: Micros,
    /// The names and types of the features.
    pub features: &'a [(&'a str, FeatureType)],
    /// Their values, one for each.
    pub values: &'a [ValueRef<'a>],
    /// The version of each feature view's table that was read.
    pub feature_versions: &'a [(&'a str, i64)],
    /// The actions that could be chosen.
    pub actions: &'a [&'a str],
    /// The scores.
    pub scores: &'a [f64],
    /// The action that was chosen, the number, or the ranking.
    pub choice: RowChoice<'a>,
    /// The probability of that choice.
    pub propensity: f64,
    /// Why.
    pub reason: DecisionReason,
    /// The policy of that moment, as JSON.
    pub policy: Option<&'a str>,
    /// The salt of the draws.
    pub salt: &'a str,
    /// What else it depended on.
    pub conditions: RowConditions<'a>,
}

/// What was decided, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowChoice<'a> {
    /// One of the declared actions.
    Action(&'a str),
    /// A number.
    Number(f64),
    /// An order of candidates.
    Ranking(RankingRow<'a>),
}

/// Rows of `decisions`, put together column by column while they come.
///
/// ```
/// # use lakeloop_domain::{DecisionReason, FeatureType, ValueRef};
/// use lakeloop_lake::rows::{DecisionRow, DecisionRows, RowChoice};
///
/// let mut rows = DecisionRows::new();
/// rows.push(&DecisionRow {
///     decision_id: "d-1",
///     strategy: "menu",
///     blueprint_version: "0123456789abcdef",
///     model_version: None,
///     unit: "guest-7",
///     event_time: 1_704_067_200_000_000,
///     received_at: 1_704_067_200_000_000,
///     features: &[("age", FeatureType::Number)],
///     values: &[ValueRef::Number(41.0)],
///     feature_versions: &[],
///     actions: &["ramen", "tacos"],
///     scores: &[],
///     choice: RowChoice::Action("ramen"),
///     propensity: 1.0,
///     reason: DecisionReason::NoModel,
///     policy: None,
///     salt: "menu:0123456789abcdef",
///     conditions: Default::default(),
/// })?;
/// assert_eq!(rows.finish()?.num_rows(), 1);
/// # Ok::<(), lakeloop_lake::LakeError>(())
/// ```
pub struct DecisionRows {
    n_rows: usize,
    decision_ids: StringBuilder,
    strategies: StringBuilder,
    blueprint_versions: StringBuilder,
    model_versions: Int32Builder,
    units: StringBuilder,
    event_times: TimestampMicrosecondBuilder,
    received: TimestampMicrosecondBuilder,
    features: FeatureColumns,
    feature_versions: NumbersByName,
    actions: ListBuilder<StringBuilder>,
    scores: ListBuilder<Float64Builder>,
    chosen_actions: StringBuilder,
    chosen_numbers: Float64Builder,
    propensities: Float64Builder,
    reasons: StringBuilder,
    policies: StringBuilder,
    salts: StringBuilder,
    rankings: RankingColumns,
    conditions: ConditionColumns,
}

impl Default for DecisionRows {
    fn default() -> Self {
        Self::new()
    }
}

impl DecisionRows {
    /// No rows yet.
    pub fn new() -> Self {
        let instants = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            n_rows: 0,
            decision_ids: StringBuilder::new(),
            strategies: StringBuilder::new(),
            blueprint_versions: StringBuilder::new(),
            model_versions: Int32Builder::new(),
            units: StringBuilder::new(),
            event_times: instants(),
            received: instants(),
            features: FeatureColumns::new(),
            feature_versions: NumbersByName::new(),
            actions: ListBuilder::new(StringBuilder::new()).with_field(list_element(DataType::Utf8)),
            scores: ListBuilder::new(Float64Builder::new()).with_field(list_element(DataType::Float64)),
            chosen_actions: StringBuilder::new(),
            chosen_numbers: Float64Builder::new(),
            propensities: Float64Builder::new(),
            reasons: StringBuilder::new(),
            policies: StringBuilder::new(),
            salts: StringBuilder::new(),
            rankings: RankingColumns::new(),
            conditions: ConditionColumns::new(),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Adds one row; booleans become 1 and 0, for a model sees them so. A row that the columns cannot hold is an error,
    /// after which everything is as before.
    // Inlined, as are the columns that it fills, because the crate that calls it for every decision is optimised where
    // this one is not.
    #[inline]
    pub fn push(&mut self, row: &DecisionRow<'_>) -> Result<(), LakeError> {
        let table = TableName::Decisions;
        let model_version = row.model_version.map(i32::try_from).transpose().map_err(|_| {
            let found = format!("{} is larger than {}", row.model_version.unwrap_or(0), i32::MAX);
            value(&table, "model_version", &found)
        })?;
        if row.features.len() != row.values.len() {
            let found = format!("has {} names and {} values", row.features.len(), row.values.len());
            return Err(value(&table, "numeric", &found));
        }
        let (action, number, ranking) = match row.choice {
            RowChoice::Action(action) => (Some(action), None, None),
            RowChoice::Number(number) => (None, Some(number), None),
            RowChoice::Ranking(ranking) => (None, None, Some(ranking)),
        };
        let named = row.features.iter().zip(row.values);
        let named = named.map(|((name, feature_type), value)| (*name, *feature_type, *value));
        features::all_fit(&table, named.clone())?;
        self.rankings.push(&table, ranking)?;
        self.features.push(&table, named)?;
        self.feature_versions
            .push(&table, row.feature_versions.iter().copied())?;
        self.decision_ids.append_value(row.decision_id);
        self.strategies.append_value(row.strategy);
        self.blueprint_versions.append_value(row.blueprint_version);
        self.model_versions.append_option(model_version);
        self.units.append_value(row.unit);
        self.event_times.append_value(row.event_time);
        self.received.append_value(row.received_at);
        for action in row.actions {
            self.actions.values().append_value(action);
        }
        self.actions.append(true);
        self.scores.values().append_slice(row.scores);
        self.scores.append(true);
        self.chosen_actions.append_option(action);
        self.chosen_numbers.append_option(number);
        self.propensities.append_value(row.propensity);
        self.reasons.append_value(row.reason.as_str());
        self.policies.append_option(row.policy);
        self.salts.append_value(row.salt);
        self.conditions.push(&row.conditions);
        self.n_rows += 1;
        Ok(())
    }

    /// [`push`](Self::push) of a record.
    pub fn push_record(&mut self, decision: &DecisionRecord) -> Result<(), LakeError> {
        let each = || decision.features.iter();
        let policy = decision
            .policy
            .map(|policy| to_json(&TableName::Decisions, "policy", &policy))
            .transpose()?;
        let versions = decision.feature_versions.iter();
        let ranking = match &decision.choice {
            Choice::Ranking(ranking) => Parts::of(ranking)?,
            Choice::Action(_) | Choice::Number(_) => Parts::default(),
        };
        self.push(&DecisionRow {
            decision_id: decision.decision_id.as_str(),
            strategy: decision.strategy.as_str(),
            blueprint_version: decision.blueprint_version.as_str(),
            model_version: decision.model_version.map(|ModelVersion(version)| version),
            unit: decision.unit.as_str(),
            event_time: decision.event_time,
            received_at: decision.received_at,
            features: &each().map(|one| (&*one.name, one.feature_type)).collect::<Vec<_>>(),
            values: &each().map(|one| (&one.value).into()).collect::<Vec<_>>(),
            feature_versions: &versions
                .map(|(view, version)| (view.as_str(), *version))
                .collect::<Vec<_>>(),
            actions: &decision.actions.iter().map(String::as_str).collect::<Vec<_>>(),
            scores: &decision.scores,
            choice: match &decision.choice {
                Choice::Action(action) => RowChoice::Action(action),
                Choice::Number(number) => RowChoice::Number(*number),
                Choice::Ranking(_) => RowChoice::Ranking(ranking.row()),
            },
            propensity: decision.propensity,
            reason: decision.reason,
            policy: policy.as_deref(),
            salt: &decision.salt,
            conditions: RowConditions {
                blocked: &decision
                    .conditions
                    .blocked
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
                step: decision.conditions.step,
                rule_action: decision.conditions.rule_action.as_deref(),
                model_action: decision.conditions.model_action.as_deref(),
            },
        })
    }

    /// The rows as a batch.
    pub fn finish(mut self) -> Result<RecordBatch, LakeError> {
        let [numeric, categorical] = self.features.finish();
        let [candidates, ranking, position_propensities] = self.rankings.finish()?;
        let [blocked, step, rule_action, model_action] = self.conditions.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.decision_ids.finish()),
            Arc::new(self.strategies.finish()),
            Arc::new(self.blueprint_versions.finish()),
            Arc::new(self.model_versions.finish()),
            Arc::new(self.units.finish()),
            Arc::new(self.event_times.finish()),
            Arc::new(self.received.finish()),
            numeric,
            categorical,
            self.feature_versions.finish(),
            Arc::new(self.actions.finish()),
            Arc::new(self.scores.finish()),
            Arc::new(self.chosen_actions.finish()),
            Arc::new(self.chosen_numbers.finish()),
            Arc::new(self.propensities.finish()),
            Arc::new(self.reasons.finish()),
            Arc::new(self.policies.finish()),
            Arc::new(self.salts.finish()),
            new_null_array(&DataType::Utf8, self.n_rows),
            candidates,
            ranking,
            position_propensities,
            blocked,
            step,
            rule_action,
            model_action,
        ];
        batch(TableName::Decisions, columns)
    }
}

/// The decisions as rows.
pub fn decisions_to_batch(decisions: &[DecisionRecord]) -> Result<RecordBatch, LakeError> {
    let mut rows = DecisionRows::new();
    for decision in decisions {
        rows.push_record(decision)?;
    }
    rows.finish()
}

/// The rows as decisions. Features come back numbers first, then categories; booleans as the numbers 1 and 0.
pub fn decisions_from_batch(batch: &RecordBatch) -> Result<Vec<DecisionRecord>, LakeError> {
    Cells::new(TableName::Decisions, batch)?.rows(|cells, row| {
        Ok(DecisionRecord {
            decision_id: cells.parsed("decision_id", row)?,
            strategy: cells.parsed("strategy", row)?,
            blueprint_version: cells.parsed("blueprint_version", row)?,
            model_version: cells.optional_ordinal("model_version", row)?.map(ModelVersion),
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
                ranking::of_row(cells, row)?,
            ) {
                (Some(action), None, None) => Choice::Action(action.to_owned()),
                (None, Some(number), None) => Choice::Number(number),
                (None, None, Some(ranking)) => Choice::Ranking(ranking),
                _ => return Err(cells.value("action", "needs one of an action, a value and candidates")),
            },
            propensity: cells.number("propensity", row)?,
            reason: cells.word("reason", row, DecisionReason::parse)?,
            policy: match cells.optional_text("policy", row)? {
                Some(_) => Some(cells.json("policy", row)?),
                None => None,
            },
            salt: cells.text("salt", row)?.to_owned(),
            conditions: conditions::of_row(cells, row)?,
        })
    })
}
