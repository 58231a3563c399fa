//! Owns keeping the strategies in force up to date: it polls the `blueprints` and `models` tables and swaps bundles.
//!
//! What happens to a strategy when its blueprint or live model has changed:
//!
//! - they fit: the new bundle decides from the next request on;
//! - the model cannot be loaded or does not fit, and the blueprint is the one in force: the old bundle goes on deciding;
//! - the same, and the blueprint is new: the new blueprint decides without a model, since its author has changed what
//!   is decided or sent and the old model knows nothing of it;
//! - the blueprint itself cannot decide: the old bundle goes on.
//!
//! Each of these troubles is logged once for each pair of blueprint and model, not at every poll. A lake that cannot be
//! read leaves everything in force, is logged once, and is asked again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lakeloop_decide::{Bundle, Model};
use lakeloop_domain::{AppliedBlueprint, ModelRecord, ModelVersion, StrategyName};
use lakeloop_lake::{Lake, LakeError, TableName, blueprints, registry};
use tokio_util::sync::CancellationToken;

use crate::problem::Chain;
use crate::state::{Strategies, Strategy};
use crate::telemetry::Telemetry;

/// Watches the two tables that say what is in force.
pub(crate) struct Refresher {
    lake: Lake,
    strategies: Arc<ArcSwap<Strategies>>,
    telemetry: Arc<Telemetry>,
    /// Versions of `blueprints` and `models` that the strategies in force were made from.
    versions: Option<(Option<i64>, Option<i64>)>,
    /// What was logged already: (strategy, blueprint sequence, model version).
    troubles: HashSet<(StrategyName, u32, Option<ModelVersion>)>,
    is_lake_away: bool,
}

impl Refresher {
    /// Nothing is in force yet.
    pub(crate) fn new(lake: Lake, strategies: Arc<ArcSwap<Strategies>>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            lake,
            strategies,
            telemetry,
            versions: None,
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
        let versions = (
            self.lake.version(&TableName::Blueprints).await?,
            self.lake.version(&TableName::Models).await?,
        );
        if self.versions == Some(versions) {
            return Ok(());
        }
        let applied = blueprints::current(&self.lake).await?;
        let live = registry::live(&self.lake).await?;
        let in_force = self.strategies.load_full();
        // Loading an ensemble is work of milliseconds, which would hold up other tasks.
        let judged = tokio::task::spawn_blocking(move || judge_all(&in_force, applied, live)).await;
        let Ok(judged) = judged else {
            tracing::error!("the loading of models was interrupted; it is tried again");
            return Ok(());
        };
        let mut next: Vec<Arc<Strategy>> = Vec::with_capacity(judged.len());
        for Judged { key, verdict, trouble } in judged {
            if let Some(trouble) = trouble
                && self.troubles.insert(key.clone())
            {
                let (strategy, _, model_version) = &key;
                let model_version = model_version.map(|version| version.0);
                tracing::error!(%strategy, model_version, cause = trouble, "a strategy could not be updated");
            }
            next.extend(verdict);
        }
        for strategy in &next {
            let name = &strategy.blueprint().name;
            self.telemetry.live_model(name, strategy.bundle.model_version());
        }
        self.strategies.store(Arc::new(next.into_iter().collect()));
        self.versions = Some(versions);
        Ok(())
    }
}

/// What is to be in force for one strategy.
struct Judged {
    key: (StrategyName, u32, Option<ModelVersion>),
    /// The strategy to decide with; `None` when there is none that can.
    verdict: Option<Arc<Strategy>>,
    /// Why it is not what the tables ask for.
    trouble: Option<String>,
}

fn judge_all(in_force: &Strategies, applied: Vec<AppliedBlueprint>, live: Vec<ModelRecord>) -> Vec<Judged> {
    let mut live: HashMap<StrategyName, ModelRecord> =
        live.into_iter().map(|model| (model.strategy.clone(), model)).collect();
    applied
        .into_iter()
        .map(|applied| {
            let model = live.remove(&applied.blueprint.name);
            let old = in_force.find(applied.blueprint.name.as_str()).cloned();
            judge(old, applied, model)
        })
        .collect()
}

fn judge(old: Option<Arc<Strategy>>, applied: AppliedBlueprint, live: Option<ModelRecord>) -> Judged {
    let model_version = live.as_ref().map(|model| model.version);
    let key = (applied.blueprint.name.clone(), applied.sequence, model_version);
    let has_blueprint = old.as_ref().is_some_and(|old| old.is_of(&applied));
    let has_model = old
        .as_ref()
        .is_some_and(|old| old.bundle.model_version() == model_version);
    if has_blueprint && has_model {
        return Judged {
            key,
            verdict: old,
            trouble: None,
        };
    }
    let trouble = match make(applied.clone(), live.as_ref()) {
        Ok(strategy) => {
            tracing::info!(
                strategy = %key.0,
                blueprint_version = %applied.version,
                model_version = model_version.map(|version| version.0),
                "a strategy is in force"
            );
            return Judged {
                key,
                verdict: Some(Arc::new(strategy)),
                trouble: None,
            };
        }
        Err(trouble) => trouble,
    };
    let verdict = match has_blueprint {
        true => old,
        false => make(applied, None).map(Arc::new).ok().or(old),
    };
    Judged {
        key,
        verdict,
        trouble: Some(trouble),
    }
}

fn make(applied: AppliedBlueprint, live: Option<&ModelRecord>) -> Result<Strategy, String> {
    let model = live.map(Model::from_record).transpose();
    let model = model.map_err(|error| Chain(&error).to_string())?;
    let bundle = Bundle::new(applied, model).map_err(|error| Chain(&error).to_string())?;
    Strategy::new(bundle).map_err(|error| Chain(&error).to_string())
}
