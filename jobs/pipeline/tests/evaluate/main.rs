//! Candidates are valued on a simulated log whose truth is known: the better one is called better, the worse one worse, and
//! where the log cannot tell, it says so.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod world;

mod caps;
mod gate;
mod rankings;
mod rollback;

use lakeloop_domain::ModelVersion;
use lakeloop_lake::rows::Verdict;
use lakeloop_pipeline::{DecidingModel, EvaluationOptions, EvaluationReport, Support, evaluate};
use support::{Home, MINUTE, START};
use world::{N_DECISIONS, SNACK, candidate, live, lived, truth, value_of, valued, with_default};

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
