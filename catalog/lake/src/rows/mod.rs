//! Rows: the nouns of the domain as record batches, and back. One file a table.
//!
//! Writing checks what the columns cannot hold; reading takes a batch with at least the table's columns, in any
//! order and also as DataFusion hands them out (string views), and checks every value, because other programs may
//! write to the tables too.

mod blueprint;
mod cells;
mod conditions;
mod decision;
mod evaluation;
mod features;
mod job_run;
mod ladder_move;
mod model;
mod outcome;
mod ranking;
mod training_row;
mod training_set;
mod trial;

pub use blueprint::{
    Application, applications_from_batch, applications_to_batch, blueprints_from_batch, blueprints_to_batch,
};
pub use conditions::RowConditions;
pub use decision::{DecisionRow, DecisionRows, RowChoice, decisions_from_batch, decisions_to_batch};
pub use evaluation::{Evaluation, Verdict, evaluations_from_batch, evaluations_to_batch};
pub use job_run::{job_runs_from_batch, job_runs_to_batch};
pub use ladder_move::{ladder_moves_from_batch, ladder_moves_to_batch};
pub(crate) use model::model_to_batch;
pub use model::{cards_from_batch, models_from_batch, models_to_batch};
pub use outcome::{OutcomeRow, OutcomeRows, RowValue, outcomes_from_batch, outcomes_to_batch};
pub use ranking::RankingRow;
pub use training_row::{Split, TrainingRow, training_rows_from_batch, training_rows_to_batch};
pub use training_set::{TrainingSet, training_sets_from_batch, training_sets_to_batch};
pub use trial::{Trial, trials_from_batch, trials_to_batch};
