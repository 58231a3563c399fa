//! Runs of jobs: who may run, for how long, and what came of it.
//!
//! ```text
//!   claim ──► running ──► succeeded | skipped | failed        finish
//!               │  ▲ │
//!               │  └─┘ extend: the lease moves on
//!               └────► abandoned    by the next claim, once the lease has run out
//! ```
//!
//! The table only grows; the latest row of a run counts. Of two rows of one instant an ended one comes after a running
//! one, and the longer lease after the shorter. Claims are judged on the table's newest version and committed as
//! exactly the next one, so two processes never both hold one job. Time is what callers pass in.

use std::collections::HashMap;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ident, lit};
use lakeloop_domain::{JobKind, JobRun, Micros, RunId, RunState, StrategyName};
use uuid::Uuid;

use crate::judged::Judged;
use crate::rows::{job_runs_from_batch, job_runs_to_batch};
use crate::{Lake, LakeError, TableName, scan};

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// The job is the caller's until the lease ends or the run does.
    Started(JobRun),
    /// Another run holds it.
    Held(JobRun),
}

/// Whether a run was still its runner's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Hold {
    /// It was, and stands as this row says now.
    Kept(JobRun),
    /// It was not: this row had ended it. Nothing was written, and the runner should stop.
    Lost(JobRun),
}

/// Claims a job for a runner. A run whose lease has passed is marked abandoned in the same commit.
pub async fn claim(
    lake: &Lake,
    job: JobKind,
    strategy: Option<&StrategyName>,
    runner: &str,
    now: Micros,
    lease: Duration,
) -> Result<Claim, LakeError> {
    let of_strategy = match strategy {
        Some(strategy) => ident("strategy").eq(lit(strategy.as_str())),
        None => ident("strategy").is_null(),
    };
    let filter = ident("job").eq(lit(job.as_str())).and(of_strategy);
    let run_id = new_run_id(job)?;
    lake.judge(&TableName::JobRuns, Some(filter), |rows| {
        let running: Vec<JobRun> = latest_of(read(rows)?)
            .into_iter()
            .filter(|run| run.state == RunState::Running)
            .collect();
        if let Some(held) = running
            .iter()
            .find(|run| run.lease_until.is_some_and(|until| until >= now))
        {
            return Ok(Judged::Answer(Claim::Held(held.clone())));
        }
        let started = JobRun {
            run_id: run_id.clone(),
            job,
            strategy: strategy.cloned(),
            state: RunState::Running,
            at: now,
            lease_until: Some(lease_end(now, lease)),
            runner: runner.to_owned(),
            detail: String::new(),
        };
        let mut written: Vec<JobRun> = running
            .into_iter()
            .map(|dead| JobRun {
                state: RunState::Abandoned,
                at: now.max(dead.at),
                lease_until: None,
                detail: format!("its lease ran out; taken over by {run_id} of {runner}"),
                ..dead
            })
            .collect();
        written.push(started.clone());
        Ok(Judged::Append(job_runs_to_batch(&written)?, Claim::Started(started)))
    })
    .await
}

/// Moves the lease of a run on, to `lease` from now.
pub async fn extend(lake: &Lake, run: &JobRun, now: Micros, lease: Duration) -> Result<Hold, LakeError> {
    follow(lake, run, |latest| {
        let until = lease_end(now, lease).max(latest.lease_until.unwrap_or(Micros::MIN));
        JobRun {
            state: RunState::Running,
            at: now.max(latest.at),
            lease_until: Some(until),
            ..latest.clone()
        }
    })
    .await
}

/// Ends a run, with what it did or why it failed. Ending it again in the same way changes nothing.
pub async fn finish(lake: &Lake, run: &JobRun, state: RunState, detail: &str, now: Micros) -> Result<Hold, LakeError> {
    follow(lake, run, |latest| JobRun {
        state,
        at: now.max(latest.at),
        lease_until: None,
        detail: detail.to_owned(),
        ..latest.clone()
    })
    .await
}

/// The latest row of every run, the newest first.
pub async fn latest(lake: &Lake) -> Result<Vec<JobRun>, LakeError> {
    let table = TableName::JobRuns;
    let state = lake.newest(&table).await?;
    let mut runs = latest_of(read(&scan::rows(&table, &state, None).await?)?);
    runs.sort_by(|a, b| (b.at, &b.run_id).cmp(&(a.at, &a.run_id)));
    Ok(runs)
}

/// Appends the row that follows a run's latest one, as long as that one is running.
async fn follow(lake: &Lake, run: &JobRun, next: impl Fn(&JobRun) -> JobRun) -> Result<Hold, LakeError> {
    let filter: Expr = ident("run_id").eq(lit(run.run_id.as_str()));
    lake.judge(&TableName::JobRuns, Some(filter), |rows| {
        let Some(latest) = latest_of(read(rows)?).pop() else {
            return Err(LakeError::NoSuchRun {
                run_id: run.run_id.clone(),
            });
        };
        let next = next(&latest);
        if latest.state == RunState::Running {
            return Ok(Judged::Append(
                job_runs_to_batch(std::slice::from_ref(&next))?,
                Hold::Kept(next),
            ));
        }
        let is_repetition = (next.state, &next.detail) == (latest.state, &latest.detail);
        Ok(Judged::Answer(if is_repetition {
            Hold::Kept(latest)
        } else {
            Hold::Lost(latest)
        }))
    })
    .await
}

/// One row for each run: the one that no other follows.
fn latest_of(rows: Vec<JobRun>) -> Vec<JobRun> {
    let order = |run: &JobRun| (run.at, run.state != RunState::Running, run.lease_until);
    let mut latest: HashMap<RunId, JobRun> = HashMap::new();
    for row in rows {
        match latest.get(&row.run_id) {
            Some(other) if order(other) > order(&row) => {}
            _ => {
                latest.insert(row.run_id.clone(), row);
            }
        }
    }
    latest.into_values().collect()
}

fn read(rows: &[RecordBatch]) -> Result<Vec<JobRun>, LakeError> {
    let read: Result<Vec<_>, _> = rows.iter().map(job_runs_from_batch).collect();
    Ok(read?.into_iter().flatten().collect())
}

fn lease_end(now: Micros, lease: Duration) -> Micros {
    now.saturating_add(Micros::try_from(lease.as_micros()).unwrap_or(Micros::MAX))
}

fn new_run_id(job: JobKind) -> Result<RunId, LakeError> {
    let text = format!("{}-{}", job.as_str(), Uuid::new_v4());
    RunId::new(text).map_err(|error| LakeError::Value {
        table: TableName::JobRuns,
        column: "run_id",
        found: error.to_string(),
    })
}
