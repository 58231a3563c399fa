//! How far a training run has come, for whoever watches it.

use lakeloop_domain::StrategyName;

/// What a training run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Joining decisions with their outcomes.
    BuildingTrainingSet,
    /// Fitting one candidate after the other.
    Searching,
    /// Calibrating the winner and comparing the serving code with libxgboost.
    Checking,
    /// Registering the winner and judging whether it goes live.
    Publishing,
}

/// One report of progress; the latest one tells all there is to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Whose model is trained.
    pub strategy: StrategyName,
    /// What is being done.
    pub stage: Stage,
    /// Trials that have ended.
    pub n_trials_done: u32,
    /// Trials in all; 0 until the search begins.
    pub n_trials: u32,
    /// The best value of the metric so far. `None` until a trial has one.
    pub best: Option<f64>,
    /// What is left of a budget of time, in seconds; `None` without one.
    pub seconds_left: Option<f64>,
}

/// Where reports go: the watcher sees the latest and may miss those before it, so that nobody waits for a screen.
pub type ProgressSender = tokio::sync::watch::Sender<Option<Progress>>;
