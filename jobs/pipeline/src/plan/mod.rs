//! What a blueprint would change if it were applied: seen from what is live, measured where it can be, and never carried out.
//!
//! ```text
//!  file, blueprint in force ─► keys ─────────────────────┐
//!  log ─► features: since when, in what share ───────────┤
//!  live model + new blueprint ─► Bundle ─► cost, latency ┼─► Plan
//!  evaluate ─► value next to what was logged ─► gate ────┘
//! ```

mod data;
mod gate;
mod model;

pub use data::FeaturePlan;
pub use gate::{GateVerdict, Gated, gate};
pub use model::ModelPlan;

use lakeloop_config::{KeyChange, ParsedBlueprint, changed_keys};
use lakeloop_domain::{AppliedBlueprint, Blueprint, BlueprintVersion, StrategyName};
use lakeloop_lake::{Lake, blueprints, registry};
use lakeloop_sql::{Pins, session};

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::evaluate::EvaluationReport;

/// What applying a blueprint would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The strategy.
    pub strategy: StrategyName,
    /// The version that would be in force.
    pub version: BlueprintVersion,
    /// Whether it is new, another one, or the same.
    pub change: Change,
    /// The version in force, with its sequence; `None` for a new strategy.
    pub in_force: Option<(BlueprintVersion, u32)>,
    /// Every key that differs from the text in force.
    pub keys: Vec<KeyChange>,
    /// False when only words, schedules, limits, gates or how models are learned differ: then every decision stays as it is.
    pub decides_otherwise: bool,
    /// Decisions that are logged.
    pub n_decisions: u64,
    /// What the log holds of each feature that the blueprint declares.
    pub features: Vec<FeaturePlan>,
    /// The live model under the blueprint.
    pub model: ModelPlan,
    /// What it is worth on logged decisions; the reason where it was not valued.
    pub off_policy: Result<EvaluationReport, String>,
    /// What the declared gate says.
    pub gate: GateVerdict,
}

/// What applying would do to a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It would be decided for the first time.
    New,
    /// Another blueprint would be in force.
    Changed,
    /// Nothing.
    Unchanged,
}

impl Change {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Plans the application of a blueprint. Reads the newest versions of the tables, and writes nothing.
pub async fn plan(ctx: &JobContext, parsed: &ParsedBlueprint) -> Result<Plan, PipelineError> {
    let name = &parsed.blueprint.name;
    let in_force = in_force(&ctx.lake, name).await?;
    let change = match &in_force {
        None => Change::New,
        Some(applied) if applied.version == parsed.version => Change::Unchanged,
        Some(_) => Change::Changed,
    };
    let (session, _) = session(&ctx.lake, &Pins::default()).await?;
    let n_decisions = gate::n_decisions(&session, &parsed.blueprint).await?;
    let features = data::features(&session, &parsed.blueprint).await?;
    let live = registry::live_of(&ctx.lake, name).await?;
    let model = model::model(&session, &applied(parsed), live.as_ref()).await?;
    let decides_otherwise = match (&in_force, change) {
        (_, Change::Unchanged) => false,
        (Some(applied), _) => decides_otherwise(&applied.blueprint, &parsed.blueprint),
        (None, _) => true,
    };
    let valued = gate::value(ctx, parsed, in_force.as_ref(), n_decisions).await?;
    let gate = gate::judge(&parsed.blueprint, in_force.as_ref(), &valued);
    Ok(Plan {
        strategy: name.clone(),
        version: parsed.version.clone(),
        change,
        keys: in_force.as_ref().map_or_else(Vec::new, |applied| match change {
            Change::Unchanged => Vec::new(),
            Change::New | Change::Changed => changed_keys(&applied.source, &parsed.source),
        }),
        in_force: in_force.map(|applied| (applied.version, applied.sequence)),
        decides_otherwise,
        n_decisions,
        features,
        model,
        off_policy: valued.into_report(),
        gate,
    })
}

/// The blueprint as it would be applied.
pub(crate) fn applied(parsed: &ParsedBlueprint) -> AppliedBlueprint {
    AppliedBlueprint {
        blueprint: parsed.blueprint.clone(),
        version: parsed.version.clone(),
        sequence: 0,
        source: parsed.source.clone(),
        applied_at: 0,
    }
}

pub(crate) async fn in_force(lake: &Lake, strategy: &StrategyName) -> Result<Option<AppliedBlueprint>, PipelineError> {
    Ok(blueprints::history(lake, strategy).await?.pop())
}

/// True when something differs that a decision depends on.
fn decides_otherwise(old: &Blueprint, new: &Blueprint) -> bool {
    // Of how a model is learned, only the quantile says what a model must predict to decide.
    let essence = |blueprint: &Blueprint| Blueprint {
        description: String::new(),
        limits: lakeloop_domain::ModelLimits::default(),
        schedule: lakeloop_domain::Schedule {
            train: None,
            window_us: None,
            minimum_rows: 0,
            trials: 0,
        },
        gate: lakeloop_domain::Gate::default(),
        training: lakeloop_domain::TrainingRules::default(),
        learning: lakeloop_domain::LearningSpec {
            quantile: blueprint.learning.quantile,
            ..lakeloop_domain::LearningSpec::default()
        },
        ..blueprint.clone()
    };
    essence(old) != essence(new)
}
