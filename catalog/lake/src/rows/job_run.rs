//! Rows of the `job_runs` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{JobKind, JobRun, RunState, StrategyName};

use super::cells::{Cells, batch, instants, optional_instants, optional_texts, texts};
use crate::{LakeError, TableName};

/// The states of runs as rows.
pub fn job_runs_to_batch(runs: &[JobRun]) -> Result<RecordBatch, LakeError> {
    let each = || runs.iter();
    batch(
        TableName::JobRuns,
        vec![
            texts(each().map(|run| run.run_id.as_str())),
            texts(each().map(|run| run.job.as_str())),
            optional_texts(each().map(|run| run.strategy.as_ref().map(StrategyName::as_str))),
            texts(each().map(|run| run.state.as_str())),
            instants(each().map(|run| run.at)),
            optional_instants(each().map(|run| run.lease_until)),
            texts(each().map(|run| run.runner.as_str())),
            texts(each().map(|run| run.detail.as_str())),
        ],
    )
}

/// The rows as states of runs.
pub fn job_runs_from_batch(batch: &RecordBatch) -> Result<Vec<JobRun>, LakeError> {
    Cells::new(TableName::JobRuns, batch)?.rows(|cells, row| {
        Ok(JobRun {
            run_id: cells.parsed("run_id", row)?,
            job: cells.word("job", row, JobKind::parse)?,
            strategy: cells.optional_parsed("strategy", row)?,
            state: cells.word("state", row, RunState::parse)?,
            at: cells.instant("at", row)?,
            lease_until: cells.optional_instant("lease_until", row)?,
            runner: cells.text("runner", row)?.to_owned(),
            detail: cells.text("detail", row)?.to_owned(),
        })
    })
}
