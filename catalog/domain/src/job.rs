//! Runs of scheduled jobs.

use serde::{Deserialize, Serialize};

use crate::{Micros, RunId, StrategyName};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Builds a training set, searches for the best model and publishes it.
    Train,
    /// Merges the small files of the tables.
    Compact,
    /// Makes a sample of the last day's decisions again and compares them bit for bit.
    Replay,
    /// Moves strategies to the step of their ladder that their data allows.
    Ladder,
    /// Builds the feature snapshots of one home. Its runs are not claimed: each home builds its own.
    Snapshot,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Train, Self::Compact, Self::Replay, Self::Ladder, Self::Snapshot];

    /// The word that the command line and tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Compact => "compact",
            Self::Replay => "replay",
            Self::Ladder => "ladder",
            Self::Snapshot => "snapshot",
        }
    }

    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Under way, as long as its lease lasts.
    Running,
    /// Did its work.
    Succeeded,
    /// Found nothing to do, or too little to do it with.
    Skipped,
    /// Ended with an error.
    Failed,
    /// Its process died: its lease ran out and another run took over.
    Abandoned,
}

impl RunState {
    /// The word that tables use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    /// The state that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Succeeded,
            Self::Skipped,
            Self::Failed,
            Self::Abandoned,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// One row of the `job_runs` table: the state of a run from `at` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// Names the run.
    pub run_id: RunId,
    /// What it does.
    pub job: JobKind,
    /// For which strategy; `None` for jobs of the whole lake.
    pub strategy: Option<StrategyName>,
    /// How it stands.
    pub state: RunState,
    /// Since when.
    pub at: Micros,
    /// For a running one: it counts as dead after this instant unless a later row says otherwise.
    pub lease_until: Option<Micros>,
    /// Who runs it: host and process id.
    pub runner: String,
    /// What it did, or why it failed.
    pub detail: String,
}
