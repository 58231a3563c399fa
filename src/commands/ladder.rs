//! `lakeloop ladder`: where strategies stand while little is known, and how well their models know the caller's rule.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use lakeloop_domain::StrategyName;
use lakeloop_lake::Lake;
use lakeloop_pipeline::standings;
use lakeloop_sql::{Pins, Query, session};
use serde_json::{Value, json};

use crate::arguments::LadderArguments;
use crate::home;
use crate::instant;
use crate::output::Output;

/// How often a model would have chosen the rule's action.
#[derive(Debug, Clone, Copy, Default)]
struct Agreement {
    model_version: i64,
    n_decisions: i64,
    n_agreeing: i64,
}

impl Agreement {
    /// The share; `None` where nothing could be compared.
    fn share(self) -> Option<f64> {
        (self.n_decisions > 0).then(|| self.n_agreeing as f64 / self.n_decisions as f64)
    }
}

/// Lists the strategies that have a ladder.
pub async fn run(home: &Path, args: &LadderArguments, output: &Output) -> anyhow::Result<()> {
    let (_, lake) = home::open(home).await?;
    let only = args.strategy.as_deref().map(StrategyName::new).transpose()?;
    let mut standings = standings(&lake, home::now()).await?;
    if let Some(only) = &only {
        standings.retain(|standing| standing.strategy == *only);
        anyhow::ensure!(
            !standings.is_empty(),
            "no strategy `{only}` with a ladder is in force; `lakeloop ladder` shows which are"
        );
    }
    let agreements = agreements(&lake).await?;
    let rows: Vec<Vec<Value>> = standings
        .iter()
        .map(|standing| {
            let latest = standing.latest.as_ref();
            let agreement = agreements.get(standing.strategy.as_str()).copied().unwrap_or_default();
            let next = standing.ladder.next_gate(&standing.counts);
            vec![
                json!(standing.strategy),
                json!(standing.step.as_str()),
                json!(latest.map(|latest| instant::text(latest.moved_at))),
                json!(latest.map(|latest| &latest.moved_by)),
                json!(latest.map(|latest| &latest.reason)),
                json!(next.map(|gate| gate.to_string())),
                json!(agreement.share()),
                json!(agreement.n_decisions),
                json!((agreement.n_decisions > 0).then_some(agreement.model_version)),
            ]
        })
        .collect();
    output.rows(
        &[
            "strategy",
            "step",
            "since",
            "moved_by",
            "reason",
            "next",
            "agreement",
            "compared",
            "model",
        ],
        &rows,
    )
}

/// By strategy, the agreement of the latest model that could be compared.
async fn agreements(lake: &Lake) -> anyhow::Result<BTreeMap<String, Agreement>> {
    let (ctx, _) = session(lake, &Pins::default()).await?;
    let mut agreements: BTreeMap<String, Agreement> = BTreeMap::new();
    for batch in Query::APPRENTICE_AGREEMENT.run(&ctx, &[]).await? {
        let column = |name: &str, to: &DataType| {
            let found = batch
                .column_by_name(name)
                .with_context(|| format!("no column {name}"))?;
            anyhow::Ok(cast(found, to)?)
        };
        let strategies = column("strategy", &DataType::Utf8)?;
        let [versions, n_decisions, n_agreeing] =
            ["model_version", "n_decisions", "n_agreeing"].map(|name| column(name, &DataType::Int64));
        let (versions, n_decisions, n_agreeing) = (versions?, n_decisions?, n_agreeing?);
        for row in 0..batch.num_rows() {
            let number = |array: &arrow::array::ArrayRef| array.as_primitive::<Int64Type>().value(row);
            let strategy = strategies.as_string::<i32>().value(row).to_owned();
            let version = number(&versions);
            let agreement = agreements.entry(strategy).or_default();
            if version > agreement.model_version {
                *agreement = Agreement {
                    model_version: version,
                    ..Agreement::default()
                };
            }
            if version == agreement.model_version {
                agreement.n_decisions += number(&n_decisions);
                agreement.n_agreeing += number(&n_agreeing);
            }
        }
    }
    Ok(agreements)
}
