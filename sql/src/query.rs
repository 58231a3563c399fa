//! The queries: their texts, their headers, and how values are bound to them.

use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionContext};
use lakeloop_domain::Micros;

use crate::SqlError;

/// One file of `sql/queries`.
///
/// Its header says the purpose, the grain, the parameters and the columns, and, where it reads other relations than the
/// lake's tables, which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The file's name without its ending.
    pub name: &'static str,
    /// The text, header included.
    pub text: &'static str,
}

macro_rules! query {
    ($name:literal) => {
        Query {
            name: $name,
            text: include_str!(concat!("../queries/", $name, ".sql")),
        }
    };
}

impl Query {
    /// How much each strategy decides, and why.
    pub const DECISIONS_PER_DAY: Self = query!("decisions_per_day");
    /// What came of each action.
    pub const REWARD_BY_ACTION: Self = query!("reward_by_action");
    /// The registry without the models' bytes.
    pub const CURRENT_MODELS: Self = query!("current_models");
    /// From what each model was made.
    pub const MODEL_LINEAGE: Self = query!("model_lineage");
    /// How each run of a job stands.
    pub const LATEST_JOB_RUNS: Self = query!("latest_job_runs");
    /// What the log of a strategy holds.
    pub const FEATURE_COVERAGE: Self = query!("feature_coverage");
    /// The latest evaluation of a candidate.
    pub const OFF_POLICY: Self = query!("off_policy");
    /// How often models agree with callers' rules.
    pub const APPRENTICE_AGREEMENT: Self = query!("apprentice_agreement");
    /// Where strategies stand on their ladders.
    pub const LADDER_STEPS: Self = query!("ladder_steps");
    /// The decisions that a ladder may count.
    pub const LADDER_DECISIONS: Self = query!("ladder_decisions");
    /// What caps blocked.
    pub const BLOCKED_ACTIONS: Self = query!("blocked_actions");
    /// Labelled decisions, for training.
    pub const TRAINING_LABELS: Self = query!("training_labels");
    /// Labelled candidates of rankings, for training.
    pub const TRAINING_CANDIDATE_LABELS: Self = query!("training_candidate_labels");
    /// Decisions labelled with a reward of several outcomes, for training.
    pub const TRAINING_REWARDS: Self = query!("training_rewards");
    /// Candidates of rankings labelled with a reward of several outcomes, for training.
    pub const TRAINING_CANDIDATE_REWARDS: Self = query!("training_candidate_rewards");
    /// Whether an attribution window is long enough.
    pub const MISSED_OUTCOMES: Self = query!("missed_outcomes");
    /// Feature rows as of given moments.
    pub const AS_OF_FEATURES: Self = query!("as_of_features");
    /// One entity's feature rows.
    pub const FEATURE_HISTORY: Self = query!("feature_history");

    /// Every query, the ones for analysts first.
    pub const ALL: [Self; 18] = [
        Self::DECISIONS_PER_DAY,
        Self::REWARD_BY_ACTION,
        Self::MISSED_OUTCOMES,
        Self::CURRENT_MODELS,
        Self::MODEL_LINEAGE,
        Self::LATEST_JOB_RUNS,
        Self::FEATURE_COVERAGE,
        Self::OFF_POLICY,
        Self::APPRENTICE_AGREEMENT,
        Self::LADDER_STEPS,
        Self::LADDER_DECISIONS,
        Self::BLOCKED_ACTIONS,
        Self::TRAINING_LABELS,
        Self::TRAINING_CANDIDATE_LABELS,
        Self::TRAINING_REWARDS,
        Self::TRAINING_CANDIDATE_REWARDS,
        Self::AS_OF_FEATURES,
        Self::FEATURE_HISTORY,
    ];

    /// The queries that every session has as a view of the same name: those over the lake's tables that take no values.
    pub const VIEWS: [Self; 6] = [
        Self::DECISIONS_PER_DAY,
        Self::CURRENT_MODELS,
        Self::MODEL_LINEAGE,
        Self::LATEST_JOB_RUNS,
        Self::APPRENTICE_AGREEMENT,
        Self::LADDER_STEPS,
    ];

    /// What the query answers, from its header.
    pub fn purpose(&self) -> String {
        self.header("purpose").join(" ")
    }

    /// The names of the values to bind, without `$`, from its header.
    pub fn parameters(&self) -> Vec<&'static str> {
        let named = |line: &&'static str| line.strip_prefix('$')?.split(' ').next();
        self.header("parameters").iter().filter_map(named).collect()
    }

    /// Plans the query over the tables of a session, with values bound to its parameters.
    pub async fn bind(&self, ctx: &SessionContext, values: &[(&str, ScalarValue)]) -> Result<DataFrame, SqlError> {
        let planned = ctx.sql(self.text).await.map_err(|source| self.failed(source))?;
        if values.is_empty() {
            return Ok(planned);
        }
        planned
            .with_param_values(values.to_vec())
            .map_err(|source| self.failed(source))
    }

    /// Runs the query over the tables of a session, with values bound to its parameters.
    pub async fn run(
        &self,
        ctx: &SessionContext,
        values: &[(&str, ScalarValue)],
    ) -> Result<Vec<RecordBatch>, SqlError> {
        self.bind(ctx, values)
            .await?
            .collect()
            .await
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: DataFusionError) -> SqlError {
        SqlError::Query {
            query: self.name,
            source: Box::new(source),
        }
    }

    /// The lines of one section of the header: the one that names it, and those that go on deeper than the names stand.
    fn header(&self, section: &str) -> Vec<&'static str> {
        let comments = self.text.lines().map_while(|line| line.strip_prefix("-- "));
        let from_section = comments.skip_while(|line| !line.starts_with(section));
        let mut lines = Vec::new();
        for line in from_section {
            match line.split_once(':') {
                Some((name, first)) if name == section => lines.push(first.trim()),
                _ if line.starts_with(' ') => lines.push(line.trim()),
                _ => break,
            }
        }
        lines
    }
}

/// An instant as queries take it: a timestamp in microseconds, UTC; `None` is NULL.
pub fn instant(micros: impl Into<Option<Micros>>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(micros.into(), Some("UTC".into()))
}
