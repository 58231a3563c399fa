//! Decisions are made again from the lake: what decided is found by its version, and what was changed is named.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ops::ControlFlow;

use lakeloop_decide::{Asked, Bundle, Model, Scratch, decide, record};
use lakeloop_domain::{
    AppliedBlueprint, BlueprintVersion, Choice, DecisionId, DecisionRecord, FeatureValue, Features, JobKind,
    ModelStage, ModelVersion, NamedValue, RunState, StageMove, UnitId,
};
use lakeloop_lake::rows::decisions_to_batch;
use lakeloop_lake::{Append, TableName, registry};
use lakeloop_pipeline::{PipelineError, ReplayReport, RunEnd, replay_decisions, run_job};
use lakeloop_sql::{DecisionRange, DecisionRows};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, MINUTE, apply, number, yes_no};

const DISH: &str = r#"
name = "dish"
description = "Which dish?"
unit = "user"
decision = { kind = "choose", actions = ["soup", "stew", "salad"], default = "soup" }
outcome = { event = "ordered", aggregation = "any", window = "2m", absent = 0 }
context = { spicy = { type = "number", missing = "allowed" }, hungry = "boolean" }
policy = { kind = "epsilon_greedy", epsilon = 0.3 }
schedule = { minimum_rows = 100, trials = 2 }
"#;
const DAY: i64 = 24 * 60 * MINUTE;

/// Stew is ordered by those who like it spicy, salad by those who do not; imported history to learn from.
fn visit(rng: &mut ChaCha8Rng) -> Case {
    let spicy = number(rng);
    let action = ["soup", "stew", "salad"][rng.random_range(0..3)];
    let likes = spicy.as_number().unwrap_or(0.5);
    let probability = match action {
        "stew" => likes,
        "salad" => 1.0 - likes,
        _ => 0.1,
    };
    Case {
        values: vec![
            ("spicy", spicy),
            ("hungry", FeatureValue::Boolean(rng.random_bool(0.5))),
        ],
        choice: Choice::Action(action.into()),
        outcome: yes_no(rng.random_bool(probability)),
    }
}

/// Decides as a server does: by the blueprint and the live model, logged with all that decided.
async fn decide_some(home: &Home, applied: &AppliedBlueprint, prefix: &str, at: i64, n: usize) -> Vec<DecisionRecord> {
    let live = registry::live(&home.lake).await.unwrap().pop();
    let model = live.as_ref().map(|live| Model::from_record(live).unwrap());
    let bundle = Bundle::new(applied.clone(), model).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut scratch = Scratch::new();
    (0..n)
        .map(|idx| {
            let values = visit(&mut rng).values;
            let value_of = |name: &str| values.iter().find(|(known, _)| *known == name).unwrap().1.clone();
            let features: Features = applied
                .blueprint
                .model_features()
                .map(|(name, feature_type)| NamedValue {
                    name: name.clone(),
                    feature_type,
                    value: value_of(name),
                })
                .collect();
            let id = DecisionId::new(format!("{prefix}{idx:05}")).unwrap();
            let decision = decide(&bundle, &features, id.as_str(), &mut scratch);
            let asked = Asked {
                decision_id: id,
                unit: UnitId::new(format!("u{idx}")).unwrap(),
                event_time: at + idx as i64,
                received_at: at + idx as i64,
                features: features.clone(),
                feature_versions: Vec::new(),
                candidates: Vec::new(),
            };
            record(&bundle, asked, &decision)
        })
        .collect()
}

async fn log(home: &Home, decisions: &[DecisionRecord]) {
    for part in decisions.chunks(decisions.len().div_ceil(3).max(1)) {
        let batch = decisions_to_batch(part).unwrap();
        let appended = home.lake.append(&TableName::Decisions, vec![batch], None).await;
        assert!(matches!(appended.unwrap(), Append::Committed { .. }));
    }
}

/// A home with 600 imported decisions and 900 of its own: before there was a model, by a model that has retired since, and
/// by another blueprint. Compacted. Returns the instant after the last of them.
async fn lived() -> (Home, i64) {
    let home = Home::new(DISH, "").await;
    let closed = home.live_through(600, 1, visit).await;
    let first = home.applied.clone();
    log(&home, &decide_some(&home, &first, "a", closed, 300).await).await;

    let trained = home.train(closed).await.unwrap();
    assert_eq!(trained.model, Some(ModelVersion(1)), "{}", trained.detail);
    let promote = StageMove {
        strategy: home.strategy().clone(),
        version: ModelVersion(1),
        to: ModelStage::Live,
        reason: "a test".to_owned(),
    };
    let _ = registry::move_stage(&home.lake, &promote, closed).await.unwrap();
    let by_model = decide_some(&home, &first, "b", closed + MINUTE, 300).await;
    assert!(by_model.iter().all(|decision| decision.scores.len() == 3));
    log(&home, &by_model).await;
    let retire = StageMove {
        to: ModelStage::Retired,
        ..promote
    };
    let _ = registry::move_stage(&home.lake, &retire, closed).await.unwrap();
    let second = apply(&home.lake, &DISH.replace("epsilon = 0.3", "epsilon = 0.7")).await;
    log(&home, &decide_some(&home, &second, "c", closed + 2 * MINUTE, 300).await).await;
    assert_eq!(home.lake.compact(&TableName::Decisions).await.unwrap().n_files_added, 1);
    (home, closed + 3 * MINUTE)
}

async fn replay(home: &Home, which: &DecisionRows, n_sample: Option<u64>) -> ReplayReport {
    let go_on = |_, _| ControlFlow::Continue(());
    replay_decisions(&home.lake, which, n_sample, go_on).await.unwrap()
}

fn everything() -> DecisionRows {
    DecisionRows::Range(DecisionRange::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_comes_out_the_same_to_the_last_bit() {
    let (home, end) = lived().await;
    let all = replay(&home, &everything(), None).await;
    let expected = ReplayReport {
        n_decisions: 1500,
        n_same: 900,
        n_imported: 600,
        ..ReplayReport::default()
    };
    assert_eq!(all, expected);

    // By id, by a range, and a sample that is the same each time.
    let one = replay(&home, &DecisionRows::One(DecisionId::new("b00007").unwrap()), None).await;
    assert_eq!((one.n_decisions, one.n_same), (1, 1));
    let range = |from, until| {
        DecisionRows::Range(DecisionRange {
            strategy: Some(home.strategy().clone()),
            from,
            until,
        })
    };
    let by_model = range(Some(end - 2 * MINUTE), Some(end - MINUTE));
    assert_eq!(replay(&home, &by_model, None).await.n_same, 300);
    assert_eq!(
        replay(&home, &range(Some(end), None), None).await,
        ReplayReport::default()
    );
    let some = replay(&home, &everything(), Some(300)).await;
    assert!((200..400).contains(&some.n_decisions), "{some:?}");
    assert_eq!(replay(&home, &everything(), Some(300)).await, some);

    // The job takes the last day, and has nothing to do a day later.
    let run = run_job(&home.jobs, JobKind::Replay, None, Some(end)).await.unwrap();
    assert_eq!(run.end, RunEnd::Ran(RunState::Succeeded));
    let expected = "900 decisions of the last day came out the same to the last bit (600 imported)";
    assert_eq!(run.detail, expected);
    let run = run_job(&home.jobs, JobKind::Replay, None, Some(end + 2 * DAY))
        .await
        .unwrap();
    assert_eq!(run.end, RunEnd::Ran(RunState::Skipped), "{}", run.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_was_changed_is_found_and_named() {
    let (home, end) = lived().await;
    let applied = home.applied.clone();
    let mut changed = decide_some(&home, &applied, "changed", end, 4).await;
    changed[0].propensity = f64::from_bits(changed[0].propensity.to_bits() ^ 1);
    changed[1].model_version = Some(ModelVersion(9));
    changed[2].blueprint_version =
        BlueprintVersion::new("f".repeat(changed[2].blueprint_version.as_str().len())).unwrap();
    let Choice::Action(action) = &mut changed[3].choice else {
        panic!("a dish")
    };
    *action = if action == "stew" { "soup" } else { "stew" }.to_owned();
    log(&home, &changed).await;

    let mut found = replay(&home, &everything(), None).await;
    assert_eq!((found.n_same, found.n_differing), (900, 4));
    found.differences.sort_by(|a, b| a.decision_id.cmp(&b.decision_id));
    let named: Vec<_> = found
        .differences
        .iter()
        .map(|difference| (difference.decision_id.as_str(), difference.field))
        .collect();
    let expected = [
        ("changed00000", "propensity"),
        ("changed00001", "model_version"),
        ("changed00002", "blueprint_version"),
        ("changed00003", "choice"),
    ];
    assert_eq!(named, expected);
    assert_eq!(
        (
            found.differences[1].logged.as_str(),
            found.differences[1].replayed.as_str()
        ),
        ("9", "not in the lake")
    );
    // Numbers are shown so that the last bit is seen.
    assert_ne!(found.differences[0].logged, found.differences[0].replayed);

    let failed = run_job(&home.jobs, JobKind::Replay, None, Some(end + MINUTE))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &failed,
            PipelineError::Replay {
                n_differing: 4,
                n_decisions: 1504,
                ..
            }
        ),
        "{failed}"
    );
    let logged = home
        .ask("SELECT state, detail FROM latest_job_runs WHERE job = 'replay'")
        .await;
    assert!(
        logged[0].starts_with("failed|4 of 1504 decisions came out different") && logged[0].contains("`changed0000"),
        "{logged:?}"
    );
}
