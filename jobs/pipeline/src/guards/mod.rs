//! Guards against models that look better than they are: each looks at a training set before anything is fitted.
//!
//! | guard | stops the run | let pass by |
//! |---|---|---|
//! | leak | a column predicts the label almost alone, or is filled only where there is an outcome | `[training] allow_leak` |
//! | duplicates | rows repeat across the split with their labels | `[training] allow_duplicates` |
//! | label shift | labels are very different after the split | `[training] allow_label_shift` |
//! | columns | never; tells of columns without values and of categories beyond the vocabulary | |
//!
//! Too few rows or positives are no fault of the data: such a run is skipped, see [`enough`]. What stops a run and what is
//! let pass or only told is one sentence each, with the column and its numbers.

mod columns;
mod duplicates;
pub(crate) mod enough;
pub(crate) mod fill;
mod leak;
mod shift;

pub(crate) use leak::values_of;

use lakeloop_domain::Blueprint;

use crate::search::Problem;
use crate::training_set::TrainingData;

/// What the guards found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Why the run must stop.
    pub stops: Vec<String>,
    /// What whoever reads about the run should know.
    pub notes: Vec<String>,
}

impl Findings {
    /// Stops the run, unless the blueprint lets it pass; `key` says how it would.
    fn stop(&mut self, sentence: String, is_allowed: bool, key: &str) {
        if is_allowed {
            self.notes.push(format!("{sentence} (let pass by [training] {key})"));
        } else {
            self.stops.push(format!(
                "{sentence}; if that is as it should be, write [training] {key}"
            ));
        }
    }
}

/// Looks at a training set with every guard.
pub(crate) fn guard(blueprint: &Blueprint, data: &TrainingData, problem: &Problem<'_>) -> Findings {
    let mut findings = Findings::default();
    leak::guard(blueprint, data, problem, &mut findings);
    duplicates::guard(blueprint, data, problem, &mut findings);
    shift::guard(blueprint, data, &mut findings);
    columns::guard(blueprint, data, problem, &mut findings);
    findings
}
