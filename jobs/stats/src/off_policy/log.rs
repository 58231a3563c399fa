//! Owns logged decisions next to what the target policy would have done, checked row by row.

use std::collections::HashMap;

/// How far probabilities that stand for a whole distribution may sum up beside 1.
const SUM_TOLERANCE: f64 = 1e-6;

/// How the logging policy chose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour<'a> {
    /// Only the probability of the logged action is known, in (0, 1].
    Chosen(f64),
    /// The probability of each action. Support is then known exactly, row by row.
    All(&'a [f64]),
}

/// One logged decision. An action has the same index in all rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedRow<'a> {
    /// The action that was chosen: a position in `target`.
    pub action_idx: usize,
    /// The place in a list that the action was chosen for, from 0; 0 where there is only one. It only separates what is
    /// counted for support: the probabilities are those of this place.
    pub position: usize,
    /// What came of it; finite.
    pub reward: f64,
    /// How it was chosen.
    pub behaviour: Behaviour<'a>,
    /// The target policy's probability of each action; they sum to 1.
    pub target: &'a [f64],
    /// A model's expected reward of each action: in all rows or in none. DM and everything doubly robust need it.
    pub q_hat: Option<&'a [f64]>,
    /// Whom the decision was for, as a number; rows of a unit are not taken for independent. A row without a unit stands
    /// for itself.
    pub unit: Option<u64>,
    /// How much the row counts: finite and at least 0; 1 where all count the same.
    pub weight: f64,
}

/// Why a row cannot be used. The log stays as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LogError {
    /// A number is not what it stands for.
    #[error("row {row_idx}: `{field}` is {found}; expected {expected}")]
    Value {
        /// Which row, from 0.
        row_idx: usize,
        /// Which field of it.
        field: &'static str,
        /// What it is.
        found: f64,
        /// What would do.
        expected: &'static str,
    },
    /// A distribution or prediction covers another number of actions than the target policy.
    #[error("row {row_idx}: `{field}` has {found} numbers; expected {expected}, one for each action")]
    Length {
        /// Which row, from 0.
        row_idx: usize,
        /// Which field of it.
        field: &'static str,
        /// How many it has.
        found: usize,
        /// How many actions there are.
        expected: usize,
    },
    /// The logged action is none of those that the target policy knows.
    #[error("row {row_idx}: the logged action is number {found} of {n_actions}, from 0")]
    Action {
        /// Which row, from 0.
        row_idx: usize,
        /// The logged action.
        found: usize,
        /// How many there are.
        n_actions: usize,
    },
    /// Some rows have predictions and some have none.
    #[error("row {row_idx}: `q_hat` must be there in all rows or in none")]
    SomePredictions {
        /// Which row, from 0.
        row_idx: usize,
    },
}

/// What estimators need of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// w = π_e(a|x) / π_b(a|x)
    pub(crate) ratio: f64,
    pub(crate) reward: f64,
    /// ω
    pub(crate) weight: f64,
}

/// What a model expected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prediction {
    /// q̂(x, a) of the logged action.
    pub(crate) logged: f64,
    /// Σ π_e(a'|x) q̂(x, a') over all actions.
    pub(crate) target: f64,
}

/// What is counted of one action at one position. All sums are weighted by ω.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) n_logged: u64,
    /// Σ ω π_e
    pub(crate) target: f64,
    /// Σ ω π_e over the rows in which the logging policy is known to have had probability 0.
    pub(crate) target_without_behaviour: f64,
    /// Σ ω π_e over the rows of which only the chosen action's probability is known.
    pub(crate) target_beside_chosen: f64,
}

/// Logged decisions. It keeps 28 bytes of a row, 44 with expected rewards; what a row was read from need not be kept.
#[derive(Debug, Clone, Default)]
pub struct Log {
    rows: Vec<Row>,
    /// One for each row, or none at all.
    predictions: Vec<Prediction>,
    units: Units,
    /// By position, then by action.
    tallies: Vec<Vec<Tally>>,
}

impl Log {
    /// Without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// How many units there are; each row without one counts as one.
    pub fn n_units(&self) -> usize {
        self.units.n
    }

    /// Adds a row, or says what is wrong with it.
    pub fn push(&mut self, row: &LoggedRow<'_>) -> Result<(), LogError> {
        let check = Check {
            row_idx: self.rows.len(),
            n_actions: row.target.len(),
        };
        let propensity = check.row(row)?;
        if !self.rows.is_empty() && self.predictions.is_empty() == row.q_hat.is_some() {
            return Err(LogError::SomePredictions { row_idx: check.row_idx });
        }
        self.tally(row);
        self.units.push(row.unit);
        self.rows.push(Row {
            ratio: row.target[row.action_idx] / propensity,
            reward: row.reward,
            weight: row.weight,
        });
        self.predictions.extend(row.q_hat.map(|q_hat| Prediction {
            logged: q_hat[row.action_idx],
            target: q_hat.iter().zip(row.target).map(|(q, share)| q * share).sum(),
        }));
        Ok(())
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Each row with what the model expected; `None` without expected rewards.
    pub(crate) fn predicted(&self) -> Option<impl Iterator<Item = (&Row, &Prediction)>> {
        (!self.predictions.is_empty()).then(|| self.rows.iter().zip(&self.predictions))
    }

    /// The unit of each row, from 0.
    pub(crate) fn unit_idxs(&self) -> &[u32] {
        &self.units.of_rows
    }

    pub(crate) fn tallies(&self) -> &[Vec<Tally>] {
        &self.tallies
    }

    fn tally(&mut self, row: &LoggedRow<'_>) {
        if self.tallies.len() <= row.position {
            self.tallies.resize(row.position + 1, Vec::new());
        }
        let tallies = &mut self.tallies[row.position];
        if tallies.len() < row.target.len() {
            tallies.resize(row.target.len(), Tally::default());
        }
        tallies[row.action_idx].n_logged += 1;
        for (action_idx, share) in row.target.iter().enumerate() {
            let (tally, mass) = (&mut tallies[action_idx], row.weight * share);
            tally.target += mass;
            match row.behaviour {
                Behaviour::Chosen(_) => tally.target_beside_chosen += mass,
                Behaviour::All(all) if all[action_idx] == 0.0 => tally.target_without_behaviour += mass,
                Behaviour::All(_) => {}
            }
        }
    }
}

/// Numbers units from 0 in the order in which they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Units {
    known: HashMap<u64, u32>,
    pub(crate) of_rows: Vec<u32>,
    pub(crate) n: usize,
}

impl Units {
    pub(crate) fn push(&mut self, unit: Option<u64>) {
        // More rows than u32 counts would need 200 GB before they came here.
        let next = self.n as u32;
        let idx = match unit {
            Some(unit) => *self.known.entry(unit).or_insert(next),
            None => next,
        };
        self.n += usize::from(idx == next);
        self.of_rows.push(idx);
    }
}

/// Checks the fields of one row.
pub(crate) struct Check {
    pub(crate) row_idx: usize,
    pub(crate) n_actions: usize,
}

impl Check {
    /// The probability of the logged action.
    fn row(&self, row: &LoggedRow<'_>) -> Result<f64, LogError> {
        if row.action_idx >= self.n_actions {
            return Err(LogError::Action {
                row_idx: self.row_idx,
                found: row.action_idx,
                n_actions: self.n_actions,
            });
        }
        self.is_distribution("target", row.target)?;
        let propensity = match row.behaviour {
            Behaviour::Chosen(propensity) => propensity,
            Behaviour::All(all) => {
                self.has_each("behaviour", all)?;
                self.is_distribution("behaviour", all)?;
                all[row.action_idx]
            }
        };
        self.is_propensity("behaviour", propensity)?;
        self.is_number("reward", row.reward)?;
        self.is_weight(row.weight)?;
        if let Some(q_hat) = row.q_hat {
            self.has_each("q_hat", q_hat)?;
            q_hat.iter().try_for_each(|q| self.is_number("q_hat", *q))?;
        }
        Ok(propensity)
    }

    pub(crate) fn is_propensity(&self, field: &'static str, found: f64) -> Result<(), LogError> {
        let is_propensity = found > 0.0 && found <= 1.0;
        self.holds(
            is_propensity,
            field,
            found,
            "the probability of the logged action, above 0 and at most 1",
        )
    }

    pub(crate) fn is_probability(&self, field: &'static str, found: f64) -> Result<(), LogError> {
        self.holds(
            (0.0..=1.0).contains(&found),
            field,
            found,
            "a probability between 0 and 1",
        )
    }

    pub(crate) fn is_number(&self, field: &'static str, found: f64) -> Result<(), LogError> {
        self.holds(found.is_finite(), field, found, "a finite number")
    }

    pub(crate) fn is_weight(&self, found: f64) -> Result<(), LogError> {
        self.holds(
            crate::example::is_weight(found),
            "weight",
            found,
            "a finite number that is at least 0",
        )
    }

    fn is_distribution(&self, field: &'static str, shares: &[f64]) -> Result<(), LogError> {
        shares.iter().try_for_each(|share| self.is_probability(field, *share))?;
        let sum: f64 = shares.iter().sum();
        self.holds(
            (sum - 1.0).abs() <= SUM_TOLERANCE,
            field,
            sum,
            "probabilities that sum to 1",
        )
    }

    fn has_each(&self, field: &'static str, numbers: &[f64]) -> Result<(), LogError> {
        if numbers.len() == self.n_actions {
            return Ok(());
        }
        Err(LogError::Length {
            row_idx: self.row_idx,
            field,
            found: numbers.len(),
            expected: self.n_actions,
        })
    }

    fn holds(&self, holds: bool, field: &'static str, found: f64, expected: &'static str) -> Result<(), LogError> {
        if holds {
            return Ok(());
        }
        Err(LogError::Value {
            row_idx: self.row_idx,
            field,
            found,
            expected,
        })
    }
}
