//! Owns the OpenFeature Remote Evaluation Protocol: a strategy as a flag that OpenFeature SDKs evaluate.
//!
//! | in the protocol | here |
//! |---|---|
//! | flag key | strategy |
//! | `context.targetingKey` | unit |
//! | other keys of the context | context fields; those that the blueprint does not declare are not used, and named in `metadata.ignored_context`, since one context serves all flags of an application |
//! | value | `true`/`false` for yes/no, the action, or the number |
//! | variant | the action's word; for numbers `default` or `model-<version>` |
//! | reason | `TARGETING_MATCH` by a model's scores or the caller's rule, `SPLIT` where the policy explored, `DEFAULT` while there is no model and where a cap or the ladder's first step left the default, `ERROR` where the model failed and the default was returned |
//! | metadata | `decision_id` (to report outcomes by), `propensity`, versions, our own `reason`, what was missing or ignored |
//!
//! Every evaluation is a decision and is logged, in bulk one for each flag that could be evaluated, in one append.
//!
//! # What a 304 means
//!
//! A client that polls sends the ETag of the decisions that it holds. The tag is a hash of the context and of every
//! strategy's blueprint and model version and step of its ladder. While it matches, the client keeps its decisions: nothing is decided, so nothing
//! is logged twice and nothing is served that was not logged; outcomes go to the decision ids that it has. As soon as a
//! blueprint, a model or the context changes, all are decided and logged anew. A bulk answer that a later one could better
//! (a feature of the lake was missing, a model failed or was not loaded in time, a cap blocked) has no tag. `*` never matches: it does not say what is held.
//! An answer that got lost was logged all the same; like every decision without an id chosen by the caller.

use std::sync::Arc;

use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use lakeloop_domain::{DecisionKind, LadderStep, UnitId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::decide;
use crate::fields::{At, Fields};
use crate::hosting::Hosted;
use crate::json::{Json, Object};
use crate::problem::{Missing, Problem};
use crate::protocols::answer::Decided;
use crate::routes::{self, Body, Entry};
use crate::state::{App, Strategy};
use crate::wire::DecideRequest;

/// The key of the context that holds the unit.
const TARGETING_KEY: &str = "targetingKey";

/// The routes of the protocol.
pub(super) fn routes() -> Vec<Entry> {
    vec![
        Entry::post("/ofrep/v1/evaluate/flags", evaluate_all),
        Entry::post("/ofrep/v1/evaluate/flags/{key}", evaluate),
    ]
}

/// The protocol's word for what went wrong.
fn error_code(problem: &Problem) -> &'static str {
    match problem {
        Problem::Malformed { .. } => "PARSE_ERROR",
        Problem::NotFound {
            kind: Missing::Strategy,
            ..
        } => "FLAG_NOT_FOUND",
        Problem::Invalid { field, .. } if field == TARGETING_KEY => "TARGETING_KEY_MISSING",
        Problem::Invalid { .. } => "INVALID_CONTEXT",
        _ => "GENERAL",
    }
}

fn failure(key: Option<&str>, problem: &Problem) -> Value {
    let mut failure = json!({ "errorCode": error_code(problem), "errorDetails": problem.text() });
    if let Some(key) = key {
        failure["key"] = json!(key);
    }
    failure
}

async fn evaluate(app: Data<App>, request: HttpRequest, bytes: Body) -> HttpResponse {
    let key = request.match_info().get("key").unwrap_or_default();
    let answer = async {
        let bytes = routes::body(&app, bytes)?;
        let strategies = app.strategies.load_full();
        let strategy = strategies.get(key)?.plain();
        let context = read_context(&bytes)?;
        let (request, ignored) = asked(&app, strategy, context)?;
        let answer = decide::single(&app, request).await?;
        success(strategy, &Decided::read(&answer)?, &ignored)
    };
    match answer.await {
        Ok(evaluated) => HttpResponse::Ok().json(evaluated),
        Err(problem) => problem.written_as(&failure(Some(key), &problem)),
    }
}

async fn evaluate_all(app: Data<App>, request: HttpRequest, bytes: Body) -> HttpResponse {
    match bulk(&app, &request, bytes).await {
        Ok(response) => response,
        Err(problem) => problem.written_as(&failure(None, &problem)),
    }
}

async fn bulk(app: &App, request: &HttpRequest, bytes: Body) -> Result<HttpResponse, Problem> {
    let bytes = routes::body(app, bytes)?;
    let context = read_context(&bytes)?;
    unit(&context)?;
    let strategies = app.strategies.load_full();
    let sorted: Vec<Tagged<'_>> = strategies.sorted().into_iter().map(Tagged::of).collect();
    let tag = entity_tag(&sorted, &context);
    if matches(request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    let mut flags: Vec<Option<Value>> = Vec::with_capacity(sorted.len());
    let (mut requests, mut pending) = (Vec::new(), Vec::new());
    for (idx, Tagged { strategy, .. }) in sorted.iter().enumerate() {
        match asked(app, strategy, context.clone()) {
            Ok((request, ignored)) => {
                requests.push(request);
                pending.push((idx, ignored));
                flags.push(None);
            }
            Err(problem) => flags.push(Some(failure(Some(&strategy.name), &problem))),
        }
    }
    let mut is_final = true;
    for (answer, (idx, ignored)) in decide::each(app, requests).await?.into_iter().zip(pending) {
        let Tagged {
            strategy,
            model_version,
        } = &sorted[idx];
        flags[idx] = Some(match answer {
            Ok(answer) => {
                let decided = Decided::read(&answer)?;
                is_final &= decided.missing_features.is_empty()
                    && !matches!(&*decided.reason, "fallback" | "capped")
                    && decided.model_version == *model_version;
                success(strategy, &decided, &ignored)?
            }
            Err(problem) => failure(Some(&strategy.name), &problem),
        });
    }
    let flags: Vec<Value> = flags.into_iter().flatten().collect();
    let mut response = HttpResponse::Ok();
    if is_final {
        response.insert_header((ETAG, tag));
    }
    Ok(response.json(json!({ "flags": flags })))
}

/// The context of a body; one without it has none.
fn read_context(body: &Bytes) -> Result<Object<'_>, Problem> {
    // The protocol's word for a body of another form is the same as for one that is no JSON.
    let malformed = |problem: Problem| Problem::Malformed { detail: problem.text() };
    let mut fields = Fields::read(Json::parse(body)?, At::Body, &["context"]).map_err(malformed)?;
    match fields.take("context") {
        None => Ok(Vec::new()),
        Some(Json::Object(context)) => Ok(context),
        Some(other) => Err(fields.wrong("context", "an object", &other)),
    }
}

/// The unit, which must be there.
fn unit<'a>(context: &Object<'a>) -> Result<Json<'a>, Problem> {
    let given = context
        .iter()
        .find(|(key, _)| key == TARGETING_KEY)
        .map(|(_, value)| value);
    let field = || format!("context.{TARGETING_KEY}");
    match given {
        None | Some(Json::Null) => {}
        Some(Json::Text(text)) if text.is_empty() => {}
        Some(unit @ Json::Text(text)) => {
            let checked = UnitId::new(text.as_ref()).map_err(|cause| Problem::invalid_id(field(), &cause));
            return checked.map(|_| unit.clone());
        }
        Some(other) => {
            let detail = format!("`{TARGETING_KEY}` is {}; expected a text", other.describe());
            return Err(Problem::invalid(field(), detail));
        }
    }
    Err(Problem::invalid(
        TARGETING_KEY,
        format!("the context has no `{TARGETING_KEY}`; give the unit that is decided for"),
    ))
}

/// The request for a decision that an evaluation is, and the keys of the context that it does not use.
fn asked<'a>(
    app: &App,
    strategy: &'a Strategy,
    context: Object<'a>,
) -> Result<(DecideRequest<'a>, Vec<String>), Problem> {
    let unit = unit(&context)?;
    let declared = &strategy.blueprint().context;
    let (used, rest): (Object<'a>, Object<'a>) = context
        .into_iter()
        .partition(|(key, _)| declared.iter().any(|field| *field.name == **key));
    let ignored = rest.into_iter().map(|(key, _)| key.into_owned());
    let ignored = ignored.filter(|key| key != TARGETING_KEY).collect();
    let body = Json::Object(vec![
        ("strategy".into(), Json::Text(strategy.name.as_ref().into())),
        ("unit".into(), unit),
        ("context".into(), Json::Object(used)),
    ]);
    let request = DecideRequest::read(body, At::Body, app.limits.event_times)?;
    Ok((request, ignored))
}

/// A decision as the protocol writes it.
fn success(strategy: &Strategy, decided: &Decided<'_>, ignored: &[String]) -> Result<Value, Problem> {
    let (value, variant) = match (&strategy.blueprint().decision, &decided.action, decided.value) {
        (DecisionKind::YesNo { .. }, Some(action), _) => (json!(action == "yes"), action.to_string()),
        (_, Some(action), _) => (json!(action), action.to_string()),
        (_, None, Some(number)) => {
            let by_model = decided.model_version.filter(|_| decided.reason != "fallback");
            let variant = by_model.map_or("default".to_owned(), |version| format!("model-{version}"));
            (json!(number), variant)
        }
        (_, None, None) => return Err(Problem::Internal),
    };
    let reason = match &*decided.reason {
        "exploit" | "apprentice" => "TARGETING_MATCH",
        "explore" => "SPLIT",
        "no_model" | "capped" | "default" => "DEFAULT",
        "fallback" => "ERROR",
        _ => "UNKNOWN",
    };
    let mut metadata = Map::new();
    metadata.insert("decision_id".into(), json!(decided.decision_id));
    metadata.insert("propensity".into(), json!(decided.propensity));
    metadata.insert("reason".into(), json!(decided.reason));
    metadata.insert("blueprint_version".into(), json!(decided.blueprint_version));
    if let Some(version) = decided.model_version {
        metadata.insert("model_version".into(), json!(version));
    }
    for (name, words) in [
        ("missing_features", decided.missing_features.as_slice()),
        ("ignored_context", ignored),
    ] {
        if !words.is_empty() {
            metadata.insert(name.into(), json!(words.join(",")));
        }
    }
    Ok(json!({
        "key": &*strategy.name,
        "value": value,
        "variant": variant,
        "reason": reason,
        "metadata": metadata,
    }))
}

/// A strategy as the tag names it.
struct Tagged<'a> {
    strategy: &'a Strategy,
    /// The model that is to decide. Another one does, or none, when it is not loaded in time, cannot be, or is swapped
    /// after the tag was made: then the tag does not stand for what was decided.
    model_version: Option<u32>,
}

impl<'a> Tagged<'a> {
    fn of(hosted: &'a Arc<Hosted>) -> Self {
        Self {
            strategy: hosted.plain(),
            model_version: hosted.model_version().map(|version| version.0),
        }
    }
}

/// The tag of all flags for a context, whatever the order of its keys.
fn entity_tag(flags: &[Tagged<'_>], context: &Object<'_>) -> String {
    let mut hash = Sha256::new();
    for Tagged {
        strategy,
        model_version,
    } in flags
    {
        let version = model_version.unwrap_or_default();
        let step = strategy.regime.step().map_or("", LadderStep::as_str);
        for text in [
            &*strategy.name,
            strategy.bundle.applied().version.as_str(),
            &version.to_string(),
            step,
        ] {
            hash.update(text.as_bytes());
            hash.update([0]);
        }
    }
    let mut keys: Vec<String> = context
        .iter()
        .map(|(key, value)| format!("{key:?}:{value:?}"))
        .collect();
    keys.sort_unstable();
    for key in keys {
        hash.update(key.as_bytes());
        hash.update([0]);
    }
    let hex: String = hash
        .finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// True when the caller holds what the tag stands for.
fn matches(request: &HttpRequest, tag: &str) -> bool {
    request
        .headers()
        .get_all(IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|one| one.trim().trim_start_matches("W/") == tag)
}
