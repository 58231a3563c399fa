//! Owns the door for clients of the Personalizer service, which its vendor retires: rank and reward as decide and
//! observe.
//!
//! | in that protocol | here |
//! |---|---|
//! | the service | one strategy that chooses: `?strategy=NAME`, which can be left out where only one is in force |
//! | `eventId` | decision id: a repeat gets the first answer; without one the server makes one |
//! | `contextFeatures` | the context; the objects around a value are namespaces and do not matter, and `unit` is the unit (the event's id where it is absent), unless the blueprint declares a field of that name |
//! | `actions` | all declared actions, by id, in any order; what is learned about an action is learned by its id, so `features` of actions are not read, which the header `Lakeloop-Ignored` says |
//! | `probability` | the probability with which the policy chooses the action for these scores |
//! | reward | an outcome of the strategy's own event |
//!
//! What the kernel cannot do with an exact propensity is refused: a part of the declared actions (`excludedActions`, or
//! fewer `actions`), and `deferActivation`, because a decision counts from the moment when it is logged. `activate` has
//! nothing left to do and says so with its 204.

use std::sync::Arc;

use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use lakeloop_decide::{Scratch, probabilities_by_scores};
use lakeloop_domain::{DecisionId, DecisionKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decide;
use crate::fields::{At, EventTimes, Fields, words};
use crate::ids;
use crate::json::{Json, Object};
use crate::observe;
use crate::problem::{Missing, Problem};
use crate::protocols::answer::Decided;
use crate::routes::{self, Body, Entry};
use crate::state::{App, Strategy};
use crate::wire::{DecideRequest, ObserveRequest};

/// Names what of a request was not read.
const IGNORED: &str = "lakeloop-ignored";

/// The routes of the protocol.
pub(super) fn routes() -> Vec<Entry> {
    vec![
        Entry::post("/personalizer/v1.0/rank", rank),
        Entry::post("/personalizer/v1.0/events/{eventId}/reward", reward),
        Entry::post("/personalizer/v1.0/events/{eventId}/activate", activate),
    ]
}

/// The query of a request, or why it cannot be read.
type Named = Result<Query<Choice>, actix_web::Error>;

/// Which strategy is meant.
#[derive(Deserialize)]
struct Choice {
    strategy: Option<String>,
}

fn refused(problem: &Problem) -> HttpResponse {
    let code = match problem {
        Problem::NotFound { .. } => "ResourceNotFound",
        Problem::TooLarge { .. } | Problem::Invalid { .. } | Problem::Malformed { .. } => "BadRequest",
        Problem::Conflict { .. } => "Conflict",
        _ => "InternalServerError",
    };
    problem.written_as(&json!({ "error": { "code": code, "message": problem.text() } }))
}

async fn rank(app: Data<App>, choice: Named, bytes: Body) -> HttpResponse {
    ranked(&app, choice, bytes)
        .await
        .unwrap_or_else(|problem| refused(&problem))
}

async fn reward(app: Data<App>, choice: Named, request: HttpRequest, bytes: Body) -> HttpResponse {
    match rewarded(&app, choice, &request, bytes).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(problem) => refused(&problem),
    }
}

async fn activate(request: HttpRequest) -> HttpResponse {
    match event_id(&request) {
        Ok(_) => HttpResponse::NoContent().finish(),
        Err(problem) => refused(&problem),
    }
}

async fn ranked(app: &App, choice: Named, bytes: Body) -> Result<HttpResponse, Problem> {
    let bytes = routes::body(app, bytes)?;
    let strategy = chosen(app, choice)?;
    let asked = Asked::read(&bytes)?;
    asked.check_actions(&strategy)?;
    let request = asked.request(app, &strategy)?;
    let answer = decide::single(app, request).await?;
    let decided = Decided::read(&answer)?;
    let mut response = HttpResponse::Created();
    if asked.has_action_features {
        response.insert_header((IGNORED, "actions[].features"));
    }
    Ok(response.json(json!({
        "ranking": ranking(&strategy, &decided),
        "eventId": decided.decision_id,
        "rewardActionId": decided.action,
    })))
}

async fn rewarded(app: &App, choice: Named, request: &HttpRequest, bytes: Body) -> Result<(), Problem> {
    let bytes = routes::body(app, bytes)?;
    let strategy = chosen(app, choice)?;
    let event_id = event_id(request)?;
    let mut fields = Fields::read(Json::parse(&bytes)?, At::Body, &["value"])?;
    let value = match fields.take("value") {
        Some(value @ (Json::Integer(_) | Json::Number(_))) => value,
        Some(other) => return Err(fields.wrong("value", "a number", &other)),
        None => return Err(fields.absent("value")),
    };
    let outcome = Json::Object(vec![
        ("decision_id".into(), Json::Text(event_id.as_str().into())),
        (
            "event".into(),
            Json::Text(strategy.blueprint().outcome.event.as_str().into()),
        ),
        ("value".into(), value),
    ]);
    let outcomes = ObserveRequest::read_body(outcome, EventTimes::Refused)?;
    observe::take(app, &outcomes).await.map(drop)
}

/// The strategy that a request is for.
fn chosen(app: &App, choice: Named) -> Result<Arc<Strategy>, Problem> {
    let choice = choice.map_err(|error| Problem::invalid("strategy", format!("the query cannot be read: {error}")))?;
    let strategies = app.strategies.load();
    let chooses = |strategy: &Strategy| matches!(strategy.blueprint().decision, DecisionKind::Choose { .. });
    let refused = |detail: String| Err(Problem::invalid("strategy", detail));
    match choice.into_inner().strategy {
        Some(name) => match strategies.get(&name)?.plain() {
            strategy if chooses(strategy) => Ok(Arc::clone(strategy)),
            _ => refused(format!(
                "`{name}` does not choose among actions; name a strategy that does"
            )),
        },
        None => {
            let all: Vec<_> = strategies.sorted().into_iter().map(|hosted| hosted.plain()).collect();
            let mut choosing = all.iter().filter(|strategy| chooses(strategy));
            match (choosing.next(), choosing.next()) {
                (Some(only), None) => Ok(Arc::clone(only)),
                (None, _) => Err(Problem::NotFound {
                    kind: Missing::Strategy,
                    detail: "no strategy that chooses among actions is in force; apply one".into(),
                }),
                (Some(_), Some(_)) => {
                    let known = all.iter().filter(|strategy| chooses(strategy)).take(10);
                    let known = words(known.map(|strategy| &*strategy.name));
                    refused(format!("several strategies choose; add ?strategy= with one of {known}"))
                }
            }
        }
    }
}

fn event_id(request: &HttpRequest) -> Result<DecisionId, Problem> {
    let event_id = request.match_info().get("eventId").unwrap_or_default();
    DecisionId::new(event_id.to_owned()).map_err(|cause| Problem::invalid_id("eventId", &cause))
}

/// A request to rank.
struct Asked<'a> {
    event_id: Option<Json<'a>>,
    context: Object<'a>,
    actions: Vec<String>,
    has_action_features: bool,
}

impl<'a> Asked<'a> {
    fn read(body: &'a Bytes) -> Result<Self, Problem> {
        const KNOWN: [&str; 5] = [
            "contextFeatures",
            "actions",
            "excludedActions",
            "eventId",
            "deferActivation",
        ];
        let mut fields = Fields::read(Json::parse(body)?, At::Body, &KNOWN)?;
        match fields.take("deferActivation") {
            None | Some(Json::Bool(false)) => {}
            Some(Json::Bool(true)) => {
                let detail = "a decision counts from the moment when it is logged, so its activation cannot be deferred; \
                              leave `deferActivation` out";
                return Err(Problem::invalid("deferActivation", detail));
            }
            Some(other) => return Err(fields.wrong("deferActivation", "true or false", &other)),
        }
        match fields.take("excludedActions") {
            None => {}
            Some(Json::List(excluded)) if excluded.is_empty() => {}
            Some(Json::List(_)) => {
                let detail = "the policy chooses among all declared actions, and its propensities hold for these only; \
                              leave `excludedActions` out";
                return Err(Problem::invalid("excludedActions", detail));
            }
            Some(other) => return Err(fields.wrong("excludedActions", "a list", &other)),
        }
        let mut context = Vec::new();
        match fields.take("contextFeatures") {
            None => {}
            Some(Json::List(features)) => {
                for (idx, features) in features.into_iter().enumerate() {
                    flatten(features, &format!("contextFeatures[{idx}]"), &mut context)?;
                }
            }
            Some(other) => return Err(fields.wrong("contextFeatures", "a list of objects", &other)),
        }
        let event_id = fields.take("eventId");
        let actions = match fields.take("actions") {
            Some(Json::List(actions)) => actions,
            Some(other) => return Err(fields.wrong("actions", "a list", &other)),
            None => return Err(fields.absent("actions")),
        };
        let mut ids = Vec::with_capacity(actions.len());
        let mut has_action_features = false;
        for (idx, action) in actions.into_iter().enumerate() {
            let at = At::Item { list: "actions", idx };
            let mut fields = Fields::read(action, at, &["id", "features"])?;
            let id = fields.required_text("id")?.into_owned();
            if ids.contains(&id) {
                return Err(Problem::invalid(
                    at.field("id"),
                    format!("the action `{id}` is given twice; give it once"),
                ));
            }
            ids.push(id);
            match fields.take("features") {
                None => {}
                Some(Json::List(features)) => has_action_features |= !features.is_empty(),
                Some(other) => return Err(fields.wrong("features", "a list of objects", &other)),
            }
        }
        Ok(Self {
            event_id,
            context,
            actions: ids,
            has_action_features,
        })
    }

    /// All declared actions must be there, and no others.
    fn check_actions(&self, strategy: &Strategy) -> Result<(), Problem> {
        let declared = strategy.bundle.actions();
        let known = || words(declared.iter().map(String::as_str));
        if let Some(unknown) = self.actions.iter().find(|action| !declared.contains(action)) {
            let unknown: String = unknown.chars().take(80).collect();
            let detail = format!(
                "`{unknown}` is no action of `{}`; declared are {}",
                strategy.name,
                known()
            );
            return Err(Problem::invalid("actions", detail));
        }
        match declared.iter().find(|action| !self.actions.contains(action)) {
            None => Ok(()),
            Some(absent) => Err(Problem::invalid(
                "actions",
                format!(
                    "`{absent}` is missing; the policy chooses among all declared actions, so give all of {}",
                    known()
                ),
            )),
        }
    }

    fn request<'r>(&'r self, app: &App, strategy: &'r Strategy) -> Result<DecideRequest<'r>, Problem> {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        let event_id = match &self.event_id {
            Some(event_id) => event_id.clone(),
            None => Json::Text(
                app.ids
                    .next((app.clock)(), ids::Named::Choice, &mut buffer)
                    .to_owned()
                    .into(),
            ),
        };
        let mut context = self.context.clone();
        let is_declared = strategy.blueprint().context.iter().any(|field| &*field.name == "unit");
        let unit = context.iter().position(|(key, _)| key == "unit" && !is_declared);
        let unit = unit.map_or_else(|| event_id.clone(), |idx| context.remove(idx).1);
        let body = Json::Object(vec![
            ("strategy".into(), Json::Text(strategy.name.as_ref().into())),
            ("unit".into(), unit),
            ("decision_id".into(), event_id),
            ("context".into(), Json::Object(context)),
        ]);
        DecideRequest::read(body, At::Body, app.limits.event_times)
    }
}

/// Adds the values of an object to the context; objects in it are namespaces.
fn flatten<'a>(features: Json<'a>, path: &str, context: &mut Object<'a>) -> Result<(), Problem> {
    let Json::Object(entries) = features else {
        let detail = format!("{path} is {}; expected an object", features.describe());
        return Err(Problem::invalid(path, detail));
    };
    for (key, value) in entries {
        match value {
            Json::Object(_) => flatten(value, &format!("{path}.{key}"), context)?,
            value => context.push((key, value)),
        }
    }
    Ok(())
}

/// Every action with its probability: the chosen one, then the others by score, or as declared where there are none.
fn ranking(strategy: &Strategy, decided: &Decided<'_>) -> Vec<Value> {
    let item = |action: &str, probability: f64| json!({ "id": action, "probability": probability });
    let chosen = decided.action.as_deref().unwrap_or_default();
    let declared = strategy.bundle.actions();
    // A repeat may have been decided under an earlier blueprint, whose policy is not known here.
    if *decided.blueprint_version != *strategy.bundle.applied().version.as_str() || decided.reason == "fallback" {
        return vec![item(chosen, decided.propensity)];
    }
    let bundle = &strategy.bundle;
    // Nor under an earlier model, on which some policies depend besides its scores.
    let by_model = bundle.policy().needs_uncertainty() || *bundle.policy() != bundle.blueprint().policy;
    if by_model && decided.model_version != bundle.model_version().map(|version| version.0) {
        return vec![item(chosen, decided.propensity)];
    }
    let scores = &decided.scores.scores;
    let mut order: Vec<usize> = (0..declared.len()).collect();
    if scores.len() == declared.len() {
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    }
    order.sort_by_key(|idx| declared[*idx] != chosen);
    let mut scratch = Scratch::new();
    let of_each = probabilities_by_scores(bundle, scores, &mut scratch);
    let probability = |idx: usize| of_each.get(idx).copied().unwrap_or_default();
    order
        .into_iter()
        .map(|idx| item(&declared[idx], probability(idx)))
        .collect()
}
