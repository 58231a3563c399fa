//! Makes logged decisions again from the lake, with the blueprint and model of their day, and says what differs.
//!
//! ```text
//!   decisions ─► a page ─► bundles of the page ─► replay ─► same, differs, imported
//!                          (blueprint × model, each loaded once, also retired ones)
//! ```
//!
//! A decision whose blueprint or model is not in the lake cannot be made again, which counts as a difference: nothing
//! that decided may be lost. Imported decisions were made elsewhere; they are only counted.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::prelude::DataFrame;
use futures::StreamExt as _;
use lakeloop_decide::{Bundle, Model, Replay, replay};
use lakeloop_domain::{
    AppliedBlueprint, BlueprintVersion, DecisionId, DecisionReason, DecisionRecord, Micros, ModelVersion, RunState,
    StrategyName,
};
use lakeloop_lake::rows::decisions_from_batch;
use lakeloop_lake::{Lake, LakeError, blueprints, registry};
use lakeloop_sql::{DecisionRange, DecisionRows, Pins, decision_rows, sample, session};
use tokio_util::sync::CancellationToken;

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::train::Done;

/// So many differences are named; more of them are only counted.
const MAX_NAMED: usize = 100;

const DAY_US: Micros = 24 * 60 * 60 * 1_000_000;

/// A decision that came out different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which decision.
    pub decision_id: DecisionId,
    /// Of which strategy.
    pub strategy: StrategyName,
    /// When it was made.
    pub event_time: Micros,
    /// The first field that differs, as [`Replay::Differs`] names them.
    pub field: &'static str,
    /// What was logged.
    pub logged: String,
    /// What came out, or why nothing did.
    pub replayed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` of `{}`: {} was {}, and is {}",
            self.decision_id, self.strategy, self.field, self.logged, self.replayed
        )
    }
}

/// What came of making decisions again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayReport {
    /// How many were read.
    pub n_decisions: u64,
    /// Came out the same, to the last bit.
    pub n_same: u64,
    /// Had been imported: there is nothing to make again.
    pub n_imported: u64,
    /// Came out different.
    pub n_differing: u64,
    /// The first hundred of them.
    pub differences: Vec<Difference>,
}

/// Makes decisions again, at the tables' newest versions; of more than `n_sample`, about so many, chosen by a hash of
/// their ids.
///
/// `progress` is told after each page how many of about how many are done, and may break off. Needs memory for one page and
/// for the models that decided.
pub async fn replay_decisions(
    lake: &Lake,
    which: &DecisionRows,
    n_sample: Option<u64>,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<ReplayReport, PipelineError> {
    let (ctx, _) = session(lake, &Pins::default()).await?;
    let frame = decision_rows(&ctx, which).await?;
    let (frame, n_expected) = sampled(frame, n_sample).await?;
    let mut pages = frame.execute_stream().await.map_err(PipelineError::Decisions)?;
    let mut bundles = Bundles::new(lake);
    let mut report = ReplayReport::default();
    while let Some(page) = pages.next().await {
        let records = decisions_from_batch(&page.map_err(PipelineError::Decisions)?)?;
        let with_bundles = bundles.find_all(records).await?;
        // Evaluating thousands of ensembles would hold up whatever else runs here.
        let replayed = tokio::task::spawn_blocking(move || ReplayReport::of(&with_bundles)).await;
        report.add(replayed.map_err(PipelineError::BrokeOff)?);
        if progress(report.n_decisions, n_expected).is_break() {
            return Err(PipelineError::Stopped);
        }
    }
    Ok(report)
}

/// The frame with as many rows as wanted, and about how many these are.
async fn sampled(frame: DataFrame, n_sample: Option<u64>) -> Result<(DataFrame, u64), PipelineError> {
    let n_all = frame.clone().count().await.map_err(PipelineError::Decisions)? as u64;
    let n_rows = n_sample.map_or(n_all, |n_sample| n_sample.min(n_all));
    Ok((sample(frame, n_rows, n_all)?, n_rows))
}

/// The replay job: a sample of the decisions of the day before `as_of`, of all strategies. `stop` ends it between two
/// pages.
pub(crate) async fn replay_last_day(
    ctx: &JobContext,
    as_of: Micros,
    stop: &CancellationToken,
) -> Result<Done, PipelineError> {
    let last_day = DecisionRows::Range(DecisionRange {
        strategy: None,
        from: Some(as_of.saturating_sub(DAY_US)),
        until: Some(as_of),
    });
    let unless_stopped = |_, _| {
        if stop.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let n_sample = Some(ctx.settings.jobs.replay_decisions);
    let report = replay_decisions(&ctx.lake, &last_day, n_sample, unless_stopped).await?;
    let done = |state, detail| Done {
        state,
        detail,
        training_set_id: None,
        model: None,
    };
    let (n_same, n_imported) = (report.n_same, report.n_imported);
    match report.differences.into_iter().next() {
        Some(first) => Err(PipelineError::Replay {
            n_differing: report.n_differing,
            n_decisions: report.n_decisions,
            first: Box::new(first),
        }),
        None if n_same == 0 => Ok(done(
            RunState::Skipped,
            format!("no decisions of the last day to make again ({n_imported} imported)"),
        )),
        None => Ok(done(
            RunState::Succeeded,
            format!("{n_same} decisions of the last day came out the same to the last bit ({n_imported} imported)"),
        )),
    }
}

impl ReplayReport {
    fn of(records: &[(DecisionRecord, Deciding)]) -> Self {
        let mut report = Self::default();
        for (record, deciding) in records {
            report.n_decisions += 1;
            match deciding {
                Deciding::Elsewhere => report.n_imported += 1,
                Deciding::Here(bundle) => match replay(record, bundle) {
                    Replay::Same => report.n_same += 1,
                    Replay::Imported => report.n_imported += 1,
                    Replay::Differs {
                        field,
                        logged,
                        replayed,
                    } => report.differs(record, field, logged, replayed),
                },
                Deciding::Lost(lost) => {
                    report.differs(record, lost.field, lost.logged.clone(), lost.reason.clone());
                }
            }
        }
        report
    }

    fn differs(&mut self, record: &DecisionRecord, field: &'static str, logged: String, replayed: String) {
        self.n_differing += 1;
        if self.differences.len() < MAX_NAMED {
            self.differences.push(Difference {
                decision_id: record.decision_id.clone(),
                strategy: record.strategy.clone(),
                event_time: record.event_time,
                field,
                logged,
                replayed,
            });
        }
    }

    fn add(&mut self, page: Self) {
        self.n_decisions += page.n_decisions;
        self.n_same += page.n_same;
        self.n_imported += page.n_imported;
        self.n_differing += page.n_differing;
        let n_more = MAX_NAMED - self.differences.len();
        self.differences.extend(page.differences.into_iter().take(n_more));
    }
}

/// By what a decision was made.
#[derive(Clone)]
enum Deciding {
    Here(Arc<Bundle>),
    Elsewhere,
    Lost(Arc<Lost>),
}

/// Why what decided cannot decide any more.
struct Lost {
    field: &'static str,
    logged: String,
    reason: String,
}

type BundleKey = (StrategyName, BlueprintVersion, Option<ModelVersion>);

/// What decided, each loaded when it is first met.
struct Bundles<'l> {
    lake: &'l Lake,
    blueprints: HashMap<StrategyName, Vec<AppliedBlueprint>>,
    known: HashMap<BundleKey, Deciding>,
}

impl<'l> Bundles<'l> {
    fn new(lake: &'l Lake) -> Self {
        Self {
            lake,
            blueprints: HashMap::new(),
            known: HashMap::new(),
        }
    }

    async fn find_all(&mut self, records: Vec<DecisionRecord>) -> Result<Vec<(DecisionRecord, Deciding)>, LakeError> {
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let deciding = match record.reason {
                DecisionReason::Imported => Deciding::Elsewhere,
                _ => self.find(&record).await?,
            };
            found.push((record, deciding));
        }
        Ok(found)
    }

    async fn find(&mut self, record: &DecisionRecord) -> Result<Deciding, LakeError> {
        let key = (
            record.strategy.clone(),
            record.blueprint_version.clone(),
            record.model_version,
        );
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let loaded = match self.load(&key).await? {
            Ok(bundle) => Deciding::Here(Arc::new(bundle)),
            Err(lost) => Deciding::Lost(Arc::new(lost)),
        };
        self.known.insert(key, loaded.clone());
        Ok(loaded)
    }

    async fn load(&mut self, (strategy, version, model): &BundleKey) -> Result<Result<Bundle, Lost>, LakeError> {
        if !self.blueprints.contains_key(strategy) {
            let history = blueprints::history(self.lake, strategy).await?;
            self.blueprints.insert(strategy.clone(), history);
        }
        let applied = self
            .blueprints
            .get(strategy)
            .and_then(|history| history.iter().rfind(|applied| applied.version == *version));
        let Some(applied) = applied else {
            return Ok(Err(Lost {
                field: "blueprint_version",
                logged: version.to_string(),
                reason: "not in the lake".to_owned(),
            }));
        };
        let Some(model) = model else {
            return Ok(bundle(applied, None, "blueprint_version", version));
        };
        let lost = |reason| Lost {
            field: "model_version",
            logged: model.to_string(),
            reason,
        };
        Ok(match registry::get(self.lake, strategy, *model).await? {
            None => Err(lost("not in the lake".to_owned())),
            Some(registered) => match Model::from_record(&registered) {
                Ok(loaded) => bundle(applied, Some(loaded), "model_version", model),
                Err(error) => Err(lost(error.to_string())),
            },
        })
    }
}

fn bundle(
    applied: &AppliedBlueprint,
    model: Option<Model>,
    field: &'static str,
    version: &dyn fmt::Display,
) -> Result<Bundle, Lost> {
    Bundle::new(applied.clone(), model).map_err(|error| Lost {
        field,
        logged: version.to_string(),
        reason: error.to_string(),
    })
}
