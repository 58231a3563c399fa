//! The ladder job: puts every strategy with a ladder on the step that follows from what the lake holds.
//!
//! ```text
//! counts (SQL over decisions and outcomes) ──► Ladder::step, pure ──► another step? ──► one row of `ladder_moves`
//! ```
//!
//! Counts only grow, so a strategy whose latest move found enough for the last step is not counted again. Servers follow the
//! table, and the next decision is made on the new step.

use std::collections::BTreeMap;

use lakeloop_domain::{
    AppliedBlueprint, JobRun, Ladder, LadderCounts, LadderMove, LadderStep, Micros, RunState, StrategyName,
};
use lakeloop_lake::ladder::{self, Wish};
use lakeloop_lake::{Lake, blueprints};
use lakeloop_sql::{Pins, ladder_counts, session};
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::train::Done;

/// Where one strategy stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The strategy.
    pub strategy: StrategyName,
    /// What its blueprint declares.
    pub ladder: Ladder,
    /// Where it stands, by the table.
    pub step: LadderStep,
    /// How it got there; `None` when it was never moved.
    pub latest: Option<LadderMove>,
    /// What the lake holds now.
    pub counts: LadderCounts,
}

/// Where every strategy with a ladder stands as of an instant, by name, with counts of that instant.
pub async fn standings(lake: &Lake, as_of: Micros) -> Result<Vec<Standing>, PipelineError> {
    let climbing = climbing(lake).await?;
    if climbing.is_empty() {
        return Ok(Vec::new());
    }
    let mut latest = ladder::latest(lake).await?;
    let (ctx, _) = session(lake, &Pins::default()).await?;
    let mut standings = Vec::with_capacity(climbing.len());
    for (strategy, (applied, ladder)) in climbing {
        let latest = latest.remove(&strategy);
        standings.push(Standing {
            counts: ladder_counts(&ctx, &applied.blueprint, as_of).await?,
            step: LadderStep::after(latest.as_ref()),
            strategy,
            ladder,
            latest,
        });
    }
    Ok(standings)
}

/// The strategies in force that have a ladder.
async fn climbing(lake: &Lake) -> Result<BTreeMap<StrategyName, (AppliedBlueprint, Ladder)>, PipelineError> {
    let applied = blueprints::current(lake).await?.into_iter();
    let climbing = applied.filter_map(|applied| {
        let ladder = applied.blueprint.ladder?;
        Some((applied.blueprint.name.clone(), (applied, ladder)))
    });
    Ok(climbing.collect())
}

/// Moves whoever has to be moved. `stop` ends it between two strategies.
pub(crate) async fn climb(
    ctx: &JobContext,
    run: &JobRun,
    as_of: Micros,
    stop: &CancellationToken,
) -> Result<Done, PipelineError> {
    let climbing = climbing(&ctx.lake).await?;
    let latest = ladder::latest(&ctx.lake).await?;
    let mut moved = Vec::new();
    let n_strategies = climbing.len();
    for (strategy, (applied, ladder)) in climbing {
        if stop.is_cancelled() {
            return Err(PipelineError::Stopped);
        }
        let latest = latest.get(&strategy);
        let is_at_the_top =
            |latest: &LadderMove| latest.to == LadderStep::Model && ladder.step(&latest.counts) == LadderStep::Model;
        if latest.is_some_and(is_at_the_top) {
            continue;
        }
        let (session, _) = session(&ctx.lake, &Pins::default()).await?;
        let counts = ladder_counts(&session, &applied.blueprint, as_of).await?;
        let wish = Wish {
            to: ladder.step(&counts),
            now: ctx.now(),
            moved_by: format!("{} of {}", run.run_id, ctx.runner),
            reason: why(&ladder, &counts),
            counts,
            strategy,
        };
        if let Some(one) = ladder::move_to(&ctx.lake, &wish).await? {
            tracing::info!(strategy = %one.strategy, from = %one.from, to = %one.to, reason = one.reason, "moved on its ladder");
            moved.push(format!("`{}` from {} to {}", one.strategy, one.from, one.to));
        }
    }
    let (state, detail) = match (n_strategies, moved.is_empty()) {
        (0, _) => (RunState::Skipped, "no strategy in force has a ladder".to_owned()),
        (_, true) => (RunState::Skipped, "no strategy has to move on its ladder".to_owned()),
        (_, false) => (RunState::Succeeded, format!("moved {}", moved.join(", "))),
    };
    Ok(Done {
        state,
        detail,
        training_set_id: None,
        model: None,
    })
}

/// Why the counts put a strategy where they do, in words.
fn why(ladder: &Ladder, counts: &LadderCounts) -> String {
    let gates = ladder.gates(counts);
    match gates.iter().take_while(|gate| gate.is_open()).last() {
        Some(open) => open.to_string(),
        None => gates.first().map_or_else(String::new, ToString::to_string),
    }
}
