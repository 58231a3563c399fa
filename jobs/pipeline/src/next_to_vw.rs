//! The whole loop next to Vowpal Wabbit on the same stream: decide with the kernel, log, train as the job does, go live
//! when judged so. A measurement, which `just bench-policies` runs.
//!
//! The stream is the restaurant of `lakeloop-world`: twelve dishes, seven context features of three types, rewards that are
//! products of bumps and steps. Every decision counts from the first one on. Labels are known at the next training; VW
//! learns from each before the next decision.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lakeloop_decide::{Bundle, Model, Scratch, decide};
use lakeloop_domain::{
    AppliedBlueprint, FeatureType, FeatureValue, Features, ModelMetrics, ModelRecord, ModelStage, ModelVersion,
    NamedValue, Provenance, TrainingSetId,
};
use lakeloop_world::{DISHES, MenuWorld, Visit};

use crate::fit::{Work, fit_unfollowed};
use crate::promote::{Verdict, judge};
use crate::simulated::{Row, applied, training_data, training_rows, work};
use crate::training_set::TrainingData;
use crate::winner::Winner;

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const N_DECISIONS: usize = 20_000;

/// The first training has as many rows as a blueprint asks for that says nothing; each later one a quarter more.
const FIRST_TRAINING: usize = 200;

const MENU: &str = include_str!("../../../config/blueprints/menu.toml");

/// The example blueprint with another policy, fewer trials, and outcomes that are known at once.
fn blueprint(policy: &str) -> AppliedBlueprint {
    let replaced = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "the example has {from}");
        text.replacen(from, to, 1)
    };
    let text = replaced(
        MENU.to_owned(),
        "kind = \"epsilon_greedy\"\nepsilon = 0.1\n",
        &format!("{policy}\n"),
    );
    let text = replaced(text, "window = \"30m\"", "window = \"1us\"");
    let text = replaced(text, "max_latency = \"50us\"", "max_latency = \"1s\"");
    applied(&replaced(text, "trials = 12", "trials = 4"))
}

fn features(applied: &AppliedBlueprint, visit: &Visit) -> Features {
    let value_of = |name: &str| match visit.context.get(name) {
        Some(serde_json::Value::Number(number)) => FeatureValue::Number(number.as_f64().unwrap()),
        Some(serde_json::Value::Bool(flag)) => FeatureValue::Boolean(*flag),
        Some(serde_json::Value::String(text)) => FeatureValue::Category(text.clone()),
        _ => FeatureValue::Missing,
    };
    let each = applied.blueprint.model_features();
    each.map(|(name, feature_type): (_, FeatureType)| NamedValue {
        name: Arc::clone(name),
        feature_type,
        value: value_of(name),
    })
    .collect()
}

fn record(applied: &AppliedBlueprint, data: &TrainingData, winner: Winner, version: u32) -> ModelRecord {
    ModelRecord {
        strategy: applied.blueprint.name.clone(),
        version: ModelVersion(version),
        stage: ModelStage::Live,
        stage_reason: String::new(),
        stage_changed_at: 0,
        registered_at: 0,
        target: winner.target,
        action_is_feature: applied.blueprint.action_is_feature(),
        encoding: winner.encoding,
        calibration: winner.calibration,
        prediction_interval: winner.interval,
        uncertainty: winner.uncertainty,
        artifact: winner.artifact,
        metrics: ModelMetrics {
            metric: String::new(),
            value: winner.value,
            baseline: winner.baseline,
            n_train_rows: data.train().len() as u64,
            n_validation_rows: data.validation().len() as u64,
            artifact_bytes: 0,
            latency_p50_us: winner.latency.p50_us,
            latency_p99_us: winner.latency.p99_us,
            parity_max_abs: winner.parity_max_abs,
        },
        provenance: Provenance {
            blueprint_version: applied.version.clone(),
            training_set_id: TrainingSetId::new("set").unwrap(),
            table_versions: Vec::new(),
            parameters: String::new(),
            seed: 0,
        },
    }
}

/// A training as the job makes it: the new live model, or none when it is judged to stay a candidate.
fn train(
    applied: &AppliedBlueprint,
    log: &[(Features, usize, bool)],
    live: Option<&ModelRecord>,
) -> Option<ModelRecord> {
    let names: Vec<&'static str> = ["age", "budget", "city", "device", "hour", "spicy", "vegetarian"].to_vec();
    let mut logged = log.iter();
    let rows = training_rows(applied, log.len(), 0, |_| {
        let (features, action_idx, ordered) = logged.next().unwrap();
        let value_of = |name: &&'static str| {
            let found = features.iter().find(|feature| &*feature.name == *name).unwrap();
            (*name, found.value.clone())
        };
        Row {
            values: names.iter().map(value_of).collect(),
            action: Some(DISHES[*action_idx].to_owned()),
            label: f64::from(u8::from(*ordered)),
        }
    });
    let data = training_data(applied, rows);
    let work = Work {
        live,
        seed: 7,
        ..work(applied, &data)
    };
    let winner = fit_unfollowed(&work).ok()?.winner?;
    let goes_live = matches!(
        judge(&winner.facts, applied.blueprint.training.must_beat()),
        Verdict::GoLive { .. }
    );
    let version = live.map_or(1, |live| live.version.0 + 1);
    goes_live.then(|| record(applied, &data, winner, version))
}

/// The mean reward of the whole stream.
fn play(policy: &str, visits: &[Visit]) -> f64 {
    let applied = blueprint(policy);
    let mut bundle = Bundle::new(applied.clone(), None).unwrap();
    let mut scratch = Scratch::new();
    let (mut live, mut next_training) = (None, FIRST_TRAINING);
    let mut log: Vec<(Features, usize, bool)> = Vec::new();
    for (idx, visit) in visits.iter().enumerate() {
        if idx == next_training {
            if let Some(record) = train(&applied, &log, live.as_ref()) {
                bundle = Bundle::new(applied.clone(), Some(Model::from_record(&record).unwrap())).unwrap();
                live = Some(record);
            }
            next_training += next_training / 4;
        }
        let features = features(&applied, visit);
        let decision = decide(&bundle, &features, &format!("d-{idx}"), &mut scratch);
        let action = decision.action(&bundle).unwrap();
        let action_idx = DISHES.iter().position(|dish| *dish == action).unwrap();
        log.push((features, action_idx, visit.orders(action)));
    }
    log.iter().filter(|(_, _, ordered)| *ordered).count() as f64 / log.len() as f64
}

fn write_stream(path: &Path, visits: &[Visit]) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for visit in visits {
        let rewards: Vec<u8> = DISHES.iter().map(|dish| u8::from(visit.orders(dish))).collect();
        let line = serde_json::json!({ "context": visit.context, "actions": DISHES, "rewards": rewards });
        writeln!(file, "{line}").unwrap();
    }
}

fn vw(python: &str, stream: &Path, seed: u64, options: &[&str]) -> f64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bench/vw.py");
    let mut command = Command::new(python);
    let command = command.arg(script).arg(stream).arg(seed.to_string()).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement: needs Vowpal Wabbit"]
#[allow(clippy::print_stdout)]
fn reward_of_a_whole_stream_next_to_vowpal_wabbit() {
    let Ok(python) = std::env::var("LAKELOOP_VW_PYTHON") else {
        println!("skipped: LAKELOOP_VW_PYTHON names no Python that has vowpalwabbit");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let policies = [
        ("epsilon_greedy", "kind = \"epsilon_greedy\"\nepsilon = 0.1"),
        ("epsilon_decreasing", "kind = \"epsilon_decreasing\""),
        ("thompson", "kind = \"thompson\""),
    ];
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); policies.len()];
    for seed in SEEDS {
        let mut world = MenuWorld::new(seed);
        let visits: Vec<Visit> = (0..N_DECISIONS).map(|_| world.next_visit()).collect();
        let oracle = visits.iter().filter(|visit| visit.orders(visit.best_dish())).count() as f64 / N_DECISIONS as f64;
        let stream = folder.path().join("stream.ndjson");
        write_stream(&stream, &visits);
        let plain = vw(&python, &stream, seed, &[]);
        let crossed = vw(&python, &stream, seed, &["-q", "ua"]);
        println!("seed {seed}: oracle {oracle:.4}, vw {plain:.4}, vw with -q ua {crossed:.4}");
        for ((name, policy), ratios) in policies.iter().zip(&mut ratios) {
            let ours = play(policy, &visits);
            println!("seed {seed}: {name} {ours:.4}");
            // Against the better of the two.
            ratios.push(ours / plain.max(crossed));
        }
    }
    for ((name, _), ratios) in policies.iter().zip(&mut ratios) {
        let middle = median(ratios);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        // VW's default explores by epsilon-greedy, so that is what its default is compared with.
        if *name == "epsilon_greedy" {
            println!("figure reward_vs_vw {middle:.4} ratio");
        }
        println!("figure reward_vs_vw_{name} {middle:.4} ratio");
        println!("{name}: from {least:.4} to {most:.4} over {} seeds", ratios.len());
    }
}
