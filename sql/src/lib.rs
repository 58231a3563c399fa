//! Every query of lakeloop, and the session that runs them.
//!
//! - [`session`]: the lake's tables under their names, at pinned versions, for reading only; [`live_session`] looks the
//!   newest version up for each statement.
//! - [`Query`]: one file of `sql/queries` each; values are bound, never written into the text.
//! - [`training_rows()`]: what a strategy learns from, with features as they were logged or as of the decision's time.
//! - [`ladder_counts()`]: what a ladder asks: how many decisions of which kind there are.
//! - [`blocked_actions()`]: what caps blocked at these decisions.
//! - [`feature_history()`]: one entity of a feature view through time, for serving.
//! - [`FeatureTable`] and [`changed_entities`]: a whole view as a stream, and whose rows came later, for its snapshots.
//! - [`read_only()`]: plans a user's statement and refuses everything that would change something.
//!
//! How results are printed is up to the caller. What tables hold is declared in `lakeloop-lake`.
//!
//! Queries are written in forms that a distributed engine keeps when it ships a plan (ARCHITECTURE says why), and their
//! cases in `sql/cases` run the very text that runs in production.

mod query;

mod session;

mod live;

mod off_policy;

mod read_only;

mod training_rows;

mod reward;

mod missed;

mod ladder_counts;

mod blocked;

mod as_of;

mod maps;

mod decision_rows;

mod feature_history;

mod feature_rows;

mod feature_table;

mod error;

pub use blocked::blocked_actions;
pub use decision_rows::{DecisionRange, DecisionRows, decision_rows, sample};
pub use error::SqlError;
pub use feature_history::{FeatureHistory, FeatureRow, feature_history};
pub use feature_table::{ChangedEntities, FeatureTable, FeatureTableColumn, FeatureTableRows, changed_entities};
pub use ladder_counts::ladder_counts;
pub use live::live_session;
pub use missed::{MissedOutcomes, missed_outcomes};
pub use query::{Query, instant};
pub use read_only::read_only;
pub use session::{Pins, session};
pub use training_rows::{LabelledRows, labelled_rows, training_rows, training_rows_schema};
