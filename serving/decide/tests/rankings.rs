//! Candidates put in order: by score, by the request, and by chance, with the propensities that go with each.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use lakeloop_decide::{Bundle, Chosen, Decision, Offered, OfferedValues, Scratch, decide, rank, rank_served};
use lakeloop_domain::{Candidate, Choice, DecisionReason, Features, OutcomeType, Policy, ValueRef};
use support::*;

/// Ids in their order, scores, propensity, propensities by position, and the reason.
type Ranked = (String, Vec<f64>, f64, Vec<f64>, DecisionReason);

fn ranked(bundle: &Bundle, features: &Features, candidates: &[Candidate], decision_id: &str) -> Ranked {
    let mut scratch = Scratch::new();
    let decision = rank(bundle, Offered { features, candidates }, decision_id, &mut scratch);
    check_served(bundle, features, candidates, decision_id, &decision);
    let Choice::Ranking(ranking) = decision.choice(bundle, candidates.to_vec()) else {
        panic!("{:?}", decision.chosen);
    };
    assert_eq!(decision.action(bundle), None);
    assert_eq!(ranking.candidates, candidates);
    let positions = ranking.positions;
    (
        positions.iter().map(|position| position.candidate.as_str()).collect(),
        decision.scores.to_vec(),
        decision.propensity,
        positions.iter().map(|position| position.propensity).collect(),
        decision.reason,
    )
}

/// Deciding by values in served order gives the same, bit for bit.
#[track_caller]
fn check_served(bundle: &Bundle, features: &Features, candidates: &[Candidate], id: &str, by_name: &Decision<'_>) {
    let shared: Vec<ValueRef<'_>> = features.iter().map(|feature| (&feature.value).into()).collect();
    let each = candidates.iter().flat_map(|candidate| &candidate.features);
    let values: Vec<ValueRef<'_>> = each.map(|feature| (&feature.value).into()).collect();
    let offered = OfferedValues {
        shared: &shared,
        n_candidates: candidates.len(),
        candidates: &values,
    };
    let mut scratch = Scratch::new();
    let served = rank_served(bundle, offered, id, &mut scratch);
    // Texts, because a score that is NaN equals itself.
    assert_eq!(format!("{served:?}"), format!("{by_name:?}"));
}

fn guest(age: f64) -> Features {
    features(Some(age), None, None)
}

#[test]
fn the_best_score_comes_first_and_equals_keep_the_order_of_the_request() {
    let check = |at_most, age, order: &str, scores: [f64; 5]| {
        let blueprint = ranking(at_most, Policy::Greedy);
        let bundle = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
        let certain = vec![1.0; order.len()];
        let expected = (order.to_owned(), scores.to_vec(), 1.0, certain, DecisionReason::Exploit);
        assert_eq!(ranked(&bundle, &guest(age), &dishes(), "d-1"), expected);
    };
    check(None, 40.0, "dbeca", [1.0, 2.0, 1.5, 2.5, 2.0]);
    check(Some(2), 40.0, "db", [1.0, 2.0, 1.5, 2.5, 2.0]);
    check(Some(99), 40.0, "dbeca", [1.0, 2.0, 1.5, 2.5, 2.0]);
    // What the candidates share counts for each of them.
    check(None, 20.0, "dbeca", [2.0, 3.0, 2.5, 3.5, 3.0]);
}

#[test]
fn a_candidate_alone_and_a_value_that_is_missing_are_ranked_too() {
    let blueprint = ranking(None, Policy::Greedy);
    let bundle = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
    let only = [candidate("x", None, "Peruvian")];
    let (order, scores, ..) = ranked(&bundle, &guest(40.0), &only, "d-1");
    assert_eq!((order.as_str(), scores), ("x", vec![2.5]));
}

#[test]
fn without_a_model_the_request_decides() {
    let bundle = bundle(ranking(Some(3), Policy::Greedy), None);
    let expected = ("abc".to_owned(), vec![], 1.0, vec![1.0; 3], DecisionReason::NoModel);
    assert_eq!(ranked(&bundle, &guest(40.0), &dishes(), "d-1"), expected);
}

#[test]
fn a_model_that_fails_leaves_the_order_of_the_request() {
    let blueprint = ranking(Some(3), Policy::EpsilonGreedy { epsilon: 1.0 });
    let mut record = ranking_model(&blueprint);
    record.artifact = artifact(
        "reg:squarederror",
        3,
        &[&[Stump(0, 99.0, 3e38, 0.0), Stump(0, 99.0, 3e38, 0.0)]],
    );
    let bundle = bundle(blueprint, Some(&record));
    let expected = ("abc".to_owned(), vec![], 1.0, vec![1.0; 3], DecisionReason::Fallback);
    assert_eq!(ranked(&bundle, &guest(40.0), &dishes(), "d-1"), expected);
    let mut scratch = Scratch::new();
    let (features, candidates) = (&guest(40.0), &dishes()[..]);
    assert!(
        rank(&bundle, Offered { features, candidates }, "d-1", &mut scratch)
            .failure
            .is_some()
    );
}

#[test]
fn exploring_returns_any_order_and_says_how_likely_it_was() {
    let epsilon = 0.4;
    let blueprint = ranking(Some(2), Policy::EpsilonGreedy { epsilon });
    let learned = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
    let unlearned = bundle(blueprint, None);
    for (bundle, best, otherwise) in [
        (&learned, "db", DecisionReason::Exploit),
        (&unlearned, "ab", DecisionReason::NoModel),
    ] {
        let (mut n_explored, mut seen) = (0, std::collections::HashSet::new());
        for idx in 0..2_000 {
            let (order, _, propensity, positions, reason) =
                ranked(bundle, &guest(40.0), &dishes(), &format!("d-{idx}"));
            let expected = epsilon / 5.0 / 4.0 + if order == best { 1.0 - epsilon } else { 0.0 };
            assert!((propensity - expected).abs() < 1e-15, "{order} {propensity}");
            for ((candidate, best), propensity) in order.chars().zip(best.chars()).zip(positions) {
                let expected = epsilon / 5.0 + if candidate == best { 1.0 - epsilon } else { 0.0 };
                assert!((propensity - expected).abs() < 1e-15, "{order} {propensity}");
            }
            if reason == DecisionReason::Explore {
                n_explored += 1;
            } else {
                assert_eq!((order.as_str(), reason), (best, otherwise));
            }
            seen.insert(order);
        }
        // Five standard deviations of 2,000 draws with probability 0.4 are 110.
        assert!((690..=910).contains(&n_explored), "{n_explored}");
        assert_eq!(seen.len(), 20, "every order of two out of five");
    }
}

/// The promise that the vector that was served is the row that is trained on: training encodes the shared features and
/// the candidate's as one list.
#[test]
fn a_candidate_is_scored_as_its_training_row_is() {
    let blueprint = ranking(None, Policy::Greedy);
    let bundle = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
    let shared = guest(25.0);
    let (_, scores, ..) = ranked(&bundle, &shared, &dishes(), "d-1");
    let mut scratch = Scratch::new();
    for (candidate, served) in dishes().iter().zip(scores) {
        let row: Features = shared.iter().chain(&candidate.features).cloned().collect();
        let model = bundle.model().unwrap();
        let trained = model.score_features(&row, None, &mut scratch).unwrap();
        assert_eq!(trained[0].to_bits(), served.to_bits(), "{}", candidate.id);
    }
}

#[test]
fn what_does_not_rank_ignores_candidates_and_what_ranks_needs_them() {
    let (choosing, model) = choice(Policy::Greedy);
    let choosing = bundle(choosing, Some(&model));
    let (features, candidates) = (&guest(40.0), &dishes()[..]);
    let mut scratch = Scratch::new();
    let chosen = rank(&choosing, Offered { features, candidates }, "d-1", &mut scratch).chosen;
    assert_eq!(chosen, Chosen::Action(1));

    let blueprint = ranking(None, Policy::Greedy);
    let ranking = bundle(blueprint.clone(), Some(&ranking_model(&blueprint)));
    let nothing = decide(&ranking, features, "d-1", &mut scratch);
    let (order, propensities): (&[u32], &[f64]) = (&[], &[]);
    assert_eq!(nothing.chosen, Chosen::Ranking { order, propensities });
    assert_eq!(nothing.propensity, 1.0);
}

#[test]
fn a_ranking_has_no_threshold_and_no_classes() {
    for (outcome_type, policy) in [
        (OutcomeType::YesNo, Policy::Threshold { at: 0.5 }),
        (OutcomeType::Category, Policy::Greedy),
        (OutcomeType::Category, Policy::EpsilonGreedy { epsilon: 0.1 }),
    ] {
        let mut blueprint = ranking(None, policy);
        blueprint.outcome.outcome_type = outcome_type;
        let error = Bundle::new(applied(blueprint), None).unwrap_err().to_string();
        assert!(error.contains("does not fit"), "{error}");
    }
}
