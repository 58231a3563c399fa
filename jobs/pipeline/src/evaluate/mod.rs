//! What a candidate is worth before it decides: its distribution over actions for every logged decision, made by the code that
//! serves, valued by every estimator of `lakeloop-stats`.
//!
//! ```text
//!  decisions, outcomes ─► training query ─► EvaluationRows ─┐
//!  candidate (blueprint, model) ─► Bundle ─► probabilities ─┼─► Log ─► estimates, verdict ─► evaluations
//!  cross-fitted models ─► q̂ ────────────────────────────────┘
//! ```
//!
//! - The reward is the label of the blueprint in force, so that a candidate is judged by what is served today.
//! - A registered model is valued on decisions from the split of its own training set on, or from that set's end where it was
//!   fitted on all of it: on what it was fitted on, any model looks better than it is.
//! - q̂ comes from models that have seen nothing of the unit they predict for.
//! - What caps blocked at a logged decision is blocked for the candidate too. Its own caps must be those in force: what others
//!   would block follows from what it would have taken before, which no log holds.
//! - Where the log cannot speak there is no number: each estimate says why.

mod candidate;
mod estimates;
mod expected;
mod rankings;
mod report;
mod rows;

pub use candidate::{Candidate, DecidingModel};
pub use report::{EvaluationReport, words};
pub use rows::EvaluationRows;

pub(crate) use candidate::{bundle_of, model_of};

use datafusion::prelude::SessionContext;
use lakeloop_decide::Scratch;
use lakeloop_domain::{AppliedBlueprint, Blueprint, DecisionKind, EvaluationId, LearningTarget, Micros, ModelRecord};
use lakeloop_lake::blueprints;
use lakeloop_sql::{Pins, session};
use lakeloop_stats::Bootstrap;
use lakeloop_stats::off_policy::Rules;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::rows::FeatureLayout;
use crate::training_set;
use candidate::Deciding;
use estimates::{Estimated, How, WithoutQHat, of_log, of_slates};
use expected::{CrossFit, Fitting, FoldBundles, cross_fit, scoring_each_action};
use report::Setting;

/// What a log must offer before it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// [`Rules::default`]: what a gate may rest on.
    Default,
    /// [`Rules::lenient`]: whatever is defined, as other tools print it; nothing to decide by.
    Lenient,
}

/// On which decisions, and how sure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationOptions {
    /// Decisions whose attribution window had closed by then; `None`: by now.
    pub as_of: Option<Micros>,
    /// Decisions from then on. `None`: those that the model was not fitted on, or all where there is no such model.
    pub from: Option<Micros>,
    /// Of the intervals, in (0, 1).
    pub confidence: f64,
    /// What the log must offer.
    pub support: Support,
    /// Resamples of the bootstrap; 0: none.
    pub n_resamples: usize,
    /// Whether models of the expected reward are fitted, for the estimators that read them.
    pub fits_rewards: bool,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self {
            as_of: None,
            from: None,
            confidence: 0.95,
            support: Support::Default,
            n_resamples: 1_000,
            fits_rewards: true,
        }
    }
}

impl Support {
    fn rules(self) -> Rules {
        match self {
            Self::Default => Rules::default(),
            Self::Lenient => Rules::lenient(),
        }
    }

    /// The word that the table uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Lenient => "lenient",
        }
    }
}

/// Values a candidate of a strategy that is applied. Reads the tables at their newest versions, and writes nothing; takes
/// memory in proportion to the rows, and, where actions are chosen, the time of five fits.
pub async fn evaluate(
    ctx: &JobContext,
    candidate: &Candidate,
    options: &EvaluationOptions,
) -> Result<EvaluationReport, PipelineError> {
    let name = &candidate.applied.blueprint.name;
    let in_force = crate::train::in_force(ctx, name).await?;
    let (session, pins) = session(&ctx.lake, &Pins::default()).await?;
    let model = model_of(&ctx.lake, name, candidate.by).await?;
    let bundle = bundle_of(&candidate.applied, model.as_ref())?;
    let mut notes = Vec::new();
    let from = match options.from {
        Some(from) => Some(from),
        None => not_fitted_on(ctx, &session, model.as_ref(), &mut notes).await?,
    };
    let as_of = options.as_of.unwrap_or_else(|| ctx.now());
    let judged = judged(&candidate.applied, &in_force);
    let setting = Setting {
        evaluation_id: EvaluationId::new(uuid::Uuid::now_v7().to_string())?,
        candidate: candidate.clone(),
        model_version: model.as_ref().map(|model| model.version),
        evaluated_at: ctx.now(),
        as_of,
        window_start: from,
        table_versions: pins
            .0
            .iter()
            .map(|(table, version)| (table.to_string(), *version))
            .collect(),
        confidence: options.confidence,
        support: options.support,
    };
    if candidate.applied.blueprint.ladder.is_some() {
        notes.push("it is valued as it decides on the last step of its ladder".to_owned());
    }
    if let Some(why) = cannot_be_compared(&candidate.applied.blueprint, &in_force.blueprint) {
        return Ok(setting.refused(&why, notes));
    }
    let rows = EvaluationRows::read(&session, &judged.blueprint, as_of, from).await?;
    if let Some(note) = capped(&rows) {
        notes.push(note);
    }
    let how = How {
        rules: options.support.rules(),
        confidence: options.confidence,
        bootstrap: (options.n_resamples > 0).then_some(Bootstrap {
            n_resamples: options.n_resamples,
            seed: ctx.seed,
        }),
    };
    if rows.is_empty() {
        let why = no_rows(&setting);
        return Ok(setting.refused(&why, notes));
    }
    let fitting = Fitting {
        seed: ctx.seed,
        n_threads: u32::try_from(ctx.settings.jobs.threads).unwrap_or(u32::MAX),
    };
    let work = Work {
        judged,
        by: candidate.by,
        bundle,
        rows,
        fitting,
        fits_rewards: options.fits_rewards,
        how,
    };
    if work.judged.blueprint.ranks() {
        let latest = as_of.saturating_sub(work.judged.blueprint.label_window_us());
        let rankings = rankings::rankings(&session, name, from, latest).await?;
        let of_rankings = move || {
            let refitted = work.refitted()?;
            let bundles = refitted.map(|models| models.bundles(&work.judged)).transpose()?;
            let deciding = deciding(&work.bundle, bundles.as_ref());
            let (log, n_left_out) = rankings::slates(&work.rows, &deciding, &rankings)?;
            let counts = (log.n_slates(), log.n_units());
            Ok::<_, PipelineError>((of_slates(&log, &work.how), counts, n_left_out))
        };
        let (estimated, counts, n_left_out) = tokio::task::spawn_blocking(of_rankings)
            .await
            .map_err(PipelineError::BrokeOff)??;
        if n_left_out > 0 {
            notes.push(format!(
                "{n_left_out} rankings have positions without a label and are left out"
            ));
        }
        return Ok(setting.report(estimated, counts, notes));
    }
    let counts = (work.rows.len(), work.rows.n_units());
    let (estimated, more) = tokio::task::spawn_blocking(move || work.estimates())
        .await
        .map_err(PipelineError::BrokeOff)??;
    notes.extend(more);
    Ok(setting.report(estimated, counts, notes))
}

/// The candidate with what decisions are judged by today: rewards keep their meaning whatever the candidate declares.
fn judged(candidate: &AppliedBlueprint, in_force: &AppliedBlueprint) -> AppliedBlueprint {
    let mut judged = candidate.clone();
    let rewards = &in_force.blueprint.rewards;
    judged.blueprint.outcome = in_force.blueprint.outcome.clone();
    judged.blueprint.rewards.outcomes = rewards.outcomes.clone();
    judged.blueprint.rewards.reward = rewards.reward.clone();
    judged
}

/// Why no logged decision says anything of the candidate, whatever the log holds.
fn cannot_be_compared(candidate: &Blueprint, in_force: &Blueprint) -> Option<String> {
    let kind = |blueprint: &Blueprint| match blueprint.decision {
        DecisionKind::YesNo { .. } => "a yes or no",
        DecisionKind::Choose { .. } => "an action",
        DecisionKind::Number { .. } => "a number",
        DecisionKind::Rank { .. } => "a ranking",
    };
    if matches!(candidate.decision, DecisionKind::Number { .. }) {
        return Some(
            "a number is not drawn, so no logged decision says what another number would have earned; compare models by \
             their metric (`lakeloop models list`)"
                .to_owned(),
        );
    }
    let (new, old) = (kind(candidate), kind(in_force));
    if new != old {
        return Some(format!("the candidate decides {new}, and what is logged decided {old}"));
    }
    let capped = |blueprint: &Blueprint| {
        let default = blueprint.default_action().map(str::to_owned);
        blueprint.caps.clone().map(|caps| (caps, default))
    };
    (capped(candidate) != capped(in_force)).then(|| {
        "its [caps], or the default that they spare, are not those in force; what they would block follows from what it would \
         have taken before, which no log holds. To value the rest of the change, leave these as they are"
            .to_owned()
    })
}

fn no_rows(setting: &Setting) -> String {
    let since = match setting.window_start {
        Some(from) => format!(" made at {} or later", words::instant(from)),
        None => String::new(),
    };
    format!(
        "no decision{since} has a closed attribution window and a label by {}",
        words::instant(setting.as_of)
    )
}

/// What caps have to do with the rows; `None` where they blocked nothing.
fn capped(rows: &EvaluationRows) -> Option<String> {
    let n_capped = rows.n_blocked();
    (n_capped > 0).then(|| {
        format!(
            "at {n_capped} of {} decisions caps blocked actions; the candidate is valued as if they had blocked the same for it",
            rows.len()
        )
    })
}

/// From when on decisions are none that the model was fitted on: from the split of its training set, or, where it was fitted on
/// all rows at last, from the end of that set.
async fn not_fitted_on(
    ctx: &JobContext,
    session: &SessionContext,
    model: Option<&ModelRecord>,
    notes: &mut Vec<String>,
) -> Result<Option<Micros>, PipelineError> {
    let Some(model) = model else { return Ok(None) };
    let sets = training_set::of_strategy(session, &model.strategy).await?;
    let set = sets
        .iter()
        .find(|set| set.training_set_id == model.provenance.training_set_id);
    let fitted_by = blueprints::history(&ctx.lake, &model.strategy).await?;
    let fitted_by = fitted_by
        .iter()
        .find(|applied| applied.version == model.provenance.blueprint_version)
        .map(|applied| &applied.blueprint);
    let from = set.and_then(|set| match fitted_by {
        Some(blueprint) if blueprint.learning.fits_all_rows() => {
            Some(set.as_of.saturating_sub(blueprint.label_window_us()).saturating_add(1))
        }
        _ => set.split_at,
    });
    notes.push(match from {
        Some(from) => format!(
            "model {} was fitted on earlier decisions; those from {} on are valued",
            model.version,
            words::instant(from)
        ),
        None => format!(
            "which decisions model {} was fitted on is not known, so all are valued: it may look better than it is",
            model.version
        ),
    });
    Ok(from)
}

fn deciding<'b>(bundle: &'b lakeloop_decide::Bundle, refitted: Option<&'b FoldBundles>) -> Deciding<'b> {
    match refitted {
        Some(folds) => Deciding::Folds(folds),
        None => Deciding::One(bundle),
    }
}

/// What is computed away from the threads that wait.
struct Work {
    judged: AppliedBlueprint,
    by: DecidingModel,
    bundle: lakeloop_decide::Bundle,
    rows: EvaluationRows,
    fitting: Fitting,
    fits_rewards: bool,
    how: How,
}

impl Work {
    /// Models fitted by the candidate's blueprint, where it is to be valued with such.
    fn refitted(&self) -> Result<Option<CrossFit>, PipelineError> {
        match self.by {
            DecidingModel::Refitted => cross_fit(&self.judged, &self.rows, self.fitting).map(Some),
            DecidingModel::Live | DecidingModel::Version(_) | DecidingModel::None => Ok(None),
        }
    }

    /// Every estimate of a policy over actions, with what must be said beside them.
    fn estimates(&self) -> Result<(Estimated, Vec<String>), PipelineError> {
        let mut notes = Vec::new();
        let refitted = self.refitted()?;
        let scoring = scoring_each_action(&self.judged);
        let q_hat = self.fits_rewards.then(|| match &refitted {
            // Models that score each action for the policy are those that the rewards are expected by.
            Some(models) if self.judged.blueprint.action_is_feature() == scoring.blueprint.action_is_feature() => {
                models.bundles(&scoring)
            }
            _ => cross_fit(&scoring, &self.rows, self.fitting)?.bundles(&scoring),
        });
        let without = match &q_hat {
            None => Some(WithoutQHat::NotAsked),
            Some(Err(error)) => Some(WithoutQHat::Failed(format!("no expected rewards: {error}"))),
            Some(Ok(_)) => None,
        };
        let q_hat = q_hat.and_then(Result::ok);
        let refitted = refitted.map(|models| models.bundles(&self.judged)).transpose()?;
        let deciding = deciding(&self.bundle, refitted.as_ref());
        let actions = self.rows.actions(self.bundle.actions());
        let target = self.judged.blueprint.learning_target();
        let n_rows = self.rows.len();
        let layout = FeatureLayout::new(&self.judged.blueprint);
        let mut features = layout.blank();
        let mut scratch = Scratch::new();
        let mut shares = vec![0.0; n_rows * actions.len()];
        let mut expected = vec![0.0; if q_hat.is_some() { n_rows * actions.len() } else { 0 }];
        let n_own = self.bundle.actions().len();
        for row_idx in 0..n_rows {
            self.rows.rows.read_features(row_idx, &layout, &mut features);
            let at = row_idx * actions.len()..(row_idx + 1) * actions.len();
            deciding.fill(
                row_idx,
                &features,
                self.rows.blocked(row_idx),
                &mut scratch,
                &mut shares[at.clone()],
            );
            if let Some(folds) = &q_hat {
                let scored = lakeloop_decide::decide(folds.of_row(row_idx), &features, "q", &mut scratch);
                // Actions beside the candidate's own have no expected reward; it never takes them.
                let n_scores = scored.scores.len().min(n_own);
                expected[at][..n_scores].copy_from_slice(&scored.scores[..n_scores]);
            }
        }
        let log = self.rows.log(
            &target,
            &actions,
            |row_idx| &shares[row_idx * actions.len()..(row_idx + 1) * actions.len()],
            q_hat
                .is_some()
                .then_some(|row_idx: usize| &expected[row_idx * actions.len()..(row_idx + 1) * actions.len()]),
        )?;
        if let LearningTarget::MultiClass { .. } = target {
            notes.push("the reward is 1 where the action was the right category, else 0".to_owned());
        }
        Ok((of_log(&log, &actions, without.as_ref(), &self.how), notes))
    }
}

/// The blueprint in force of a strategy, for those who name a candidate of it.
pub async fn blueprint_in_force(
    ctx: &JobContext,
    strategy: &lakeloop_domain::StrategyName,
) -> Result<AppliedBlueprint, PipelineError> {
    crate::train::in_force(ctx, strategy).await
}

/// The strategies that are applied.
pub async fn applied_strategies(ctx: &JobContext) -> Result<Vec<lakeloop_domain::StrategyName>, PipelineError> {
    let current = blueprints::current(&ctx.lake).await?;
    Ok(current.into_iter().map(|applied| applied.blueprint.name).collect())
}
