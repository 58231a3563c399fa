//! Owns logged decisions with their rewards as estimators take them: the rows of the training query, with units.

use std::collections::HashMap;

use arrow::array::{AsArray as _, RecordBatch, StringArray};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, LearningTarget, Micros};
use lakeloop_sql::{LabelledRows, blocked_actions, labelled_rows};
use lakeloop_stats::off_policy::{Behaviour, Log, LogError, LoggedRow};

use crate::error::PipelineError;
use crate::rows::TrainingRows;

/// A propensity this close to 1 says that nothing else could have been chosen.
const CERTAIN: f64 = 1.0 - 1e-12;

/// The labelled decisions of a strategy, or the labelled candidates of its rankings, in the order of time.
pub struct EvaluationRows {
    pub(crate) rows: TrainingRows,
    candidates: StringArray,
    units: Vec<u64>,
    n_units: usize,
    positions: Vec<usize>,
    /// What caps blocked, by decision.
    blocked: HashMap<String, Vec<String>>,
}

impl EvaluationRows {
    /// Reads the rows that `blueprint` would be trained on: decisions whose attribution window had closed by `as_of`, from
    /// `from` on, with the label that its outcome gives them.
    pub async fn read(
        ctx: &SessionContext,
        blueprint: &Blueprint,
        as_of: Micros,
        from: Option<Micros>,
    ) -> Result<Self, PipelineError> {
        let labelled = labelled_rows(ctx, blueprint, as_of, from).await?;
        let blocked = blocked_actions(ctx, blueprint, as_of, from).await?;
        Self::new(&labelled, blocked).map_err(PipelineError::TrainingRows)
    }

    fn new(labelled: &[LabelledRows], blocked: HashMap<String, Vec<String>>) -> Result<Self, ArrowError> {
        let batches: Vec<RecordBatch> = labelled.iter().map(|part| part.rows.clone()).collect();
        let rows = TrainingRows::new(&batches)?;
        let column = |name: &str| {
            let absent = || ArrowError::SchemaError(format!("the training query has no column `{name}`"));
            rows.batch().column_by_name(name).ok_or_else(absent)
        };
        let mut numbers: HashMap<String, u64> = HashMap::new();
        let mut units = Vec::with_capacity(rows.len());
        let mut positions = Vec::with_capacity(rows.len());
        for part in labelled {
            for row_idx in 0..part.rows.num_rows() {
                let next = numbers.len() as u64;
                units.push(*numbers.entry(part.units.value(row_idx).to_owned()).or_insert(next));
                let position = part.positions.as_ref().map(|positions| positions.value(row_idx));
                positions.push(
                    position
                        .and_then(|position| usize::try_from(position).ok())
                        .unwrap_or(0),
                );
            }
        }
        Ok(Self {
            candidates: column("candidate")?.as_string::<i32>().clone(),
            n_units: numbers.len(),
            units,
            positions,
            blocked,
            rows,
        })
    }

    /// How many rows there are: decisions, or candidates that were returned.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many units there are.
    pub fn n_units(&self) -> usize {
        self.n_units
    }

    /// Which decision a row stems from.
    pub fn decision_id(&self, row_idx: usize) -> &str {
        self.rows.decision_ids().value(row_idx)
    }

    /// The actions that caps blocked, in the order that the decision logged.
    pub fn blocked(&self, row_idx: usize) -> &[String] {
        self.blocked.get(self.decision_id(row_idx)).map_or(&[], Vec::as_slice)
    }

    /// At how many rows caps blocked any action.
    pub fn n_blocked(&self) -> usize {
        (0..self.len())
            .filter(|row_idx| !self.blocked(*row_idx).is_empty())
            .count()
    }

    /// The action that was chosen; `None` for numbers and rankings.
    pub fn action(&self, row_idx: usize) -> Option<&str> {
        self.rows.action(row_idx)
    }

    /// The candidate that was returned; only of strategies that rank.
    pub(crate) fn candidate(&self, row_idx: usize) -> &str {
        self.candidates.value(row_idx)
    }

    /// The place of the candidate, from 0.
    pub(crate) fn position(&self, row_idx: usize) -> usize {
        self.positions[row_idx]
    }

    /// The logged probability of what was chosen; of a candidate at its position.
    pub(crate) fn propensity(&self, row_idx: usize) -> f64 {
        self.rows.propensity(row_idx)
    }

    /// For whom it was decided, as a number.
    pub(crate) fn unit(&self, row_idx: usize) -> u64 {
        self.units[row_idx]
    }

    /// `actions` followed by those that were logged beside them: what a log for a policy over `actions` counts.
    pub fn actions(&self, actions: &[String]) -> Vec<String> {
        let mut all = actions.to_vec();
        let logged = (0..self.len()).filter_map(|row_idx| self.action(row_idx));
        for action in logged {
            if !all.iter().any(|known| known == action) {
                all.push(action.to_owned());
            }
        }
        all
    }

    /// The log of decisions for a target policy. `actions` are [`Self::actions`]; `target` gives the policy's probability
    /// of each of them for a row, and `q_hat` the expected reward of each. The reward is the label; where labels are
    /// categories, 1 when the action was the right one, else 0. Rows without a probability above 0 or without an action are
    /// refused.
    ///
    /// A decision that nothing else could have come of supports its own action alone; of others only the chosen action's
    /// probability is known here.
    pub fn log<'r>(
        &self,
        target_of_labels: &LearningTarget,
        actions: &[String],
        mut target: impl FnMut(usize) -> &'r [f64],
        mut q_hat: Option<impl FnMut(usize) -> &'r [f64]>,
    ) -> Result<Log, PipelineError> {
        let idx_of: HashMap<&str, usize> = actions
            .iter()
            .enumerate()
            .map(|(idx, name)| (name.as_str(), idx))
            .collect();
        let mut log = Log::new();
        let mut certain = vec![0.0; actions.len()];
        for row_idx in 0..self.len() {
            let action_idx = self.action(row_idx).and_then(|action| idx_of.get(action).copied());
            let action_idx = action_idx.unwrap_or(actions.len());
            let propensity = self.propensity(row_idx);
            let is_certain = propensity >= CERTAIN && action_idx < actions.len();
            if is_certain {
                certain.fill(0.0);
                certain[action_idx] = 1.0;
            }
            let reward = self.reward(row_idx, target_of_labels, action_idx);
            let row = LoggedRow {
                action_idx,
                position: 0,
                reward,
                behaviour: match is_certain {
                    true => Behaviour::All(&certain),
                    false => Behaviour::Chosen(propensity),
                },
                target: target(row_idx),
                q_hat: q_hat.as_mut().map(|q_hat| q_hat(row_idx)),
                unit: Some(self.unit(row_idx)),
                weight: 1.0,
            };
            log.push(&row).map_err(|source| self.unusable(row_idx, source))?;
        }
        Ok(log)
    }

    /// What came of the row; NaN, which no log takes, where it has no label.
    fn reward(&self, row_idx: usize, target: &LearningTarget, action_idx: usize) -> f64 {
        let label = self.rows.label(row_idx).unwrap_or(f64::NAN);
        match target {
            LearningTarget::MultiClass { .. } if label.is_finite() => f64::from(u8::from(label == action_idx as f64)),
            _ => label,
        }
    }

    /// The reward of a candidate that was returned.
    pub(crate) fn reward_of_candidate(&self, row_idx: usize) -> f64 {
        self.rows.label(row_idx).unwrap_or(f64::NAN)
    }

    pub(crate) fn unusable(&self, row_idx: usize, source: LogError) -> PipelineError {
        PipelineError::LoggedDecision {
            decision_id: self.decision_id(row_idx).to_owned(),
            source,
        }
    }
}
