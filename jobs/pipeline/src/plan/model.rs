//! The live model under another blueprint: whether it can go on deciding, what it costs, and how long a decision takes.

use std::time::Instant;

use datafusion::logical_expr::ident;
use datafusion::prelude::SessionContext;
use lakeloop_decide::encode::ACTION_COLUMN;
use lakeloop_decide::{Bundle, Offered, Scratch, rank};
use lakeloop_domain::{AppliedBlueprint, Choice, DecisionRecord, ModelRecord, ModelVersion};
use lakeloop_lake::rows::decisions_from_batch;
use lakeloop_sql::{DecisionRange, DecisionRows, decision_rows};

use crate::error::PipelineError;
use crate::evaluate::bundle_of;
use crate::latency::Latency;

/// Logged decisions that latency is measured on: the latest ones.
const N_MEASURED: usize = 500;
/// Timed calls; enough for twenty beyond the 99th percentile.
const N_CALLS: usize = 2_000;

/// The live model under the blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPlan {
    /// The live model; `None` while nothing is learned.
    pub live: Option<ModelVersion>,
    /// Why it could not decide under the blueprint; `None` where it can, and without one.
    pub misfit: Option<String>,
    /// Features of the blueprint that it does not read.
    pub unread: Vec<String>,
    /// The size of the saved model.
    pub bytes: Option<u64>,
    /// The 99th percentile of scoring a row, as the registry has it, in microseconds.
    pub registered_p99_us: Option<f64>,
    /// The median and the 99th percentile of a whole decision under the blueprint, measured on the serving code over the latest
    /// logged decisions, in microseconds; `None` where nothing is logged.
    pub decision_us: Option<(f64, f64)>,
    /// Limits of the blueprint that the model is over.
    pub over_limits: Vec<String>,
}

impl ModelPlan {
    /// Whether, and why, a model must be trained before decisions are learned ones.
    pub fn retraining(&self) -> String {
        match (&self.live, &self.misfit) {
            (None, _) => "no model is live: the default is served until one is trained".to_owned(),
            (Some(version), Some(misfit)) => format!(
                "needed: model {version} cannot decide under this blueprint, the default is served until another is trained \
                 ({misfit})"
            ),
            (Some(version), None) if self.unread.is_empty() => format!("not needed: model {version} goes on deciding"),
            (Some(version), None) => format!(
                "model {version} goes on deciding, without {}: the next training can use what it does not read",
                self.unread.join(", ")
            ),
        }
    }
}

/// Loads the live model under the blueprint and measures decisions.
pub(super) async fn model(
    session: &SessionContext,
    applied: &AppliedBlueprint,
    live: Option<&ModelRecord>,
) -> Result<ModelPlan, PipelineError> {
    let (bundle, misfit) = match bundle_of(applied, live) {
        Ok(bundle) => (bundle, None),
        Err(error) if live.is_some() => (bundle_of(applied, None)?, Some(error.to_string())),
        Err(error) => return Err(error),
    };
    let logged = latest(session, applied).await?;
    let (unread, over_limits) = (unread(applied, &bundle), over_limits(applied, live));
    let decision_us = tokio::task::spawn_blocking(move || measure(&bundle, &logged))
        .await
        .map_err(PipelineError::BrokeOff)?;
    Ok(ModelPlan {
        live: live.map(|model| model.version),
        unread: if misfit.is_none() { unread } else { Vec::new() },
        misfit,
        bytes: live.map(|model| model.metrics.artifact_bytes),
        registered_p99_us: live.map(|model| model.metrics.latency_p99_us),
        decision_us,
        over_limits,
    })
}

/// Features that the blueprint has and its model does not read.
fn unread(applied: &AppliedBlueprint, bundle: &Bundle) -> Vec<String> {
    let Some(model) = bundle.model() else { return Vec::new() };
    let reads = |name: &str| model.encoder().columns().any(|(column, _)| column == name);
    let features = applied.blueprint.model_features().map(|(name, _)| name.to_string());
    features.filter(|name| name != ACTION_COLUMN && !reads(name)).collect()
}

fn over_limits(applied: &AppliedBlueprint, live: Option<&ModelRecord>) -> Vec<String> {
    let (limits, mut over) = (&applied.blueprint.limits, Vec::new());
    let Some(metrics) = live.map(|model| &model.metrics) else {
        return over;
    };
    if let Some(most) = limits.max_bytes.filter(|most| metrics.artifact_bytes > *most) {
        over.push(format!(
            "the live model has {} bytes, model.max_size allows {most}; it stays live until another replaces it",
            metrics.artifact_bytes
        ));
    }
    if let Some(most) = limits.max_latency_us.filter(|most| metrics.latency_p99_us > *most) {
        over.push(format!(
            "the live model scores a row in {:.1} µs (p99), model.max_latency allows {most}; it stays live until another \
             replaces it",
            metrics.latency_p99_us
        ));
    }
    over
}

async fn latest(session: &SessionContext, applied: &AppliedBlueprint) -> Result<Vec<DecisionRecord>, PipelineError> {
    let of_strategy = DecisionRows::Range(DecisionRange {
        strategy: Some(applied.blueprint.name.clone()),
        from: None,
        until: None,
    });
    let frame = decision_rows(session, &of_strategy).await?;
    let latest = frame
        .sort(vec![ident("event_time").sort(false, false)])
        .and_then(|frame| frame.limit(0, Some(N_MEASURED)));
    let batches = match latest {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    let mut records = Vec::new();
    for batch in batches.map_err(PipelineError::Decisions)? {
        records.extend(decisions_from_batch(&batch)?);
    }
    Ok(records)
}

/// Times whole decisions, after one untimed pass that warms caches and buffers.
fn measure(bundle: &Bundle, logged: &[DecisionRecord]) -> Option<(f64, f64)> {
    let mut scratch = Scratch::new();
    let mut decide = |record: &DecisionRecord| {
        let candidates = match &record.choice {
            Choice::Ranking(ranking) => ranking.candidates.as_slice(),
            Choice::Action(_) | Choice::Number(_) => &[],
        };
        let offered = Offered {
            features: &record.features,
            candidates,
        };
        std::hint::black_box(rank(bundle, offered, record.decision_id.as_str(), &mut scratch).propensity);
    };
    logged.iter().for_each(&mut decide);
    if logged.is_empty() {
        return None;
    }
    let timed = logged.iter().cycle().take(N_CALLS).map(|record| {
        let started = Instant::now();
        decide(record);
        started.elapsed().as_secs_f64() * 1e6
    });
    let latency = Latency::of(timed.collect());
    Some((latency.p50_us, latency.p99_us))
}
