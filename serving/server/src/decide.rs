//! Owns `POST /v1/decide` and `/v1/decide/batch`: from a request's body to a decision that is logged and answered.
//!
//! ```text
//! parse ─► strategy ─► context ─► lake features ─► decide ─► journal ─► answer
//!             │ known decision id ──────────────────────────────────────► first answer
//! ```
//!
//! A decision is in the journal before it is answered. Without an id chosen by the caller the path takes no lock but the
//! journal's own; with one, [`answers`](crate::answers) makes a repeat get the first answer. A batch is checked whole
//! before anything is logged, and logged in one append: a refusal refuses all of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::iter;
use std::sync::Arc;

use actix_web::web::Bytes;
use futures::future::try_join_all;
use lakeloop_decide::{Chosen, Decision, Scratch, decide};
use lakeloop_domain::{Features, Micros};
use lakeloop_journal::Position;
use uuid::fmt::Hyphenated;

use crate::answers::{First, Prepared};
use crate::context;
use crate::json::Json;
use crate::problem::{Chain, Problem};
use crate::record::{DecisionEntry, EntryChoice};
use crate::state::{App, Strategy};
use crate::wire::{At, DecideRequest};

thread_local! {
    /// Each thread that answers requests decides in buffers of its own.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Answers one request for a decision.
pub(crate) async fn one(app: &App, body: &[u8]) -> Result<Bytes, Problem> {
    let received_at = (app.clock)();
    let request = DecideRequest::read(Json::parse(body)?, At::Body, app.limits.event_times)?;
    match prepare(app, request, received_at).await? {
        Ready::Known(first) => finish(app, first).await,
        Ready::New(prepared) if prepared.chosen_id.is_none() => {
            let position = app.journals.decisions.append(iter::once(prepared.payload.as_slice()))?;
            app.journals.decisions.acknowledged(position).await?;
            Ok(prepared.answer.into())
        }
        Ready::New(prepared) => {
            let mut firsts = commit(app, vec![prepared])?;
            match firsts.pop() {
                Some(first) => finish(app, first).await,
                None => Err(Problem::Internal),
            }
        }
    }
}

/// Answers a batch: `{"decisions": [{…}, …]}` in the order of the requests.
pub(crate) async fn batch(app: &App, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let received_at = (app.clock)();
    let requests = DecideRequest::read_many(Json::parse(body)?, app.limits.event_times)?;
    let ready = try_join_all(requests.into_iter().map(|request| prepare(app, request, received_at))).await?;
    let mut fresh = Vec::with_capacity(ready.len());
    let mut known = Vec::with_capacity(ready.len());
    for one in ready {
        known.push(match one {
            Ready::Known(first) => Some(first),
            Ready::New(prepared) => {
                fresh.push(prepared);
                None
            }
        });
    }
    let mut committed = commit(app, fresh)?.into_iter();
    let firsts: Vec<First> = known
        .into_iter()
        .filter_map(|first| first.or_else(|| committed.next()))
        .collect();
    let position: Option<Position> = firsts.iter().filter_map(|first| first.position).max();
    if let Some(position) = position {
        app.journals.decisions.acknowledged(position).await?;
    }
    let mut answer = br#"{"decisions":["#.to_vec();
    for (idx, first) in firsts.iter().enumerate() {
        if idx > 0 {
            answer.push(b',');
        }
        answer.extend_from_slice(&first.answer);
    }
    answer.extend_from_slice(b"]}");
    Ok(answer)
}

/// A request that was decided, or had been before.
enum Ready {
    Known(First),
    New(Prepared),
}

/// Decides; nothing is logged yet.
async fn prepare(app: &App, request: DecideRequest<'_>, received_at: Micros) -> Result<Ready, Problem> {
    let strategy = find(app, &request)?;
    if let Some(id) = &request.decision_id
        && let Some(first) = app.answers.get(id, &strategy.name)?
    {
        return Ok(Ready::Known(first));
    }
    let blueprint = strategy.blueprint();
    let at = request.at;
    let path = |name: &str| at.field(&format!("context.{name}"));
    let n_lake_features = strategy.n_lake_features();
    let mut features = context::features(&blueprint.context, request.context, n_lake_features, &path)?;
    let event_time = request.event_time.unwrap_or(received_at);
    let feature_versions = if strategy.views.is_empty() {
        Vec::new()
    } else {
        let unit = Some(request.unit.as_str());
        app.features
            .extend(&strategy.views, unit, event_time, &mut features)
            .await
    };
    let mut id_buffer = [0; Hyphenated::LENGTH];
    let decision_id = match &request.decision_id {
        Some(id) => id.as_str(),
        None => app.ids.next(received_at, &mut id_buffer),
    };
    let asked = Asked {
        decision_id,
        unit: request.unit.as_str(),
        event_time,
        received_at,
        features,
        feature_versions,
    };
    let (payload, answer) = SCRATCH.with_borrow_mut(|scratch| written(&strategy, asked, scratch))?;
    Ok(Ready::New(Prepared {
        chosen_id: request.decision_id,
        strategy: Arc::clone(&strategy.name),
        payload,
        answer,
    }))
}

fn find(app: &App, request: &DecideRequest<'_>) -> Result<Arc<Strategy>, Problem> {
    app.strategies.load().get(&request.strategy).cloned()
}

/// What was asked, with the features found.
struct Asked<'a> {
    decision_id: &'a str,
    unit: &'a str,
    event_time: Micros,
    received_at: Micros,
    features: Features,
    feature_versions: Vec<(String, i64)>,
}

/// Decides and writes the decision twice: as the journal keeps it and as the caller reads it.
fn written(strategy: &Strategy, asked: Asked<'_>, scratch: &mut Scratch) -> Result<(Vec<u8>, Vec<u8>), Problem> {
    let bundle = &strategy.bundle;
    let decision = decide(bundle, &asked.features, asked.decision_id, scratch);
    if decision.failure.is_some() {
        log_failure(strategy, asked.decision_id, &decision);
    }
    let actions = bundle.actions();
    let entry = DecisionEntry {
        decision_id: asked.decision_id,
        strategy: &strategy.name,
        blueprint_version: bundle.applied().version.as_str(),
        model_version: bundle.model_version().map(|version| version.0),
        unit: asked.unit,
        event_time: asked.event_time,
        received_at: asked.received_at,
        features: Cow::Borrowed(&asked.features),
        feature_versions: Cow::Borrowed(&asked.feature_versions),
        actions: Cow::Borrowed(actions),
        scores: Cow::Borrowed(decision.scores),
        choice: match decision.chosen {
            Chosen::Action(action_idx) => EntryChoice::Action(&actions[action_idx]),
            Chosen::Number(number) => EntryChoice::Number(number),
        },
        propensity: decision.propensity,
        reason: decision.reason,
        policy: Some(Cow::Borrowed(&strategy.policy)),
        salt: bundle.salt(),
    };
    let missing = entry.missing_features(strategy.blueprint());
    let payload = entry
        .encode()
        .map_err(|error| Problem::internal("encode a decision", &error))?;
    let answer = entry
        .answer(&missing)
        .map_err(|error| Problem::internal("write an answer", &error))?;
    Ok((payload, answer))
}

#[cold]
fn log_failure(strategy: &Strategy, decision_id: &str, decision: &Decision<'_>) {
    if let Some(failure) = &decision.failure {
        tracing::error!(
            strategy = &*strategy.name,
            decision_id,
            model_version = strategy.bundle.model_version().map(|version| version.0),
            cause = %Chain(failure),
            "the model failed on a decision; the default was returned"
        );
    }
}

fn commit(app: &App, decisions: Vec<Prepared>) -> Result<Vec<First>, Problem> {
    let ledger = &app.journals.decisions;
    app.answers.commit(decisions, |fresh| {
        ledger.append(fresh.iter().map(|decision| decision.payload.as_slice()))
    })
}

async fn finish(app: &App, first: First) -> Result<Bytes, Problem> {
    if let Some(position) = first.position {
        app.journals.decisions.acknowledged(position).await?;
    }
    Ok(first.answer)
}
