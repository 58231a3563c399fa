//! Owns `GET /v1/strategies` and `GET /v1/models`: what is in force here, and what the registry holds.

use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use chrono::{DateTime, SecondsFormat};
use lakeloop_domain::{DecisionKind, LadderStep, Micros, Policy};
use lakeloop_sql::{Pins, Query};
use serde::Serialize;

use crate::hosting::Hosted;
use crate::problem::Problem;
use crate::state::App;

#[derive(Serialize)]
struct StrategyItem<'a> {
    strategy: &'a str,
    description: &'a str,
    unit: &'a str,
    decision: &'a DecisionKind,
    context: Vec<ContextItem<'a>>,
    features: Vec<&'a str>,
    outcome: &'a str,
    policy: &'a Policy,
    blueprint_version: &'a str,
    applied_at: String,
    model_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<LadderStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caps_known: Option<bool>,
}

#[derive(Serialize)]
struct ContextItem<'a> {
    name: &'a str,
    r#type: &'static str,
    missing_allowed: bool,
}

#[derive(Serialize)]
struct StrategyList<'a> {
    strategies: Vec<StrategyItem<'a>>,
}

impl<'a> StrategyItem<'a> {
    fn of(hosted: &'a Hosted) -> Self {
        let strategy = hosted.plain();
        let applied = strategy.bundle.applied();
        let blueprint = &applied.blueprint;
        let sent = blueprint.context.iter().filter(|field| field.is_sent());
        let context = sent.map(|field| ContextItem {
            name: &field.name,
            r#type: field.type_word(),
            missing_allowed: field.missing_allowed,
        });
        let columns = blueprint.features.iter().flat_map(|view| &view.columns);
        Self {
            strategy: &strategy.name,
            description: &blueprint.description,
            unit: &blueprint.unit,
            decision: &blueprint.decision,
            context: context.collect(),
            features: columns.map(|column| column.name.as_ref()).collect(),
            outcome: &blueprint.outcome.event,
            policy: &blueprint.policy,
            blueprint_version: applied.version.as_str(),
            applied_at: rfc3339(applied.applied_at),
            model_version: hosted.model_version().map(|version| version.0),
            step: strategy.regime.step(),
            caps_known: strategy.regime.caps.as_ref().map(|caps| caps.is_known()),
        }
    }
}

/// The strategies that this server decides with, as it would decide now.
pub(crate) fn strategies(app: &App) -> Result<Vec<u8>, Problem> {
    let strategies = app.strategies.load();
    let sorted = strategies.sorted();
    let list = StrategyList {
        strategies: sorted.iter().map(|strategy| StrategyItem::of(strategy)).collect(),
    };
    serde_json::to_vec(&list).map_err(|error| Problem::internal("write an answer", &error))
}

/// Every model of the registry with its stage, quality and cost, read from the lake.
pub(crate) async fn models(app: &App) -> Result<Vec<u8>, Problem> {
    let doing = "list the models";
    let session = lakeloop_sql::session(&app.lake, &Pins::default()).await;
    let (session, _) = session.map_err(|error| Problem::lake(doing, &error))?;
    let batches = Query::CURRENT_MODELS.run(&session, &[]).await;
    let batches = batches.map_err(|error| Problem::lake(doing, &error))?;
    let mut answer = br#"{"models":"#.to_vec();
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, JsonArray>(&mut answer);
    for batch in &batches {
        writer.write(batch).map_err(|error| Problem::internal(doing, &error))?;
    }
    writer.finish().map_err(|error| Problem::internal(doing, &error))?;
    drop(writer);
    answer.push(b'}');
    Ok(answer)
}

/// An instant as answers write it.
fn rfc3339(micros: Micros) -> String {
    DateTime::from_timestamp_micros(micros)
        .map(|instant| instant.to_rfc3339_opts(SecondsFormat::Micros, true))
        .unwrap_or_default()
}
