//! Measures what an append costs as its table grows: `cargo run -p lakeloop-lake --example append_cost -- 500`.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use lakeloop_domain::*;
use lakeloop_lake::{Lake, TableName, WriterSequence, rows};

fn decision(idx: u64) -> DecisionRecord {
    let features = (0..12).map(|column| NamedValue {
        name: format!("feature_{column}").into(),
        feature_type: FeatureType::Number,
        value: FeatureValue::Number((idx * 7 + column) as f64 / 3.0),
    });
    DecisionRecord {
        decision_id: DecisionId::new(format!("decision-{idx}")).unwrap(),
        strategy: StrategyName::new("menu").unwrap(),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: Some(ModelVersion(1)),
        unit: UnitId::new(format!("unit-{}", idx % 1000)).unwrap(),
        event_time: 1_704_067_200_000_000 + idx as i64 * 1000,
        received_at: 1_704_067_200_000_000 + idx as i64 * 1000,
        features: features.collect(),
        feature_versions: vec![],
        actions: vec!["no".to_owned(), "yes".to_owned()],
        scores: vec![0.25],
        choice: Choice::Action("no".to_owned()),
        propensity: 1.0,
        reason: DecisionReason::Exploit,
        policy: Some(Policy::Threshold { at: 0.5 }),
        salt: "menu:0123456789abcdef".to_owned(),
        conditions: Default::default(),
    }
}

#[tokio::main]
async fn main() {
    let n_appends: u64 = std::env::args().nth(1).map_or(500, |text| text.parse().unwrap());
    let n_rows = 1000;
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().to_str().unwrap();
    let lake = Lake::open(location, Default::default()).await.unwrap();
    let mut costs_us = Vec::new();
    for append in 0..n_appends {
        let decisions: Vec<_> = (append * n_rows..(append + 1) * n_rows).map(decision).collect();
        let writer = WriterSequence {
            app_id: "journal".to_owned(),
            version: append as i64,
        };
        let began = Instant::now();
        let batch = rows::decisions_to_batch(&decisions).unwrap();
        let _ = lake
            .append(&TableName::Decisions, vec![batch], Some(writer))
            .await
            .unwrap();
        costs_us.push(began.elapsed().as_micros());
    }
    for (idx, hundred) in costs_us.chunks(100).enumerate() {
        let mut sorted = hundred.to_vec();
        sorted.sort_unstable();
        let (median, slowest) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
        println!(
            "appends {:>5} to {:>5}: median {median:>7} us, slowest {slowest:>7} us",
            idx * 100,
            idx * 100 + hundred.len()
        );
    }
    let timed = |what: &str, began: Instant| println!("{what}: {} us", began.elapsed().as_micros());
    let began = Instant::now();
    let reopened = Lake::open(location, Default::default()).await.unwrap();
    timed("open", began);
    let began = Instant::now();
    let _ = reopened.table(&TableName::Decisions).await.unwrap();
    timed("table", began);
    let began = Instant::now();
    let done = reopened.compact(&TableName::Decisions).await.unwrap();
    timed("compact", began);
    println!("{done:?}");
}
