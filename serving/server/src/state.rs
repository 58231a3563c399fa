//! Owns what the server decides with: the strategies that are in force, swapped as one when a blueprint or model changes.
//!
//! A request takes a strategy once and finishes with what it took, so a swap never mixes two versions in one decision
//! and never makes a request wait. [`App`] is what all handlers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lakeloop_config::Settings;
use lakeloop_decide::Bundle;
use lakeloop_domain::{AppliedBlueprint, Blueprint};
use lakeloop_lake::Lake;

use crate::access::Access;
use crate::access_log::AccessLog;
use crate::answers::Answers;
use crate::clock::Clock;
use crate::context::Places;
use crate::cores::Cores;
use crate::features::{FeatureStore, View};
use crate::fields::{EventTimes, words};
use crate::flush::FlushRequests;
use crate::hosting::{Hosted, ModelHost};
use crate::ids::DecisionIds;
use crate::journal::Journals;
use crate::load::Load;
use crate::nearest::nearest;
use crate::problem::{Missing, Problem};
use crate::record::{RecordForm, Unencodable};
use crate::regime::Regime;
use crate::request::{self, Interest};
use crate::telemetry::Telemetry;
use crate::traces::{Step, Traces};

/// What decides for a strategy: its bundle, and what is worked out once instead of for each decision.
pub(crate) struct Strategy {
    pub(crate) name: Arc<str>,
    pub(crate) bundle: Bundle,
    /// Where callers write the fields of its context.
    pub(crate) places: Places,
    /// Where the keys of candidates stood last time.
    pub(crate) candidate_places: Places,
    /// How its decisions are journalled.
    pub(crate) record_form: RecordForm,
    pub(crate) views: Vec<View>,
    /// Its caps and the step of its ladder.
    pub(crate) regime: Regime,
}

impl Strategy {
    /// Prepares a bundle.
    pub(crate) fn new(bundle: Bundle, regime: Regime) -> Result<Self, Unencodable> {
        let blueprint = bundle.blueprint();
        Ok(Self {
            name: blueprint.name.as_str().into(),
            places: Places::new(&blueprint.context),
            candidate_places: Places::new(&blueprint.candidates),
            record_form: RecordForm::new(&bundle)?,
            views: View::of(blueprint),
            regime,
            bundle,
        })
    }

    /// The blueprint in force.
    pub(crate) fn blueprint(&self) -> &Blueprint {
        self.bundle.blueprint()
    }

    /// How many features come from the lake.
    pub(crate) fn n_lake_features(&self) -> usize {
        self.blueprint().features.iter().map(|view| view.columns.len()).sum()
    }

    /// Memory that its model takes; 0 without one.
    pub(crate) fn n_model_bytes(&self) -> u64 {
        self.bundle.model().map_or(0, |model| model.ensemble().n_bytes() as u64)
    }

    /// True when the bundle was made from this application of its blueprint.
    pub(crate) fn is_of(&self, applied: &AppliedBlueprint) -> bool {
        let mine = self.bundle.applied();
        mine.sequence == applied.sequence && mine.version == applied.version
    }
}

/// All strategies in force, by name.
#[derive(Default)]
pub(crate) struct Strategies {
    by_name: HashMap<Arc<str>, Arc<Hosted>>,
    /// True when any of them ranks.
    any_ranks: bool,
}

impl Strategies {
    /// One strategy; a problem that names the nearest known one when there is none.
    pub(crate) fn get(&self, name: &str) -> Result<&Arc<Hosted>, Problem> {
        self.by_name.get(name).ok_or_else(|| self.unknown(name))
    }

    /// One strategy, if it is in force.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Hosted>> {
        self.by_name.get(name)
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Hosted>> {
        self.by_name.values()
    }

    /// All of them, by name in order.
    pub(crate) fn sorted(&self) -> Vec<&Arc<Hosted>> {
        let mut strategies: Vec<_> = self.all().collect();
        strategies.sort_by(|a, b| a.plain().name.cmp(&b.plain().name));
        strategies
    }

    /// These with others in the place of those of the same names.
    pub(crate) fn with(&self, others: impl Iterator<Item = Arc<Hosted>>) -> Self {
        let mut by_name = self.by_name.clone();
        by_name.extend(others.map(|hosted| (Arc::clone(&hosted.plain().name), hosted)));
        let any_ranks = by_name.values().any(|hosted| hosted.plain().blueprint().ranks());
        Self { by_name, any_ranks }
    }

    /// True when any of them ranks.
    pub(crate) fn any_ranks(&self) -> bool {
        self.any_ranks
    }

    #[cold]
    fn unknown(&self, name: &str) -> Problem {
        let names = || self.sorted().into_iter().map(|strategy| strategy.plain().name.as_ref());
        let shown: String = name.chars().take(80).collect();
        let detail = match nearest(name, names()) {
            Some(meant) => format!("there is no strategy `{shown}`; did you mean `{meant}`?"),
            None if self.by_name.is_empty() => {
                format!("there is no strategy `{shown}`; none is applied yet, run `lakeloop apply`")
            }
            None => {
                let known = words(names().take(10));
                format!("there is no strategy `{shown}`; known are {known}; a new one is added by `lakeloop apply`")
            }
        };
        Problem::NotFound {
            kind: Missing::Strategy,
            detail,
        }
    }
}

/// Everything that the handlers share.
pub(crate) struct App {
    pub(crate) clock: Clock,
    pub(crate) lake: Lake,
    pub(crate) strategies: Arc<ArcSwap<Strategies>>,
    pub(crate) models: ModelHost,
    pub(crate) journals: Arc<Journals>,
    pub(crate) answers: Answers,
    pub(crate) features: FeatureStore,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) ids: DecisionIds,
    pub(crate) flush: FlushRequests,
    pub(crate) limits: Limits,
    pub(crate) access: Arc<Access>,
    pub(crate) load: Arc<Load>,
    pub(crate) cores: Cores,
    pub(crate) access_log: AccessLog,
    /// `None`: no request is traced.
    pub(crate) traces: Option<Traces>,
    /// What is wanted of each request beside its answer, also of those that are not traced.
    pub(crate) interest: Interest,
}

impl App {
    /// What decides for a strategy now, by its name.
    pub(crate) async fn strategy(&self, name: &str) -> Result<Arc<Strategy>, Problem> {
        let hosted = self.strategies.load().get(name).cloned()?;
        Ok(self.deciding(&hosted).await)
    }

    /// What decides for a strategy now. Waits only where its model has to be loaded first, and not for long: see
    /// [`hosting`](crate::hosting).
    pub(crate) async fn deciding(&self, hosted: &Arc<Hosted>) -> Arc<Strategy> {
        match self.models.ready(hosted) {
            Some(strategy) => strategy,
            None => {
                let _loading = request::step(Step::LoadModel);
                self.models.loaded(hosted).await
            }
        }
    }
}

/// The settings that handlers need.
pub(crate) struct Limits {
    pub(crate) event_times: EventTimes,
    pub(crate) request_timeout: Duration,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_candidates: usize,
}

impl Limits {
    /// Takes them from the settings.
    pub(crate) fn from_settings(settings: &Settings) -> Self {
        Self {
            event_times: EventTimes::from_setting(settings.server.allow_event_time),
            request_timeout: settings.server.request_timeout,
            max_body_bytes: usize::try_from(settings.server.max_body_bytes).unwrap_or(usize::MAX),
            max_candidates: usize::try_from(settings.server.max_candidates).unwrap_or(usize::MAX),
        }
    }
}
