//! Rankings are valued too.

use lakeloop_decide::{Asked, Bundle, Chosen, Offered, Scratch, rank, record};
use lakeloop_domain::{Candidate as Item, CandidateId, DecisionId, FeatureType, FeatureValue, UnitId};
use lakeloop_lake::rows::Verdict;
use lakeloop_pipeline::{DecidingModel, EvaluationReport};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{Home, MINUTE, START};
use crate::world::{log, named, reported, valued};

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
        let Chosen::Ranking { order, .. } = decision.chosen else {
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
