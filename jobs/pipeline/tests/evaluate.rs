//! Candidates are valued on a simulated log whose truth is known: the better one is called better, the worse one worse, and
//! where the log cannot tell, it says so.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_config::{parse_blueprint, parse_candidate};
use lakeloop_decide::caps::{CapTerms, Counters, Share};
use lakeloop_decide::{Asked, Bundle, Chosen, Given, Offered, Scratch, rank, rank_given, record, record_given};
use lakeloop_domain::{
    AppliedBlueprint, Candidate as Item, CandidateId, DecisionId, DecisionRecord, FeatureType, FeatureValue, Features,
    ModelStage, ModelVersion, NamedValue, OutcomeId, OutcomeRecord, OutcomeValue, StageMove, UnitId,
};
use lakeloop_lake::rows::{Verdict, decisions_to_batch, outcomes_to_batch};
use lakeloop_lake::{TableName, blueprints, registry};
use lakeloop_pipeline::{
    Candidate, Change, DecidingModel, EvaluationOptions, EvaluationReport, GateVerdict, PipelineError, Support,
    evaluate, gate, plan, rollback_blueprint, rollback_model,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use support::{Home, MINUTE, START, apply};

const SNACK: &str = r#"
name = "snack"
description = "Which snack?"
unit = "user"
decision = { kind = "choose", actions = ["cake", "chips", "fruit", "nuts"], default = "fruit" }
outcome = { event = "eaten", aggregation = "any", window = "2m", absent = 0 }
context = { mood = "category", noise = "number" }
policy = { kind = "epsilon_greedy", epsilon = 0.9 }
schedule = { minimum_rows = 100, trials = 1 }
"#;
const ACTIONS: [&str; 4] = ["cake", "chips", "fruit", "nuts"];
const N_DECISIONS: usize = 4_000;

/// How likely a snack is eaten, in a sweet mood and in a salty one.
fn truth(mood: &str, action: &str) -> f64 {
    match (mood, action) {
        ("sweet", "cake") => 0.6,
        ("sweet", "chips") | ("salty", "cake") => 0.1,
        ("salty", "chips") => 0.5,
        (_, "fruit") => 0.3,
        _ => 0.02,
    }
}

/// What ε-greedy with a default is worth while nothing is learned: both moods are as frequent.
fn value_of(default: &str, epsilon: f64) -> f64 {
    let mean = |action| (truth("sweet", action) + truth("salty", action)) / 2.0;
    let even: f64 = ACTIONS.iter().map(|action| mean(action) / 4.0).sum();
    (1.0 - epsilon) * mean(default) + epsilon * even
}

fn named(name: &str, feature_type: FeatureType, value: FeatureValue) -> NamedValue {
    NamedValue {
        name: name.into(),
        feature_type,
        value,
    }
}

/// Decides as a server does, under its caps, a decision every ten seconds, 1,000 units in turn; what is eaten is reported at
/// once. Gives what was decided.
async fn live(home: &Home, applied: &AppliedBlueprint, n: usize) -> Vec<DecisionRecord> {
    let bundle = Bundle::new(applied.clone(), None).unwrap();
    let mut counters = CapTerms::of(&applied.blueprint).map(|terms| Counters::new(terms, Share::WHOLE, 1_000_000));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut scratch = Scratch::new();
    let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
    for idx in 0..n {
        let mood = if rng.random_bool(0.5) { "sweet" } else { "salty" };
        let features: Features = vec![
            named("mood", FeatureType::Category, FeatureValue::Category(mood.into())),
            named("noise", FeatureType::Number, FeatureValue::Number(rng.random())),
        ];
        let id = DecisionId::new(format!("d{idx:05}")).unwrap();
        let at = START + idx as i64 * MINUTE / 6;
        let unit = format!("u{}", idx % 1_000);
        let reserved = counters.as_mut().map(|counters| counters.reserve(&unit, at));
        let given = Given {
            blocked: reserved.as_ref().map_or(&[][..], |(_, blocked)| &blocked.actions),
            ..Given::default()
        };
        let offered = Offered {
            features: &features,
            candidates: &[],
        };
        let decision = rank_given(&bundle, offered, &given, id.as_str(), &mut scratch);
        let Chosen::Action(action_idx) = decision.chosen else {
            panic!("{decision:?}")
        };
        let asked = Asked {
            decision_id: id,
            unit: UnitId::new(unit.as_str()).unwrap(),
            event_time: at,
            received_at: at,
            features: features.clone(),
            feature_versions: Vec::new(),
            candidates: Vec::new(),
        };
        if rng.random_bool(truth(mood, decision.action(&bundle).unwrap())) {
            outcomes.push(reported(&asked.decision_id, None, at + 1));
        }
        decisions.push(record_given(&bundle, asked, &given, &decision));
        if let (Some(counters), Some((mut hold, _))) = (&mut counters, reserved) {
            counters.settle(&unit, &mut hold, action_idx);
            counters.keep(&hold);
        }
    }
    log(home, &decisions, &outcomes).await;
    home.set_time(START + n as i64 * MINUTE / 6 + 3 * MINUTE);
    decisions
}

fn reported(decision: &DecisionId, item: Option<&CandidateId>, at: i64) -> OutcomeRecord {
    OutcomeRecord {
        outcome_id: OutcomeId::new(format!("{decision} {item:?}")).unwrap(),
        decision_id: Some(decision.clone()),
        strategy: None,
        unit: None,
        candidate: item.cloned(),
        event: "eaten".into(),
        value: OutcomeValue::Number(1.0),
        event_time: at,
        received_at: at,
    }
}

async fn log(home: &Home, decisions: &[DecisionRecord], outcomes: &[OutcomeRecord]) {
    home.append(TableName::Decisions, decisions_to_batch(decisions).unwrap())
        .await;
    home.append(TableName::Outcomes, outcomes_to_batch(outcomes).unwrap())
        .await;
}

async fn lived() -> Home {
    let home = Home::new(SNACK, "").await;
    let applied = home.applied.clone();
    live(&home, &applied, N_DECISIONS).await;
    home
}

fn candidate(home: &Home, text: &str, by: DecidingModel) -> Candidate {
    let parsed = parse_candidate("bold.toml", text, &home.applied.source).unwrap();
    Candidate {
        name: "bold".into(),
        applied: AppliedBlueprint {
            blueprint: parsed.blueprint,
            version: parsed.version,
            ..home.applied.clone()
        },
        by,
    }
}

fn with_default(default: &str, epsilon: f64) -> String {
    format!(
        "decision = {{ kind = \"choose\", actions = [\"cake\", \"chips\", \"fruit\", \"nuts\"], default = \"{default}\" }}\n\
         policy = {{ kind = \"epsilon_greedy\", epsilon = {epsilon} }}\n"
    )
}

async fn valued(home: &Home, text: &str, by: DecidingModel) -> EvaluationReport {
    let options = EvaluationOptions {
        n_resamples: 200,
        ..EvaluationOptions::default()
    };
    evaluate(&home.jobs, &candidate(home, text, by), &options)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn estimates_hold_the_truth_and_verdicts_follow_from_it() {
    let home = lived().await;
    for (default, epsilon, verdict) in [
        ("cake", 0.1, Verdict::Better),
        ("nuts", 0.1, Verdict::Worse),
        ("fruit", 0.9, Verdict::Undecided),
    ] {
        let report = valued(&home, &with_default(default, epsilon), DecidingModel::None).await;
        assert_eq!(report.verdict(), verdict, "{default}: {}", report.in_words());
        let truth = value_of(default, epsilon);
        let names: Vec<&str> = report.estimates.iter().map(|row| row.estimator.as_str()).collect();
        assert_eq!(
            names,
            [
                "SNIPS",
                "IPS",
                "DM",
                "DR",
                "SNDR",
                "Switch-DR (τ = 10)",
                "DRos (λ = 100)"
            ]
        );
        for row in &report.estimates {
            // Every estimate is within four of its standard errors of the truth; the direct method's spread says nothing of
            // its error.
            let (value, (low, high)) = (row.value.unwrap(), row.interval.unwrap());
            let error = if row.estimator == "DM" {
                0.02
            } else {
                (high - low) / 3.92
            };
            assert!(
                (value - truth).abs() < 4.0 * error,
                "{default} {}: {value} is not {truth}",
                row.estimator
            );
            let (boot_low, boot_high) = row.bootstrap.unwrap();
            assert!((boot_high - boot_low) / (high - low) > 0.7 && (boot_high - boot_low) / (high - low) < 1.4);
            assert_eq!((row.n_rows, row.n_units), (N_DECISIONS as u64, 1_000));
        }
        let logged = report.judge().logged_value.unwrap();
        assert!((logged - value_of("fruit", 0.9)).abs() < 0.03, "{logged}");
        assert!((report.judge().mean_weight.unwrap() - 1.0).abs() < 0.1);
        assert_eq!(report.judge().unsupported, Some(0.0));
    }
    // The same question has the same answer.
    let once = valued(&home, &with_default("cake", 0.1), DecidingModel::None).await;
    let again = valued(&home, &with_default("cake", 0.1), DecidingModel::None).await;
    let numbers = |report: &EvaluationReport| report.estimates.iter().map(|row| row.value).collect::<Vec<_>>();
    assert_eq!(numbers(&once), numbers(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_training_would_make_of_a_policy_is_valued_on_other_units_than_it_was_fitted_on() {
    let home = lived().await;
    let report = valued(&home, "policy = { kind = \"greedy\" }", DecidingModel::Refitted).await;
    assert_eq!(report.verdict(), Verdict::Better, "{}", report.in_words());
    // The best policy takes cake or chips by the mood.
    let best = (truth("sweet", "cake") + truth("salty", "chips")) / 2.0;
    let row = report.judge();
    let (value, (low, high)) = (row.value.unwrap(), row.interval.unwrap());
    assert!(
        (value - best).abs() < 4.0 * (high - low) / 3.92,
        "{value} is not {best}"
    );
    assert_eq!(row.model_version, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_that_ask_what_is_known_are_valued_by_models_that_say_so() {
    let home = lived().await;
    for policy in [
        "{ kind = \"thompson\" }",
        "{ kind = \"ucb\", width = 1.0 }",
        // Of 0.8 no more than 0.07 is left once a model has learned from three thousand decisions.
        "{ kind = \"epsilon_decreasing\", epsilon = 0.8, halved_after = 10 }",
    ] {
        let report = valued(&home, &format!("policy = {policy}"), DecidingModel::Refitted).await;
        // The best policy is worth 0.55. Without what a model knows, all three choose nearly evenly, worth 0.24 at most.
        let value = report.judge().value.unwrap();
        assert!((0.45..0.62).contains(&value), "{policy}: {}", report.in_words());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_cannot_tell_is_refused_with_the_reason() {
    let home = lived().await;
    let pie = with_default("pie", 0.1).replace("\"nuts\"]", "\"nuts\", \"pie\"]");
    let report = valued(&home, &pie, DecidingModel::None).await;
    assert_eq!(report.verdict(), Verdict::Refused);
    assert!(
        report.in_words().contains("no support for") && report.in_words().contains("`pie`"),
        "{}",
        report.in_words()
    );
    assert!(
        report
            .estimates
            .iter()
            .all(|row| row.value.is_none() && row.refusal.is_some())
    );
    assert!(report.judge().unsupported.unwrap() > 0.9);

    let number = "decision = { kind = \"number\", default = 1.0 }\npolicy = { kind = \"greedy\" }";
    let report = valued(&home, number, DecidingModel::None).await;
    assert!(
        report.in_words().contains("a number is not drawn"),
        "{}",
        report.in_words()
    );

    let future = EvaluationOptions {
        from: Some(START + 1_000_000 * MINUTE),
        ..EvaluationOptions::default()
    };
    let bold = candidate(&home, &with_default("cake", 0.1), DecidingModel::None);
    let report = evaluate(&home.jobs, &bold, &future).await.unwrap();
    assert!(
        report.in_words().contains("no decision made at"),
        "{}",
        report.in_words()
    );

    // Three decisions in four thousand are too few for a gate, and other tools would print a number all the same.
    let few = EvaluationOptions {
        from: Some(START + (N_DECISIONS as i64 - 20) * MINUTE / 6),
        ..EvaluationOptions::default()
    };
    let report = evaluate(&home.jobs, &bold, &few).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Refused);
    let lenient = EvaluationOptions {
        support: Support::Lenient,
        ..few
    };
    let report = evaluate(&home.jobs, &bold, &lenient).await.unwrap();
    assert!(report.judge().value.is_some());
    assert!(
        report.in_words().ends_with("nothing to decide by"),
        "{}",
        report.in_words()
    );

    let absent = candidate(
        &home,
        &with_default("cake", 0.1),
        DecidingModel::Version(ModelVersion(7)),
    );
    let error = evaluate(&home.jobs, &absent, &future).await.unwrap_err();
    assert_eq!(error.to_string(), "no model 7 of `snack`; none is registered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_valued_on_decisions_that_it_was_not_fitted_on() {
    let home = lived().await;
    let trained = home
        .train(home.clock.load(std::sync::atomic::Ordering::Relaxed))
        .await
        .unwrap();
    assert_eq!(trained.model, Some(ModelVersion(1)), "{}", trained.detail);
    let report = valued(
        &home,
        "policy = { kind = \"greedy\" }",
        DecidingModel::Version(ModelVersion(1)),
    )
    .await;
    let row = report.judge();
    // The latest fifth was validated on; earlier ones were fitted on.
    assert!(
        (row.n_rows as f64 - N_DECISIONS as f64 / 5.0).abs() < 3.0,
        "{}",
        row.n_rows
    );
    assert!(
        report.notes[0].contains("was fitted on earlier decisions"),
        "{:?}",
        report.notes
    );
    assert_eq!(report.verdict(), Verdict::Better, "{}", report.in_words());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_was_fitted_on_all_rows_is_valued_on_later_ones_only() {
    let home = Home::new(&format!("{SNACK}model = {{ final_fit = \"all_rows\" }}\n"), "").await;
    let applied = home.applied.clone();
    live(&home, &applied, N_DECISIONS).await;
    let closed = home.clock.load(std::sync::atomic::Ordering::Relaxed);
    // Half of the decisions have been made; the window of the last twelve of them is open.
    let trained = home.train(START + N_DECISIONS as i64 / 2 * MINUTE / 6).await.unwrap();
    assert_eq!(trained.model, Some(ModelVersion(1)), "{}", trained.detail);
    home.set_time(closed);
    let by = DecidingModel::Version(ModelVersion(1));
    let report = valued(&home, "policy = { kind = \"greedy\" }", by).await;
    let fitted_on = home.ask("SELECT CAST(n_rows AS INT) FROM training_sets").await;
    let n_fitted: u64 = fitted_on[0].parse().unwrap();
    assert_eq!(n_fitted, N_DECISIONS as u64 / 2 - 11);
    assert_eq!(
        report.judge().n_rows + n_fitted,
        N_DECISIONS as u64,
        "{:?}",
        report.notes
    );
}

/// Once a unit took something it gets the default for half a day, and there is cake for thirty in an hour.
const CAPPED: &str = r#"
caps = { per_unit = { limit = 1, every = "12h" }, resources = { oven = { limit = 30, every = "1h", uses = { cake = 1 } } } }
"#;

/// What a policy is worth at the logged decisions under what was blocked there; `chance` is how likely it takes an action
/// where nothing is blocked.
fn value_under_caps(decisions: &[DecisionRecord], chance: impl Fn(&str, &str) -> f64) -> f64 {
    let of_row = |row: &DecisionRecord| {
        let FeatureValue::Category(mood) = &row.features[0].value else {
            panic!("{row:?}")
        };
        let is_blocked = |action: &str| row.conditions.blocked.iter().any(|blocked| blocked == action);
        let given = |action| truth(mood, if is_blocked(action) { "fruit" } else { action });
        ACTIONS
            .iter()
            .map(|action| chance(mood, action) * given(action))
            .sum::<f64>()
    };
    decisions.iter().map(of_row).sum::<f64>() / decisions.len() as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_caps_blocked_is_blocked_for_a_candidate_too() {
    let home = Home::new(&format!("{SNACK}{CAPPED}"), "").await;
    let applied = home.applied.clone();
    let decisions = live(&home, &applied, N_DECISIONS).await;
    let n_blocked = |n: usize| decisions.iter().filter(|row| row.conditions.blocked.len() == n).count();
    assert!(
        n_blocked(3) > 1_000 && n_blocked(1) > 100,
        "{} {}",
        n_blocked(3),
        n_blocked(1)
    );

    let even = |_: &str, _: &str| 0.25;
    let timid = |_: &str, action: &str| 0.025 + if action == "fruit" { 0.9 } else { 0.0 };
    for (epsilon, truth) in [
        (1.0, value_under_caps(&decisions, even)),
        (0.1, value_under_caps(&decisions, timid)),
    ] {
        let policy = format!("policy = {{ kind = \"epsilon_greedy\", epsilon = {epsilon} }}");
        let report = valued(&home, &policy, DecidingModel::None).await;
        for row in report.estimates.iter().filter(|row| row.estimator != "DM") {
            let (value, (low, high)) = (row.value.unwrap(), row.interval.unwrap());
            assert!(
                (value - truth).abs() < 4.0 * (high - low) / 3.92,
                "{epsilon} {}: {value} is not {truth}",
                row.estimator
            );
        }
        let judge = report.judge();
        assert!(
            (judge.mean_weight.unwrap() - 1.0).abs() < 0.1,
            "{:?}",
            judge.mean_weight
        );
        assert_eq!(judge.unsupported, Some(0.0));
        let n_capped = decisions.len() - n_blocked(0);
        let note = format!("at {n_capped} of {N_DECISIONS} decisions caps blocked actions");
        assert!(
            report.notes.iter().any(|one| one.starts_with(&note)),
            "{:?}",
            report.notes
        );
    }
    // The best policy takes cake or chips by the mood, where it may.
    let best = |mood: &str, action: &str| f64::from(u8::from(action == if mood == "sweet" { "cake" } else { "chips" }));
    let report = valued(&home, "policy = { kind = \"greedy\" }", DecidingModel::Refitted).await;
    let (row, truth) = (report.judge(), value_under_caps(&decisions, best));
    let (value, (low, high)) = (row.value.unwrap(), row.interval.unwrap());
    assert!(
        (value - truth).abs() < 4.0 * (high - low) / 3.92,
        "{value} is not {truth}"
    );
    assert_eq!(report.verdict(), Verdict::Better, "{}", report.in_words());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_caps_or_another_default_under_them_cannot_be_valued() {
    let home = Home::new(&format!("{SNACK}{CAPPED}"), "").await;
    let applied = home.applied.clone();
    live(&home, &applied, 200).await;
    let looser = CAPPED.replace("limit = 1,", "limit = 2,");
    for text in [looser.as_str(), &with_default("nuts", 0.9)] {
        let report = valued(&home, text, DecidingModel::None).await;
        assert_eq!(report.verdict(), Verdict::Refused);
        assert!(
            report.in_words().contains("its [caps], or the default"),
            "{}",
            report.in_words()
        );
    }
    let parsed = parse_candidate("bold.toml", &format!("{looser}{GATED}"), &home.applied.source).unwrap();
    let gated = gate(&home.jobs, &parsed).await.unwrap();
    assert!(
        matches!(&gated.verdict, GateVerdict::Fails(why) if why.starts_with("the log cannot tell: its [caps]")),
        "{gated:?}"
    );
}

const GATED: &str = "[gate]\noff_policy = { margin = 0.01 }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_refuses_what_is_worse_or_cannot_be_told_and_passes_what_is_better() {
    let home = lived().await;
    let asked = async |text: &str| {
        let parsed = parse_candidate("bold.toml", text, &home.applied.source).unwrap();
        gate(&home.jobs, &parsed).await.unwrap()
    };
    let gated = |text: &str| format!("{text}{GATED}");
    assert_eq!(
        asked(&with_default("nuts", 0.1)).await.verdict,
        GateVerdict::NotDeclared
    );
    let better = asked(&gated(&with_default("cake", 0.1))).await;
    assert!(matches!(better.verdict, GateVerdict::Passes(_)), "{better:?}");
    let worse = asked(&gated(&with_default("nuts", 0.1))).await;
    assert!(
        matches!(&worse.verdict, GateVerdict::Fails(why) if why.starts_with("it is worse")),
        "{worse:?}"
    );
    let pie = with_default("pie", 0.1).replace("\"nuts\"]", "\"nuts\", \"pie\"]");
    let unsupported = asked(&gated(&pie)).await;
    assert!(
        matches!(&unsupported.verdict, GateVerdict::Fails(why) if why.starts_with("the log cannot tell") && why.contains("pie")),
        "{unsupported:?}"
    );
    let words = asked(&format!("description = \"Other words\"\n{GATED}")).await;
    assert_eq!(
        words.verdict,
        GateVerdict::Passes("what changes does not change decisions".into())
    );
    // What a gate was told is kept, under the version that asked.
    let kept = lakeloop_lake::evaluations::history(&home.lake, home.strategy())
        .await
        .unwrap();
    let mut names: Vec<&str> = kept.iter().map(|row| row.candidate.as_str()).collect();
    names.dedup();
    assert_eq!(names.len(), 3);

    // A gate that is in force cannot be taken away by the change that it is to judge.
    apply(&home.lake, &format!("{SNACK}{GATED}")).await;
    let ungated = asked(&with_default("nuts", 0.1)).await;
    assert!(matches!(ungated.verdict, GateVerdict::Fails(_)), "{ungated:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_change() {
    let home = lived().await;
    let same = plan(&home.jobs, &parse_blueprint("b.toml", SNACK).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (same.change, same.keys.len(), same.decides_otherwise),
        (Change::Unchanged, 0, false)
    );
    assert_eq!(same.off_policy.unwrap_err(), "nothing changes");

    let text = SNACK
        .replace(
            "noise = \"number\"",
            "noise = \"number\", weather = \"category\", hungry = \"boolean\"",
        )
        .replace("default = \"fruit\"", "default = \"cake\"")
        .replace("epsilon = 0.9", "epsilon = 0.1");
    let changed = plan(&home.jobs, &parse_blueprint("b.toml", &text).unwrap())
        .await
        .unwrap();
    assert_eq!(changed.change, Change::Changed);
    let keys: Vec<&str> = changed.keys.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "context.hungry",
            "context.weather",
            "decision.default",
            "policy.epsilon"
        ]
    );
    assert_eq!(changed.n_decisions, N_DECISIONS as u64);
    let feature = |name: &str| changed.features.iter().find(|feature| feature.name == name).unwrap();
    assert_eq!(
        (feature("mood").logged_share, feature("mood").since),
        (Some(1.0), Some(START))
    );
    assert_eq!(
        (feature("weather").logged_share, feature("weather").since),
        (Some(0.0), None)
    );
    assert!(feature("weather").note.contains("missing for all earlier decisions"));
    assert!(changed.model.retraining().contains("no model is live"));
    let (p50_us, p99_us) = changed.model.decision_us.unwrap();
    assert!(p50_us > 0.0 && p99_us >= p50_us);
    assert_eq!(changed.off_policy.unwrap().verdict(), Verdict::Better);
    assert_eq!(changed.gate, GateVerdict::NotDeclared);

    let new = SNACK.replace("\"snack\"", "\"supper\"");
    let new = plan(&home.jobs, &parse_blueprint("b.toml", &new).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (new.change, new.in_force.is_none(), new.n_decisions),
        (Change::New, true, 0)
    );
    assert_eq!(new.off_policy.unwrap_err(), "the strategy is new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_when_the_live_model_cannot_go_on() {
    let home = lived().await;
    let closed = home.clock.load(std::sync::atomic::Ordering::Relaxed);
    home.train(closed).await.unwrap();
    promote(&home, 1).await;
    let without_mood = SNACK.replace("mood = \"category\", ", "");
    let misfit = plan(&home.jobs, &parse_blueprint("b.toml", &without_mood).unwrap())
        .await
        .unwrap();
    assert!(
        misfit.model.misfit.as_ref().unwrap().contains("`mood`"),
        "{:?}",
        misfit.model
    );
    assert!(
        misfit.model.retraining().starts_with("needed: model 1"),
        "{}",
        misfit.model.retraining()
    );
    let more = SNACK.replace("noise = \"number\"", "noise = \"number\", hungry = \"boolean\"");
    let more = plan(&home.jobs, &parse_blueprint("b.toml", &more).unwrap())
        .await
        .unwrap();
    assert_eq!(
        (more.model.misfit.clone(), more.model.unread.clone()),
        (None, vec!["hungry".to_owned()])
    );
    assert!(more.model.bytes.unwrap() > 0 && more.model.registered_p99_us.unwrap() > 0.0);
    let small = format!("{SNACK}model = {{ max_size = \"1B\" }}\n");
    let small = plan(&home.jobs, &parse_blueprint("b.toml", &small).unwrap())
        .await
        .unwrap();
    assert!(
        small.model.over_limits[0].contains("model.max_size allows 1"),
        "{:?}",
        small.model.over_limits
    );
    assert!(!small.decides_otherwise);
    let plan_of = async |more: &str| {
        let text = format!("{SNACK}{more}");
        let planned = plan(&home.jobs, &parse_blueprint("b.toml", &text).unwrap()).await;
        planned.unwrap()
    };
    // How the next model is learned changes no decision of the one that is live.
    let learned = plan_of("training = { allow_duplicates = true }\nmodel = { budget = \"1s\" }\n").await;
    assert!(!learned.decides_otherwise && learned.change == Change::Changed);
    assert_eq!(
        learned.off_policy.unwrap_err(),
        "what changes does not change decisions"
    );
}

async fn promote(home: &Home, version: u32) {
    let wish = StageMove {
        strategy: home.strategy().clone(),
        version: ModelVersion(version),
        to: ModelStage::Live,
        reason: "a test".into(),
    };
    let now = home.clock.fetch_add(MINUTE, std::sync::atomic::Ordering::Relaxed);
    let _ = registry::move_stage(&home.lake, &wish, now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_blueprint_and_an_earlier_model_come_back() {
    let home = lived().await;
    let (lake, name) = (&home.lake, home.strategy());
    let second = apply(lake, &SNACK.replace("epsilon = 0.9", "epsilon = 0.5")).await;
    let back = rollback_blueprint(lake, name, None, "it was better", START + 9)
        .await
        .unwrap();
    assert_eq!((&back.now.version, back.now.sequence), (&home.applied.version, 3));
    assert_eq!(
        (back.now.blueprint.clone(), back.now.source.as_str()),
        (home.applied.blueprint.clone(), SNACK)
    );
    assert_eq!(back.before.version, second.version);
    let forth = rollback_blueprint(lake, name, Some("2"), "no", START + 10)
        .await
        .unwrap();
    assert_eq!(forth.now.version, second.version);
    rollback_blueprint(lake, name, Some(home.applied.version.as_str()), "yes", START + 11)
        .await
        .unwrap();
    let kept = blueprints::applications(lake, name).await.unwrap();
    assert_eq!(kept.len(), 5);
    assert_eq!(
        kept[2].reason.as_deref(),
        Some(format!("rolled back from {}: it was better", second.version).as_str())
    );
    let refused = async |to: Option<&str>| match rollback_blueprint(lake, name, to, "x", START).await {
        Err(PipelineError::NothingToRollBack { what }) => what,
        other => panic!("{other:?}"),
    };
    assert!(
        refused(Some("0123456789abcdef"))
            .await
            .contains("never had a blueprint 0123456789abcdef")
    );
    assert!(refused(Some("5")).await.contains("in force already"));

    let closed = home.clock.load(std::sync::atomic::Ordering::Relaxed);
    home.train(closed).await.unwrap();
    home.train(closed + MINUTE).await.unwrap();
    for version in [1, 2] {
        promote(&home, version).await;
    }
    let back = rollback_model(lake, name, None, "it was slow", closed + 9 * MINUTE)
        .await
        .unwrap();
    assert_eq!((back.now, back.before), (ModelVersion(1), Some(ModelVersion(2))));
    let live = registry::live(lake).await.unwrap().pop().unwrap();
    assert_eq!(
        (live.version, live.stage_reason.as_str()),
        (ModelVersion(1), "rolled back from model 2: it was slow")
    );
    let back = rollback_model(lake, name, Some(ModelVersion(2)), "no", closed + 10 * MINUTE)
        .await
        .unwrap();
    assert_eq!(back.now, ModelVersion(2));
    let error = rollback_model(lake, name, Some(ModelVersion(9)), "no", closed)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no model 9 of `snack`; registered are 1, 2");
    // A model that does not fit stays where it is.
    apply(lake, &SNACK.replace("mood = \"category\", ", "")).await;
    let error = rollback_model(lake, name, Some(ModelVersion(1)), "no", closed)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`mood`"), "{error}");
}

const SHELF: &str = r#"
name = "shelf"
description = "Which items first?"
unit = "user"
decision = { kind = "rank", at_most = 2 }
outcome = { event = "eaten", aggregation = "any", window = "2m", absent = 0 }
candidates = { worth = "number" }
policy = { kind = "epsilon_greedy", epsilon = 0.5 }
schedule = { minimum_rows = 100, trials = 1 }
"#;

/// Rankings of four items, of which the request's order shows the least wanted first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rankings_are_valued_position_by_position() {
    let home = Home::new(SHELF, "").await;
    let bundle = Bundle::new(home.applied.clone(), None).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut scratch = Scratch::new();
    let (mut decisions, mut outcomes) = (Vec::new(), Vec::new());
    let worths = [0.1, 0.2, 0.4, 0.6];
    for idx in 0..3_000_usize {
        let items: Vec<Item> = worths
            .iter()
            .map(|worth| Item {
                id: CandidateId::new(format!("item-{worth}")).unwrap(),
                features: vec![named("worth", FeatureType::Number, FeatureValue::Number(*worth))],
            })
            .collect();
        let id = DecisionId::new(format!("d{idx:05}")).unwrap();
        let offered = Offered {
            features: &[],
            candidates: &items,
        };
        let decision = rank(&bundle, offered, id.as_str(), &mut scratch);
        let at = START + idx as i64 * MINUTE / 6;
        let lakeloop_decide::Chosen::Ranking { order, .. } = decision.chosen else {
            panic!("{decision:?}")
        };
        for item in order {
            if rng.random_bool(worths[*item as usize]) {
                outcomes.push(reported(&id, Some(&items[*item as usize].id), at + 1));
            }
        }
        let asked = Asked {
            decision_id: id,
            unit: UnitId::new(format!("u{idx}")).unwrap(),
            event_time: at,
            received_at: at,
            features: Vec::new(),
            feature_versions: Vec::new(),
            candidates: items.clone(),
        };
        decisions.push(record(&bundle, asked, &decision));
    }
    log(&home, &decisions, &outcomes).await;
    home.set_time(START + 3_000 * MINUTE / 6 + 3 * MINUTE);

    let greedy = valued(&home, "policy = { kind = \"greedy\" }", DecidingModel::None).await;
    let names: Vec<&str> = greedy.estimates.iter().map(|row| row.estimator.as_str()).collect();
    assert_eq!(names, ["SNIPS", "IPS"]);
    // Always the request's first two: 0.1 + 0.2 eaten a ranking; at random half of the time, where two positions are worth
    // twice the mean of all.
    let check = |report: &EvaluationReport, truth: f64, verdict| {
        let row = report.judge();
        let (value, (low, high)) = (row.value.unwrap(), row.interval.unwrap());
        assert!(
            (value - truth).abs() < 4.0 * (high - low) / 3.92,
            "{value} is not {truth}"
        );
        assert_eq!(report.verdict(), verdict, "{}", report.in_words());
        assert_eq!((row.n_rows, row.n_units), (3_000, 3_000));
    };
    check(&greedy, 0.3, Verdict::Worse);
    let even = valued(
        &home,
        "policy = { kind = \"epsilon_greedy\", epsilon = 1.0 }",
        DecidingModel::None,
    )
    .await;
    check(&even, 0.65, Verdict::Better);
    let refitted = valued(&home, "policy = { kind = \"greedy\" }", DecidingModel::Refitted).await;
    check(&refitted, 1.0, Verdict::Better);
}
