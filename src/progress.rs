//! Progress of long work: a bar where a terminal watches, plain lines where none does.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use lakeloop_pipeline::{JobContext, Progress, Stage};
use tokio::task::JoinHandle;

/// Draws the progress of the jobs of a context until it is stopped.
pub struct TrainingProgress {
    drawing: JoinHandle<()>,
    bar: ProgressBar,
}

impl TrainingProgress {
    /// Starts to watch.
    pub fn watch(ctx: &JobContext) -> Self {
        let bar = bar();
        let mut reports = ctx.watch();
        let drawn = bar.clone();
        let drawing = tokio::spawn(async move {
            let mut said = String::new();
            while reports.changed().await.is_ok() {
                let report = reports.borrow_and_update().clone();
                if let Some(report) = report {
                    draw(&drawn, &report, &mut said);
                }
            }
        });
        Self { drawing, bar }
    }

    /// Takes the bar away.
    pub fn stop(self) {
        self.drawing.abort();
        self.bar.finish_and_clear();
    }
}

fn draw(bar: &ProgressBar, report: &Progress, said: &mut String) {
    let stage = match report.stage {
        Stage::BuildingTrainingSet => "building the training set",
        Stage::Searching => "searching",
        Stage::Checking => "checking the winner on the serving code",
        Stage::Publishing => "publishing",
    };
    let best = report.best.map_or_else(String::new, |best| format!(", best {best:.5}"));
    let trials = match (report.n_trials_done, report.seconds_left) {
        (0, None) => String::new(),
        (n_done, None) => format!(", trial {n_done} of {}", report.n_trials),
        (n_done, Some(left)) => format!(", {n_done} trials, {left:.0} s left"),
    };
    let line = format!("{}: {stage}{best}", report.strategy);
    bar.set_length(u64::from(report.n_trials));
    bar.set_position(u64::from(report.n_trials_done));
    bar.set_message(format!("{line}{trials}"));
    // Without a terminal a line is worth it when something has changed but the count.
    if !std::io::stderr().is_terminal() && line != *said {
        eprintln!("{line}{trials}");
        *said = line;
    }
}

/// A bar on standard error; hidden where that is no terminal.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {wide_bar} {pos}/{len}  {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// A spinner on standard error for work whose length is not known; hidden where that is no terminal.
pub fn spinner(message: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    spinner
}
