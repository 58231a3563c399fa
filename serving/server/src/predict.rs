//! Owns `POST /v1/predict`: the raw scores of the live model, without a decision; nothing is logged.
//!
//! A row holds context fields, as a decide request's context does, and two more keys that are optional: `action`, one of
//! the declared actions, and `unit`, needed only where a feature view is looked up by unit. A row of a strategy that ranks
//! is one candidate, and holds its fields besides those of the context. Features of the lake are
//! looked up as of now. A row's scores are what the model gives: one for binary and regression models, one for each
//! class of a multi-class model. Where the action is a feature, they are the score of the row's `action`, or of every
//! action in declared order when the row has none.

use std::borrow::Cow;

use lakeloop_decide::{Model, Scratch};
use lakeloop_domain::{Micros, NamedValue, UnitId};

use crate::context::{self, Places};
use crate::fields::{At, words};
use crate::json::{Json, Object};
use crate::problem::{Missing, Problem, Unavailable};
use crate::request;
use crate::state::{App, Strategy};
use crate::wire::{PredictAnswer, PredictRequest};

/// Answers one body.
pub(crate) async fn predict(app: &App, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let request = PredictRequest::read(Json::parse(body)?)?;
    let rows = request.rows.into_iter().enumerate();
    let rows = rows.map(|(idx, row)| (At::Item { list: "rows", idx }, row));
    let strategy = app.strategy(&request.strategy).await?;
    let answer = scores(app, &strategy, rows).await?;
    serde_json::to_vec(&answer).map_err(|error| Problem::internal("write an answer", &error))
}

/// The live model of a strategy; a problem when there is none, or it is not in memory yet.
pub(crate) fn live_model<'s>(app: &App, strategy: &'s Strategy) -> Result<&'s Model, Problem> {
    strategy.bundle.model().ok_or_else(|| no_model(app, &strategy.name))
}

/// Scores rows by the live model of a strategy: `[n_rows]`, each with as many scores as its row asks for.
pub(crate) async fn scores<'a>(
    app: &App,
    strategy: &Strategy,
    rows: impl Iterator<Item = (At, Json<'a>)>,
) -> Result<PredictAnswer, Problem> {
    request::concerns(&strategy.name);
    let now = (app.clock)();
    let model = live_model(app, strategy)?;
    let mut read = Vec::with_capacity(rows.size_hint().0);
    for (at, json) in rows {
        read.push(Row::read(app, strategy, json, at, now).await?);
    }
    let mut scratch = Scratch::new();
    let scores = read
        .iter()
        .map(|row| row.scores(model, strategy.bundle.actions(), &mut scratch))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(PredictAnswer {
        model_version: model.version().0,
        scores,
    })
}

/// Why a strategy has no model to predict with: none is live, or it is not in memory yet.
fn no_model(app: &App, strategy: &str) -> Problem {
    let live = app
        .strategies
        .load()
        .find(strategy)
        .and_then(|hosted| hosted.model_version());
    match live {
        None => Problem::NotFound {
            kind: Missing::Model,
            detail: format!("strategy `{strategy}` has no live model that can serve; train one"),
        },
        Some(version) => Problem::Unavailable {
            cause: Unavailable::Server,
            detail: format!("model {version} of strategy `{strategy}` is being loaded; try again"),
        },
    }
}

/// One row to score.
struct Row {
    at: At,
    features: Vec<NamedValue>,
    action: Option<String>,
}

impl Row {
    async fn read(app: &App, strategy: &Strategy, json: Json<'_>, at: At, now: Micros) -> Result<Self, Problem> {
        let Json::Object(mut context) = json else {
            let detail = format!("{} is {}; expected an object", at.object(), json.describe());
            return Err(Problem::invalid(at.object(), detail));
        };
        let action = take_text(&mut context, "action", at)?;
        if let Some(action) = &action
            && !strategy.bundle.actions().contains(action)
        {
            let known = words(strategy.bundle.actions().iter().map(String::as_str));
            let detail = match known.is_empty() {
                true => format!("strategy `{}` has no actions; leave `action` out", strategy.name),
                false => format!("`{action}` is no action of `{}`; declared are {known}", strategy.name),
            };
            return Err(Problem::invalid(at.field("action"), detail));
        }
        // A context field may itself be named `unit`; then the key is that field.
        let blueprint = strategy.blueprint();
        let unit = match blueprint.context.iter().any(|field| &*field.name == "unit") {
            true => None,
            false => take_text(&mut context, "unit", at)?,
        };
        let unit = unit
            .map(|unit| UnitId::new(unit).map_err(|cause| Problem::invalid_id(at.field("unit"), &cause)))
            .transpose()?;
        let path = |name: &str| at.field(name);
        // A row of a ranking is one candidate with what it shares with the others.
        let declared = match blueprint.ranks() {
            true => Cow::Owned([blueprint.context.as_slice(), &blueprint.candidates].concat()),
            false => Cow::Borrowed(blueprint.context.as_slice()),
        };
        let unknown_places = Places::default();
        let places = if blueprint.ranks() {
            &unknown_places
        } else {
            &strategy.places
        };
        let values = context::values(&declared, places, &context, now, &path)?;
        let mut features = context::named(&declared, &values, strategy.n_lake_features());
        if !strategy.views.is_empty() {
            let unit = unit.as_ref().map(UnitId::as_str);
            app.features.extend(&strategy.views, unit, now, &mut features).await;
        }
        Ok(Self { at, features, action })
    }

    fn scores(&self, model: &Model, actions: &[String], scratch: &mut Scratch) -> Result<Vec<f64>, Problem> {
        let mut score = |action: Option<&str>| {
            let scored = model.score_features(&self.features, action, scratch);
            scored.map(<[f64]>::to_vec).map_err(|failure| {
                Problem::invalid(self.at.object(), format!("the model cannot score this row: {failure}"))
            })
        };
        match &self.action {
            None if model.action_is_feature() => {
                let each = actions.iter().map(|action| score(Some(action)));
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
            action => score(action.as_deref()),
        }
    }
}

/// Takes a key that is not a context field out of a row.
fn take_text(row: &mut Object<'_>, name: &str, at: At) -> Result<Option<String>, Problem> {
    let Some(idx) = row.iter().position(|(key, _)| key == name) else {
        return Ok(None);
    };
    match row.remove(idx).1 {
        Json::Null => Ok(None),
        Json::Text(text) => Ok(Some(text.into_owned())),
        other => {
            let detail = format!("`{name}` is {}; expected a text", other.describe());
            Err(Problem::invalid(at.field(name), detail))
        }
    }
}
