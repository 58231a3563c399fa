//! Owns keeping the strategies in force up to date: it polls the `blueprints`, `models` and `ladder_moves` tables, swaps bundles
//! and puts strategies on their steps.
//!
//! A poll costs one look-up a table. When something was committed, only the files that are new are read, and only the
//! strategies that they change are made anew; the others stay the same objects.
//!
//! What happens to a strategy when its blueprint or live model has changed:
//!
//! - its model is in memory or it has decided without one, so that the next request may come at any time: the new model is
//!   loaded first, then the two are swapped and the next request decides by it;
//! - its model is not in memory: the new one is loaded by the next request ([`hosting`](crate::hosting));
//! - the model cannot be loaded or does not fit, and the blueprint is the one in force: the old bundle goes on deciding;
//! - the same, and the blueprint is new: the new blueprint decides without a model, since its author has changed what
//!   is decided or sent and the old model knows nothing of it;
//! - the blueprint itself cannot decide: the old bundle goes on.
//!
//! Each of these troubles is logged once for each pair of blueprint and model, not at every poll. A lake that cannot be
//! read leaves everything in force, is logged once, and is asked again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lakeloop_domain::{AppliedBlueprint, LadderMove, LadderStep, ModelVersion, StrategyName};
use lakeloop_lake::blueprints::InForce;
use lakeloop_lake::live_models::{LiveModel, LiveModels};
use lakeloop_lake::{Lake, LakeError, TableName, ladder};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::hosting::{Hosted, LoadTrouble, ModelHost, make};
use crate::problem::Chain;
use crate::regime::Regime;
use crate::state::Strategies;
use crate::telemetry::Telemetry;

/// So many changed strategies are swapped at once: one that is ready does not wait long for the others.
const SWAPPED_TOGETHER: usize = 32;

/// Watches the two tables that say what is in force.
pub(crate) struct Refresher {
    lake: Lake,
    strategies: Arc<ArcSwap<Strategies>>,
    models: ModelHost,
    telemetry: Arc<Telemetry>,
    blueprints: InForce,
    live: LiveModels,
    /// Where strategies stand on their ladders, at this version of the table.
    steps: BTreeMap<StrategyName, LadderMove>,
    steps_version: Option<i64>,
    /// Wakes what fills the counters of new caps.
    new_caps: Arc<Notify>,
    /// Strategies that have changed in the tables and not yet here.
    pending: BTreeSet<StrategyName>,
    /// What was logged already: (strategy, blueprint sequence, model version).
    troubles: HashSet<(StrategyName, u32, Option<ModelVersion>)>,
    is_lake_away: bool,
}

impl Refresher {
    /// Nothing is in force yet.
    pub(crate) fn new(
        lake: Lake,
        strategies: Arc<ArcSwap<Strategies>>,
        models: ModelHost,
        telemetry: Arc<Telemetry>,
        new_caps: Arc<Notify>,
    ) -> Self {
        Self {
            lake,
            strategies,
            models,
            telemetry,
            blueprints: InForce::default(),
            live: LiveModels::default(),
            steps: BTreeMap::new(),
            steps_version: None,
            new_caps,
            pending: BTreeSet::new(),
            troubles: HashSet::new(),
            is_lake_away: false,
        }
    }

    /// Polls until `stop` is cancelled.
    pub(crate) fn start(mut self, interval: Duration, stop: CancellationToken) {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                match self.refresh().await {
                    Ok(()) if self.is_lake_away => {
                        self.is_lake_away = false;
                        tracing::info!("blueprints and models can be read again");
                    }
                    Err(error) if !self.is_lake_away => {
                        self.is_lake_away = true;
                        tracing::error!(
                            cause = %Chain(&error),
                            "blueprints and models cannot be read; what is in force stays"
                        );
                    }
                    _ => {}
                }
            }
        });
    }

    /// Brings what is in force up to date with the tables.
    pub(crate) async fn refresh(&mut self) -> Result<(), LakeError> {
        self.pending.extend(self.blueprints.catch_up(&self.lake).await?);
        self.pending.extend(self.live.catch_up(&self.lake).await?);
        self.catch_up_with_ladders().await?;
        while !self.pending.is_empty() {
            let changed: Vec<StrategyName> = self.pending.iter().take(SWAPPED_TOGETHER).cloned().collect();
            let mut next = Vec::with_capacity(changed.len());
            for strategy in &changed {
                next.extend(self.judged(strategy).await?);
            }
            let strategies = self.strategies.load().with(next.iter().map(Arc::clone));
            self.strategies.store(Arc::new(strategies));
            for hosted in next {
                let name = &hosted.plain().blueprint().name;
                self.telemetry.live_model(name, hosted.model_version());
                if let Some(caps) = &hosted.plain().regime.caps {
                    caps.count_with(|| self.telemetry.capped(name));
                }
                if hosted.is_in_memory() {
                    self.models.make_room(&hosted);
                }
            }
            for strategy in &changed {
                self.pending.remove(strategy);
            }
            self.new_caps.notify_one();
        }
        Ok(())
    }

    /// Puts strategies on the steps that the table says.
    async fn catch_up_with_ladders(&mut self) -> Result<(), LakeError> {
        let version = self.lake.version(&TableName::LadderMoves).await?;
        if version == self.steps_version {
            return Ok(());
        }
        self.steps = ladder::latest(&self.lake).await?;
        self.steps_version = version;
        let strategies = self.strategies.load();
        for (strategy, latest) in &self.steps {
            if let Some(hosted) = strategies.find(strategy.as_str()) {
                hosted.plain().regime.stand_on(latest.to);
            }
        }
        Ok(())
    }

    /// What is to be in force for a strategy; `None` when that is what is, or nothing can be.
    async fn judged(&mut self, strategy: &StrategyName) -> Result<Option<Arc<Hosted>>, LakeError> {
        // A model may be live before its blueprint is applied here.
        let Some(applied) = self.blueprints.get(strategy) else {
            return Ok(None);
        };
        let live = self.live.get(strategy);
        let old = self.strategies.load().find(strategy.as_str()).cloned();
        let key = (strategy.clone(), applied.sequence, live.map(|live| live.version));
        let step = LadderStep::after(self.steps.get(strategy));
        let judged = judge(&self.models, old, applied, live, step).await?;
        if let Some(trouble) = judged.trouble
            && self.troubles.insert(key.clone())
        {
            let model_version = key.2.map(|version| version.0);
            tracing::error!(%strategy, model_version, cause = trouble, "a strategy could not be updated");
        }
        if let Some(next) = &judged.next {
            let applied = next.plain().bundle.applied();
            tracing::info!(
                %strategy,
                blueprint_version = %applied.version,
                model_version = next.model_version().map(|version| version.0),
                "a strategy is in force"
            );
        }
        Ok(judged.next)
    }
}

/// What is to be in force for one strategy.
#[derive(Default)]
struct Judged {
    /// What replaces the strategy in force, if anything does.
    next: Option<Arc<Hosted>>,
    /// Why it is not what the tables ask for.
    trouble: Option<String>,
}

async fn judge(
    models: &ModelHost,
    old: Option<Arc<Hosted>>,
    applied: &AppliedBlueprint,
    live: Option<&LiveModel>,
    step: LadderStep,
) -> Result<Judged, LakeError> {
    let same_blueprint = old.as_ref().filter(|old| old.plain().is_of(applied));
    let plain = match same_blueprint {
        Some(old) => Arc::clone(old.plain()),
        None => match make(applied.clone(), None, regime(applied, old.as_ref(), step)) {
            Ok(strategy) => Arc::new(strategy),
            Err(trouble) => {
                return Ok(Judged {
                    next: None,
                    trouble: Some(trouble),
                });
            }
        },
    };
    let next = Hosted::new(plain, live.cloned());
    let mut trouble = None;
    if let Some(old) = &old {
        next.succeed(old);
        if let Some(live) = live.filter(|_| old.is_warm()) {
            match models.read(next.plain(), live).await {
                Ok(strategy) => next.preload(strategy),
                Err(LoadTrouble::Lake(error)) => return Err(error),
                Err(LoadTrouble::Model(cause)) if same_blueprint.is_some() => {
                    return Ok(Judged {
                        next: None,
                        trouble: Some(cause),
                    });
                }
                Err(LoadTrouble::Model(cause)) => {
                    next.refuse();
                    trouble = Some(cause);
                }
            }
        }
    }
    Ok(Judged {
        next: Some(Arc::new(next)),
        trouble,
    })
}

/// What bears on the decisions of a blueprint that follows another one, or none.
fn regime(applied: &AppliedBlueprint, old: Option<&Arc<Hosted>>, step: LadderStep) -> Regime {
    let regime = Regime::of(&applied.blueprint, old.map(|old| &old.plain().regime), step);
    if let (Some(caps), Some(old)) = (&regime.caps, old)
        && !caps.is_known()
    {
        caps.follow(old);
    }
    regime
}
