//! Writes the trials of a search down as they end, and reads them back after a crash.
//!
//! A search may run on a thread that blocks; each write is waited for there. Trials that end within a second of the latest
//! write wait for the next one that ends, or for the end of the search, and are written with it: a search of many short trials
//! would otherwise leave a file for each. Those that wait are what a crash takes with it; they are fitted again and come to the
//! same.

use std::time::{Duration, Instant};

use lakeloop_domain::{StrategyName, TrainingSetId};
use lakeloop_lake::rows::Trial as Row;
use lakeloop_lake::{Lake, registry, trials};
use tokio::runtime::Handle;

use crate::error::PipelineError;
use crate::latency::Latency;
use crate::parameters::Parameters;
use crate::race::Rungs;
use crate::trial::{FittedTrial, Trial};

/// Trials are written together that end within this time.
const TOGETHER: Duration = Duration::from_secs(1);

/// Earlier winners that a search begins with, at most.
const N_EARLIER_WINNERS: usize = 3;

/// The trials of one search, on their way into the lake.
pub(crate) struct Ledger {
    lake: Lake,
    strategy: StrategyName,
    training_set_id: TrainingSetId,
    runtime: Handle,
    n_written: usize,
    known: Vec<u32>,
    waiting: Vec<Row>,
    last_write: Instant,
}

impl Ledger {
    /// A ledger of a search that has these trials written down already.
    pub fn new(lake: &Lake, strategy: &StrategyName, id: &TrainingSetId, written: &[Row]) -> Self {
        Self {
            lake: lake.clone(),
            strategy: strategy.clone(),
            training_set_id: id.clone(),
            runtime: Handle::current(),
            n_written: written.len(),
            known: written.iter().map(|row| row.trial).collect(),
            waiting: Vec::new(),
            last_write: Instant::now(),
        }
    }

    /// Takes a trial in. Blocks while it is written; must not be called on a thread that drives the runtime.
    pub fn take(&mut self, idx: usize, trial: &Trial, metric: &'static str) -> Result<(), PipelineError> {
        if self.known.contains(&(idx as u32)) {
            return Ok(());
        }
        self.known.push(idx as u32);
        self.waiting
            .push(row(&self.strategy, &self.training_set_id, idx, trial, metric));
        if self.last_write.elapsed() >= TOGETHER {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub fn write(&mut self) -> Result<(), PipelineError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let appending = trials::append(&self.lake, &self.training_set_id, self.n_written, &rows);
        self.runtime.block_on(appending)?;
        self.n_written += rows.len();
        self.last_write = Instant::now();
        Ok(())
    }
}

fn row(strategy: &StrategyName, id: &TrainingSetId, idx: usize, trial: &Trial, metric: &'static str) -> Row {
    let model = trial.fitted.as_ref().ok();
    // JSON has no word for what is no number.
    let fold_values = model.map(|model| &model.fold_values);
    let fold_values = fold_values.filter(|values| values.iter().all(|value| value.is_finite()));
    Row {
        strategy: strategy.clone(),
        training_set_id: id.clone(),
        trial: idx as u32,
        parameters: trial.parameters.to_json(),
        metric: metric.to_owned(),
        value: model.map(|model| model.value).filter(|value| value.is_finite()),
        rounds: model.map(|model| model.n_rounds),
        artifact_bytes: model.map(|model| model.artifact_bytes),
        cpu_seconds: model.map(|model| model.cpu_seconds),
        chosen: false,
        started_at: trial.started_at,
        error: trial.fitted.as_ref().err().or(trial.over_limit.as_ref()).cloned(),
        fold_values: fold_values.cloned().unwrap_or_default(),
        rungs: serde_json::to_string(&trial.rungs).ok(),
        is_complete: model.map(|model| model.is_complete),
        latency_p50_us: model.map(|model| model.latency.p50_us),
        latency_p99_us: model.map(|model| model.latency.p99_us),
        feature_cost_us: model.map(|model| model.feature_cost_us),
    }
}

/// The trials that rows tell of, by their positions; without those of which a row does not tell enough to go on from.
pub(crate) fn read_back(rows: &[Row]) -> Vec<(usize, Trial)> {
    rows.iter()
        .filter_map(|row| Some((row.trial as usize, trial(row)?)))
        .collect()
}

fn trial(row: &Row) -> Option<Trial> {
    let rungs: Rungs = serde_json::from_str(row.rungs.as_deref()?).ok()?;
    let (fitted, over_limit) = match row.is_complete {
        Some(is_complete) => {
            let latency = Latency {
                p50_us: row.latency_p50_us?,
                p99_us: row.latency_p99_us?,
            };
            let fitted = FittedTrial {
                value: row.value?,
                fold_values: row.fold_values.clone(),
                n_rounds: row.rounds?,
                artifact_bytes: row.artifact_bytes?,
                latency,
                cpu_seconds: row.cpu_seconds?,
                feature_cost_us: row.feature_cost_us?,
                is_complete,
                artifacts: Vec::new(),
                losses: [].into(),
            };
            (Ok(fitted), row.error.clone())
        }
        None => (Err(row.error.clone()?), None),
    };
    Some(Trial {
        idx: row.trial as usize,
        parameters: Parameters::from_json(&row.parameters)?,
        started_at: row.started_at,
        rungs,
        fitted,
        over_limit,
    })
}

/// Parameters of the strategy's latest models, the latest first, each set once.
pub(crate) async fn earlier_winners(lake: &Lake, strategy: &StrategyName) -> Result<Vec<Parameters>, PipelineError> {
    let mut found: Vec<Parameters> = Vec::new();
    for model in registry::list(lake, Some(strategy)).await?.into_iter().rev() {
        if let Some(mut parameters) = Parameters::from_json(&model.provenance.parameters) {
            parameters.without.clear();
            if !found.contains(&parameters) {
                found.push(parameters);
            }
        }
        if found.len() == N_EARLIER_WINNERS {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::simulated::ended_trial;
    use lakeloop_domain::LearningTarget;
    use lakeloop_lake::rows::{trials_from_batch, trials_to_batch};

    #[test]
    fn a_trial_comes_back_as_it_was_but_for_its_model() {
        let fitted = FittedTrial {
            value: 0.1 + 0.2,
            fold_values: vec![0.1, 0.5],
            n_rounds: 17,
            artifact_bytes: 1_000,
            latency: Latency {
                p50_us: 1.5,
                p99_us: 2.5,
            },
            cpu_seconds: 0.25,
            feature_cost_us: 3.0,
            is_complete: true,
            artifacts: vec![vec![1].into()],
            losses: [0.5].into(),
        };
        let trial = Trial {
            idx: 7,
            parameters: Parameters {
                without: vec!["x".into()],
                ..Parameters::defaults(&LearningTarget::Binary)
            },
            started_at: 5,
            rungs: Rungs(vec![1.0 / 3.0, 0.2]),
            fitted: Ok(fitted.clone()),
            over_limit: Some("too large".into()),
        };
        let (strategy, id) = (StrategyName::new("s").unwrap(), TrainingSetId::new("set").unwrap());
        let back = read_back(&[row(&strategy, &id, 7, &trial, "log_loss")]);
        let (idx, found) = &back[0];
        assert_eq!(
            (*idx, &found.parameters, &found.rungs),
            (7, &trial.parameters, &trial.rungs)
        );
        assert_eq!(found.over_limit, trial.over_limit);
        let model = found.fitted.as_ref().unwrap();
        assert_eq!((model.value, &model.fold_values), (fitted.value, &fitted.fold_values));
        assert_eq!(
            (model.n_rounds, model.artifact_bytes, model.is_complete),
            (17, 1_000, true)
        );
        assert!(model.artifacts.is_empty());
        let failed = Trial {
            fitted: Err("no memory".into()),
            over_limit: None,
            ..trial
        };
        let back = read_back(&[row(&strategy, &id, 2, &failed, "log_loss")]);
        assert_eq!(back[0].1.fitted.as_ref().err().map(String::as_str), Some("no memory"));
    }

    #[test]
    fn a_trial_that_came_to_no_number_leaves_the_table_readable() {
        let (strategy, id) = (StrategyName::new("s").unwrap(), TrainingSetId::new("set").unwrap());
        let rows = [f64::NAN, f64::INFINITY, 0.5].map(|value| row(&strategy, &id, 0, &ended_trial(value), "auc"));
        let found = trials_from_batch(&trials_to_batch(&rows).unwrap()).unwrap();
        assert_eq!(found, rows);
        let values: Vec<_> = found
            .iter()
            .map(|row| (row.value, row.fold_values.as_slice()))
            .collect();
        assert_eq!(values, [(None, [].as_slice()), (None, &[]), (Some(0.5), &[0.5])]);
        assert_eq!(read_back(&found).len(), 1, "what came to no number is fitted again");
    }
}
