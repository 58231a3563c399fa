//! The gate of `apply`, and what a plan says before it.

use lakeloop_config::{parse_blueprint, parse_candidate};
use lakeloop_lake::rows::Verdict;
use lakeloop_pipeline::{Change, GateVerdict, gate, plan};

use crate::support::{START, apply};
use crate::world::{GATED, N_DECISIONS, SNACK, lived, promote, with_default};

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
