//! Owns `POST /v1/decide` and `/v1/decide/batch`: from a request's body to a decision that is logged and answered.
//!
//! ```text
//! scan (or parse) ─► strategy ─► context ─► lake features ─► decide ─► journal ─► answer
//!                        │ known decision id ──────────────────────────────────► first answer
//! ```
//!
//! A decision is in the journal before it is answered. Without an id chosen by the caller the path takes no lock but the
//! journal's own; with one, [`answers`](crate::answers) makes a repeat get the first answer. A batch is checked whole
//! before anything is logged, and logged in one append: a refusal refuses all of it.
//!
//! The other protocols ask here too, with requests of the same form, and read the same answers.

use std::borrow::Cow;
use std::cell::RefCell;
use std::iter;
use std::sync::Arc;

use actix_web::web::Bytes;
use futures::future::{Either, ready};
use lakeloop_decide::{Chosen, Decision, Given, OfferedValues, Scratch, rank_served_given};
use lakeloop_domain::{Features, Micros, ValueRef};
use uuid::fmt::Hyphenated;

use crate::answers::{First, Prepared};
use crate::ask::Asked;
use crate::candidates::Candidates;
use crate::caps::Held;
use crate::context;
use crate::fields::At;
use crate::group;
use crate::ids;
use crate::json::Json;
use crate::problem::{Chain, Problem};
use crate::record::{Own, OwnChoice, OwnConditions, OwnRanking};
use crate::reply::{Reply, Scored, Scores, missing_features};
use crate::request;
use crate::state::{App, Strategy};
use crate::traces::Step;
use crate::wire::DecideRequest;

mod many;

pub(crate) use many::{all, batch, each, joined};

thread_local! {
    /// Each thread that answers requests decides in buffers of its own.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What is used again for the next decision.
#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    /// The journal record of the last decision.
    record: Vec<u8>,
}

/// Answers one request for a decision.
pub(crate) async fn one(app: &App, body: &[u8]) -> Result<Bytes, Problem> {
    let received_at = (app.clock)();
    let scanned = Asked::scan_body(&app.strategies.load(), body, app.limits.max_candidates, received_at);
    if let Some(asked) = scanned {
        return answer(app, recognised(app, asked)?, received_at).await;
    }
    let request = DecideRequest::read(Json::parse(body)?, At::Body, app.limits.event_times)?;
    answer(app, check(app, &request, received_at)?, received_at).await
}

/// Answers one request that was parsed.
pub(crate) async fn single(app: &App, request: DecideRequest<'_>) -> Result<Bytes, Problem> {
    let received_at = (app.clock)();
    answer(app, check(app, &request, received_at)?, received_at).await
}

async fn answer(app: &App, checked: Checked<'_>, received_at: Micros) -> Result<Bytes, Problem> {
    let mut asked = match checked {
        Checked::Known(first) => return finish(app, first).await,
        Checked::New(asked) => asked,
    };
    if asked.chosen_id.is_some() {
        let prepared = prepare(app, asked, received_at).await?;
        return match commit(app, vec![prepared])?.pop() {
            Some(first) => finish(app, first).await,
            None => Err(Problem::Internal),
        };
    }
    asked.strategy = app.deciding(&asked.hosted).await;
    let found = Found::look_up(app, &asked, received_at).await;
    let decisions = &app.journals.decisions;
    let (reply, logged, appending) = BUFFERS.with_borrow_mut(|buffers| {
        let (reply, held) = decided(app, &asked, &found, received_at, buffers)?;
        let appending = request::step(Step::Append);
        let logged = match held {
            // It is kept together with a write of its own.
            Some(held) => {
                let position = decisions.append(iter::once(buffers.record.as_slice()))?;
                held.keep();
                Either::Left(ready(Ok(position)))
            }
            None => Either::Right(group::join(decisions, &buffers.record)),
        };
        Ok::<_, Problem>((reply, logged, appending))
    })?;
    let position = logged.await?;
    drop(appending);
    decisions.acknowledged(position).await?;
    Ok(reply.into())
}

/// A request that may be decided.
enum Checked<'r> {
    /// Its decision was made before.
    Known(First),
    New(Asked<'r>),
}

/// Checks a request that was parsed.
fn check<'r>(app: &App, request: &'r DecideRequest<'_>, received_at: Micros) -> Result<Checked<'r>, Problem> {
    let hosted = app.strategies.load().get(&request.strategy).cloned()?;
    // A repeat gets its first answer even when the blueprint has changed and would refuse its context now.
    match known(app, hosted.plain(), request.chosen_id())? {
        Some(first) => Ok(Checked::Known(first)),
        None => Asked::check(hosted, request, app.limits.max_candidates, received_at).map(Checked::New),
    }
}

/// The same for a request that was scanned, and so is sound.
fn recognised<'r>(app: &App, asked: Asked<'r>) -> Result<Checked<'r>, Problem> {
    let first = known(app, &asked.strategy, asked.chosen_id)?;
    Ok(first.map_or_else(|| Checked::New(asked), Checked::Known))
}

/// The first answer of an id that the caller chose, if it was given before.
fn known(app: &App, strategy: &Strategy, chosen_id: Option<&str>) -> Result<Option<First>, Problem> {
    match chosen_id {
        None => Ok(None),
        Some(id) => app.answers.get(id, &strategy.name),
    }
}

/// Decides; nothing is logged yet.
async fn prepare(app: &App, mut asked: Asked<'_>, received_at: Micros) -> Result<Prepared, Problem> {
    asked.strategy = app.deciding(&asked.hosted).await;
    let found = Found::look_up(app, &asked, received_at).await;
    BUFFERS.with_borrow_mut(|buffers| {
        let (answer, held) = decided(app, &asked, &found, received_at, buffers)?;
        Ok(Prepared {
            held,
            chosen_id: asked.chosen_id.map(Arc::from),
            strategy: Arc::clone(&asked.strategy.name),
            payload: buffers.record.clone(),
            answer,
        })
    })
}

/// The features of a decision whose strategy reads some from the lake.
struct Found {
    /// All features, in served order; `None` when they are the context alone.
    features: Option<Features>,
    /// The version of each view's table that was read.
    versions: Vec<(String, i64)>,
}

impl Found {
    async fn look_up(app: &App, asked: &Asked<'_>, received_at: Micros) -> Self {
        let strategy = &asked.strategy;
        if strategy.views.is_empty() {
            return Self {
                features: None,
                versions: Vec::new(),
            };
        }
        let declared = &strategy.blueprint().context;
        let mut features = context::named(declared, &asked.context, strategy.n_lake_features());
        let as_of = asked.event_time.unwrap_or(received_at);
        let versions = app
            .features
            .extend(&strategy.views, Some(asked.unit), as_of, &mut features)
            .await;
        Self {
            features: Some(features),
            versions,
        }
    }
}

/// Decides: answers the reply's body, with what the decision has set aside of caps, and leaves the journal's record in the
/// buffers.
fn decided(
    app: &App,
    asked: &Asked<'_>,
    found: &Found,
    received_at: Micros,
    buffers: &mut Buffers,
) -> Result<(Vec<u8>, Option<Held>), Problem> {
    let _deciding = request::step(Step::Decide);
    let Buffers { scratch, record } = buffers;
    let strategy = &*asked.strategy;
    request::concerns(&strategy.name);
    let bundle = &strategy.bundle;
    let mut id_buffer = [0; Hyphenated::LENGTH];
    let decision_id = match asked.chosen_id {
        Some(id) => id,
        None => {
            let named = match bundle.blueprint().ranks() {
                true => ids::Named::Ranking,
                false => ids::Named::Choice,
            };
            app.ids.next(received_at, named, &mut id_buffer)
        }
    };
    let values = match &found.features {
        None => Cow::Borrowed(asked.context.as_slice()),
        Some(features) => features.iter().map(|feature| ValueRef::from(&feature.value)).collect(),
    };
    let Candidates {
        ids,
        values: candidates,
    } = &asked.candidates;
    let offered = OfferedValues {
        shared: &values,
        n_candidates: ids.len(),
        candidates,
    };
    let event_time = asked.event_time.unwrap_or(received_at);
    let mut held = strategy
        .regime
        .caps
        .as_ref()
        .map(|caps| caps.reserve(asked.unit, event_time));
    let given = Given {
        blocked: held.as_ref().map_or(&[][..], Held::blocked),
        step: strategy.regime.step(),
        rule_idx: asked.rule_idx,
    };
    let decision = rank_served_given(bundle, offered, &given, decision_id, scratch);
    let conditions = OwnConditions {
        blocked: Cow::Owned(given.blocked.to_vec()),
        step: given.step,
        rule: given.rule_idx,
        model: decision.model_action.map(|idx| u32::try_from(idx).unwrap_or(u32::MAX)),
    };
    if let (Some(held), Chosen::Action(action_idx)) = (&mut held, decision.chosen) {
        held.settle(action_idx, decision.reason);
    }
    if decision.failure.is_some() {
        log_failure(strategy, decision_id, &decision);
    }
    let own = Own {
        decision_id,
        unit: asked.unit,
        event_time,
        received_at,
        feature_versions: found
            .versions
            .iter()
            .map(|(view, version)| (view.as_str(), *version))
            .collect(),
        scores: Cow::Borrowed(decision.scores),
        choice: match decision.chosen {
            Chosen::Action(idx) => OwnChoice::Action(u32::try_from(idx).unwrap_or(u32::MAX)),
            Chosen::Number(number) => OwnChoice::Number(number),
            Chosen::Ranking { order, propensities } => OwnChoice::Ranking(OwnRanking {
                ids: Cow::Borrowed(ids),
                order: Cow::Borrowed(order),
                propensities: Cow::Borrowed(propensities),
            }),
        },
        propensity: decision.propensity,
        reason: decision.reason,
    };
    let written = strategy
        .record_form
        .write(&own, &conditions, &values, candidates, record);
    written.map_err(|error| Problem::internal("encode a decision", &error))?;
    let missing = match found.features {
        None => Vec::new(),
        Some(_) => missing(strategy, found, &values),
    };
    let (value, ranking, of) = match decision.chosen {
        Chosen::Action(_) => (None, None, Scored::Actions(bundle.actions())),
        Chosen::Number(number) => (Some(number), None, Scored::Actions(bundle.actions())),
        Chosen::Ranking { order, .. } => {
            let ranking = order.iter().map(|idx| ids[*idx as usize]).collect();
            (None, Some(ranking), Scored::Candidates(Cow::Borrowed(ids)))
        }
    };
    let reply = Reply {
        decision_id,
        strategy: &strategy.name,
        action: decision.action(bundle),
        value,
        ranking,
        scores: Scores {
            of,
            scores: decision.scores,
        },
        propensity: decision.propensity,
        reason: decision.reason,
        blueprint_version: bundle.applied().version.as_str(),
        model_version: bundle.model_version().map(|version| version.0),
        missing_features: &missing,
    };
    let answer = reply.to_json();
    let answer = answer.map_err(|error| Problem::internal("write an answer", &error))?;
    Ok((answer, held))
}

/// The lake features that were not found.
fn missing<'s>(strategy: &'s Strategy, found: &Found, values: &[ValueRef<'_>]) -> Vec<&'s str> {
    let read = found.versions.iter().map(|(view, _)| view.as_str());
    let value = |name: &str| {
        let mut served = strategy.bundle.served().zip(values);
        served
            .find(|((served, _), _)| ***served == *name)
            .map(|(_, value)| *value)
    };
    missing_features(strategy.blueprint(), read, value)
}

#[cold]
fn log_failure(strategy: &Strategy, decision_id: &str, decision: &Decision<'_>) {
    if let Some(failure) = &decision.failure {
        let request_id = request::id();
        tracing::error!(
            request_id = request_id.as_deref(),
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
    let _appending = request::step(Step::Append);
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
