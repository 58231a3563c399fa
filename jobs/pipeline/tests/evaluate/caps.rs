//! Under caps: what they blocked is blocked for a candidate too, and other caps cannot be valued.

use lakeloop_config::parse_candidate;
use lakeloop_domain::{DecisionRecord, FeatureValue};
use lakeloop_lake::rows::Verdict;
use lakeloop_pipeline::{DecidingModel, GateVerdict, gate};

use crate::support::Home;
use crate::world::{ACTIONS, GATED, N_DECISIONS, SNACK, live, truth, valued, with_default};

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
