//! Training from logged decisions to the registry, for each kind of decision and outcome.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Bundle, Model, Scratch, decide};
use lakeloop_domain::{
    Calibration, Choice, FeatureType, FeatureValue, JobKind, LearningTarget, ModelRecord, ModelStage, ModelVersion,
    NamedValue, OutcomeValue, RunState,
};
use lakeloop_lake::artifact::packed;
use lakeloop_lake::registry;
use lakeloop_pipeline::{PARITY_TOLERANCE, RunEnd, run_job};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use support::{Case, Home, MINUTE, START, number, one_of, yes_no};

/// A yes/no decision by threshold, with every type of feature.
const LATE: &str = r#"
name = "late"
description = "Will it be late?"
unit = "flight"
decision = { kind = "yes_no", default = false }
outcome = { event = "arrived", aggregation = "last", type = "yes_no", window = "2m", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 3 }
[context]
x = { type = "number", missing = "allowed" }
noise = { type = "number", missing = "allowed" }
sunny = "boolean"
city = { type = "category", missing = "allowed" }
"#;

/// Late with a probability that grows with `x`, more so in Oslo; `is_signal` false draws labels that depend on nothing.
fn late(rng: &mut ChaCha8Rng, is_signal: bool) -> Case {
    let (x, noise, sunny) = (number(rng), number(rng), rng.random_bool(0.5));
    let city = one_of(rng, &["Oslo", "Lima", "Pune", "Rome"]);
    let base = x.as_number().unwrap_or(0.2);
    let probability = match (is_signal, city) {
        (false, _) => 0.35,
        (true, "Oslo") => 0.1 + 0.85 * base,
        (true, _) => 0.05 + 0.4 * base,
    };
    let city = if rng.random_bool(0.1) {
        FeatureValue::Missing
    } else {
        FeatureValue::Category(city.into())
    };
    Case {
        values: vec![
            ("x", x),
            ("noise", noise),
            ("sunny", FeatureValue::Boolean(sunny)),
            ("city", city),
        ],
        choice: Choice::Action("no".into()),
        outcome: yes_no(rng.random_bool(probability)),
    }
}

async fn models(home: &Home) -> Vec<ModelRecord> {
    registry::list(&home.lake, Some(home.strategy())).await.unwrap()
}

#[tokio::test]
async fn a_yes_no_decision_learns_from_numbers_booleans_categories_and_missing_values() {
    let home = Home::new(LATE, "").await;
    let closed = home.live_through(2_500, 1, |rng| late(rng, true)).await;
    let outcome = home.train(closed).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Succeeded), "{}", outcome.detail);
    assert_eq!(outcome.model, Some(ModelVersion(1)));
    assert!(
        outcome
            .detail
            .starts_with("model 1 is live: it beats a constant prediction"),
        "{}",
        outcome.detail
    );

    let model = models(&home).await.pop().unwrap();
    assert_eq!(
        (model.stage, &model.target),
        (ModelStage::Live, &LearningTarget::Binary)
    );
    assert_eq!(model.metrics.metric, "log_loss");
    assert!(
        model.metrics.value < model.metrics.baseline.unwrap() - 0.02,
        "{:?}",
        model.metrics
    );
    assert!(model.metrics.parity_max_abs <= PARITY_TOLERANCE);
    assert!(model.metrics.latency_p50_us > 0.0 && model.metrics.latency_p99_us >= model.metrics.latency_p50_us);
    assert_eq!(model.metrics.artifact_bytes, packed(&model.artifact).len() as u64);
    assert!(model.metrics.artifact_bytes * 2 < model.artifact.len() as u64);
    let columns: Vec<(&str, usize)> = model
        .encoding
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.vocabulary.len()))
        .collect();
    assert_eq!(columns, [("city", 4), ("noise", 0), ("sunny", 0), ("x", 0)]);

    let trials = home
        .ask("SELECT trial, chosen, value IS NOT NULL, error FROM trials ORDER BY trial")
        .await;
    // Three as declared, and perhaps some with fewer features.
    assert!((3..=6).contains(&trials.len()), "{trials:?}");
    assert_eq!(
        trials.iter().filter(|trial| trial.contains("|true|true|")).count(),
        1,
        "{trials:?}"
    );
    let best = home
        .ask("SELECT MAX(CASE WHEN chosen THEN value END) < 1.02 * MIN(value) FROM trials WHERE is_complete")
        .await;
    assert_eq!(
        best,
        ["true"],
        "what is chosen is within noise of the smallest log loss"
    );
}

#[tokio::test]
async fn validation_rows_are_later_than_every_train_row_and_its_window() {
    let home = Home::new(LATE, "").await;
    let closed = home.live_through(1_000, 1, |rng| late(rng, true)).await;
    let outcome = home.train(closed).await.unwrap();
    let set = outcome.training_set_id.unwrap();
    let found = home
        .ask(&format!(
            "SELECT r.split, COUNT(*), MIN(r.event_time) >= MAX(s.split_at), \
             MAX(r.event_time) + INTERVAL '2 minutes' <= MAX(s.split_at) \
             FROM training_rows AS r INNER JOIN training_sets AS s ON s.training_set_id = r.training_set_id \
             WHERE s.training_set_id = '{set}' GROUP BY r.split ORDER BY r.split"
        ))
        .await;
    // The two-minute windows of one row, at one decision a minute, were open at the split.
    assert_eq!(
        found,
        ["gap|1|false|false", "train|799|false|true", "validation|200|true|false"]
    );
    let kept = home
        .ask("SELECT n_rows, n_train_rows, n_validation_rows, label_mean > 0.2 FROM training_sets")
        .await;
    assert_eq!(kept, ["1000|799|200|true"]);
}

#[tokio::test]
async fn labels_that_depend_on_nothing_register_no_model() {
    for seed in 0..4 {
        let home = Home::new(LATE, "").await;
        let closed = home.live_through(800, seed, |rng| late(rng, false)).await;
        let outcome = home.train(closed).await.unwrap();
        assert!(models(&home).await.is_empty(), "seed {seed}: {}", outcome.detail);
        assert_eq!((outcome.end, outcome.model), (RunEnd::Ran(RunState::Succeeded), None));
        assert!(
            outcome
                .detail
                .starts_with("no model was registered: it does not beat a constant prediction beyond noise"),
            "{}",
            outcome.detail
        );
    }
}

#[tokio::test]
async fn the_same_tables_and_seed_give_the_same_model_to_the_byte() {
    let mut artifacts = Vec::new();
    for seed in [7, 7, 8] {
        let home = Home::new(LATE, &format!("[jobs]\nseed = {seed}\nthreads = 2\n")).await;
        let closed = home.live_through(2_500, 3, |rng| late(rng, true)).await;
        home.train(closed).await.unwrap();
        let model = models(&home).await.pop().unwrap();
        assert_eq!(model.provenance.seed, seed);
        artifacts.push((model.artifact, model.encoding, model.provenance.parameters));
    }
    assert!(artifacts[0] == artifacts[1]);
    assert!(artifacts[0].0 != artifacts[2].0, "another seed samples other rows");
}

#[tokio::test]
async fn a_choice_learns_which_action_suits_whom() {
    let home = Home::new(
        r#"
name = "menu"
description = "Which dish to show first"
unit = "user"
decision = { kind = "choose", actions = ["ramen", "tacos", "pizza"], default = "ramen" }
outcome = { event = "ordered", aggregation = "any", window = "30m", absent = 0 }
policy = { kind = "epsilon_greedy", epsilon = 0.0 }
schedule = { minimum_rows = 200, trials = 2 }
[context]
age = "number"
city = "category"
"#,
        "",
    )
    .await;
    // Each city likes one dish.
    let likes = [("Oslo", "ramen"), ("Lima", "tacos"), ("Rome", "pizza")];
    let next = |rng: &mut ChaCha8Rng| {
        let (city, liked) = likes[rng.random_range(0..3)];
        let shown = one_of(rng, &["ramen", "tacos", "pizza"]);
        let orders = rng.random_bool(if shown == liked { 0.6 } else { 0.1 });
        Case {
            values: vec![
                ("age", FeatureValue::Number(rng.random_range(18.0..70.0))),
                ("city", FeatureValue::Category(city.into())),
            ],
            choice: Choice::Action(shown.into()),
            outcome: orders.then_some(OutcomeValue::Number(1.0)),
        }
    };
    let closed = home.live_through(2_000, 5, next).await;
    let outcome = home.train(closed).await.unwrap();
    let record = models(&home).await.pop().unwrap();
    assert_eq!(record.stage, ModelStage::Live, "{}", outcome.detail);
    assert_eq!(record.encoding.columns[2].vocabulary, ["ramen", "tacos", "pizza"]);
    assert_eq!(record.calibration, Calibration::Identity);

    let bundle = Bundle::new(home.applied.clone(), Some(Model::from_record(&record).unwrap())).unwrap();
    for (city, liked) in likes {
        let feature = |name: &str, feature_type, value| NamedValue {
            name: name.into(),
            feature_type,
            value,
        };
        let features = [
            feature("age", FeatureType::Number, FeatureValue::Number(40.0)),
            feature("city", FeatureType::Category, FeatureValue::Category(city.into())),
        ];
        let mut scratch = Scratch::new();
        assert_eq!(
            decide(&bundle, &features, "any", &mut scratch).action(&bundle),
            Some(liked),
            "{city}"
        );
    }
}

#[tokio::test]
async fn a_number_is_learned_by_its_mean() {
    let home = Home::new(
        r#"
name = "wait"
description = "How long will it take?"
unit = "order"
decision = { kind = "number", default = 20.0 }
outcome = { event = "arrived", type = "number", aggregation = "last", window = "30m", absent = "exclude" }
schedule = { minimum_rows = 200, trials = 2 }
[context]
distance = "number"
rush = "boolean"
"#,
        "",
    )
    .await;
    let next = |rng: &mut ChaCha8Rng| {
        let (distance, rush): (f64, bool) = (rng.random_range(0.0..10.0), rng.random_bool(0.3));
        let minutes = 10.0 + 3.0 * distance + if rush { 15.0 } else { 0.0 } + rng.random_range(-2.0..2.0);
        Case {
            values: vec![
                ("distance", FeatureValue::Number(distance)),
                ("rush", FeatureValue::Boolean(rush)),
            ],
            choice: Choice::Number(20.0),
            outcome: Some(OutcomeValue::Number(minutes)),
        }
    };
    let closed = home.live_through(1_500, 6, next).await;
    let outcome = home.train(closed).await.unwrap();
    let model = models(&home).await.pop().unwrap();
    assert_eq!(
        (model.stage, &model.target),
        (ModelStage::Live, &LearningTarget::Regression),
        "{}",
        outcome.detail
    );
    // The noise alone has a standard deviation of 4 / √12 = 1.15; the labels one of about 11.
    assert_eq!(model.metrics.metric, "rmse");
    assert!(
        model.metrics.value < 2.0 && model.metrics.baseline.unwrap() > 9.0,
        "{:?}",
        model.metrics
    );
}

#[tokio::test]
async fn a_category_is_learned_by_the_probability_of_each_class() {
    let home = Home::new(
        r#"
name = "route"
description = "Which desk will they need?"
unit = "call"
decision = { kind = "choose", actions = ["sales", "support", "billing"], default = "support" }
outcome = { event = "needed", type = "category", aggregation = "first", window = "30m", absent = "exclude" }
policy = { kind = "epsilon_greedy", epsilon = 0.0 }
schedule = { minimum_rows = 200, trials = 2 }
[context]
tenure = "number"
topic = "category"
"#,
        "",
    )
    .await;
    let next = |rng: &mut ChaCha8Rng| {
        let topic = one_of(rng, &["price", "crash", "invoice"]);
        let usual = match topic {
            "price" => "sales",
            "crash" => "support",
            _ => "billing",
        };
        let needed = if rng.random_bool(0.8) {
            usual
        } else {
            one_of(rng, &["sales", "support", "billing"])
        };
        Case {
            values: vec![("tenure", number(rng)), ("topic", FeatureValue::Category(topic.into()))],
            choice: Choice::Action("support".into()),
            outcome: Some(OutcomeValue::Category(needed.into())),
        }
    };
    let closed = home.live_through(1_500, 8, next).await;
    let outcome = home.train(closed).await.unwrap();
    let model = models(&home).await.pop().unwrap();
    assert_eq!(model.stage, ModelStage::Live, "{}", outcome.detail);
    assert!(matches!(&model.target, LearningTarget::MultiClass { classes } if classes.len() == 3));
    assert_eq!(model.metrics.metric, "multi_log_loss");
    assert!(
        model.metrics.value < 0.8 && model.metrics.baseline.unwrap() > 1.0,
        "{:?}",
        model.metrics
    );
}

#[tokio::test]
async fn a_run_with_too_little_is_skipped_and_says_what_is_missing() {
    let home = Home::new(LATE, "").await;
    let skipped = |detail: &str| detail.to_owned();
    let outcome = home.train(START).await.unwrap();
    assert_eq!(outcome.end, RunEnd::Ran(RunState::Skipped));
    assert_eq!(
        outcome.detail,
        skipped("0 decisions have a closed window and a label, the blueprint asks for 200: 200 more are needed")
    );
    let always = |rng: &mut ChaCha8Rng| Case {
        outcome: yes_no(true),
        ..late(rng, true)
    };
    let closed = home.live_through(300, 1, always).await;
    // Windows are two minutes long: 150 have closed after 151 minutes.
    let outcome = home.train(START + 151 * MINUTE).await.unwrap();
    assert_eq!(
        outcome.detail,
        skipped("150 decisions have a closed window and a label, the blueprint asks for 200: 50 more are needed")
    );
    let outcome = home.train(closed).await.unwrap();
    assert_eq!(
        outcome.detail,
        skipped(
            "all 239 labels to fit on are `yes`, so there is nothing to tell apart; outcomes of another kind are needed"
        )
    );
    assert!(models(&home).await.is_empty());
    assert!(home.ask("SELECT training_set_id FROM training_sets").await.is_empty());
}

#[tokio::test]
async fn limits_that_no_model_keeps_fail_the_run_and_leave_the_trials_to_look_at() {
    let home = Home::new(&format!("{LATE}\n[model]\nmax_size = \"100B\"\n"), "").await;
    let closed = home.live_through(400, 1, |rng| late(rng, true)).await;
    let error = home.train(closed).await.unwrap_err().to_string();
    assert!(
        error.starts_with("none of 3 models is within the blueprint's limits"),
        "{error}"
    );
    let trials = home
        .ask("SELECT chosen, error LIKE '% bytes are over the limit of 100' FROM trials")
        .await;
    assert_eq!(trials, ["false|true"; 3]);
    let runs = home.ask("SELECT state FROM job_runs ORDER BY at, state DESC").await;
    assert_eq!(runs.last().map(String::as_str), Some("failed"));
    assert!(models(&home).await.is_empty());
}

#[tokio::test]
async fn a_second_model_takes_over_when_it_is_no_worse_and_old_rows_are_forgotten() {
    let home = Home::new(LATE, "[jobs]\nkeep_training_sets = 1\n").await;
    let closed = home.live_through(2_000, 1, |rng| late(rng, true)).await;
    let first = home.train(closed - 500 * MINUTE).await.unwrap();
    let second = home.train(closed).await.unwrap();
    assert_eq!(second.model, Some(ModelVersion(2)), "{}", second.detail);
    assert!(
        second.detail.contains("no worse than model 1 on the same rows"),
        "{}",
        second.detail
    );
    let stages: Vec<ModelStage> = models(&home).await.iter().map(|model| model.stage).collect();
    assert_eq!(stages, [ModelStage::Retired, ModelStage::Live]);

    let with_rows = home.ask("SELECT DISTINCT training_set_id FROM training_rows").await;
    assert_eq!(with_rows, [second.training_set_id.unwrap().to_string()]);
    let sets = home
        .ask("SELECT training_set_id FROM training_sets ORDER BY built_at")
        .await;
    assert_eq!(sets[0], first.training_set_id.unwrap().to_string());
}

#[tokio::test]
async fn a_job_without_its_strategy_is_refused_before_anything_is_claimed() {
    let home = Home::new(LATE, "").await;
    let error = run_job(&home.jobs, JobKind::Train, None, None).await.unwrap_err();
    assert_eq!(error.to_string(), "`train` is about one strategy; name it");
    let other = "menu".parse().unwrap();
    let error = run_job(&home.jobs, JobKind::Train, Some(&other), None)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no strategy `menu` is applied; applied are `late`");
}
