//! Every policy: what is logged is what happens, what the distribution says is what is logged, and a record replays.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;

use lakeloop_decide::{
    Asked, Bundle, Chosen, Offered, Replay, Scratch, decide, position_probabilities, probabilities, rank, record,
    replay,
};
use lakeloop_domain::*;
use support::*;

const N_DECISIONS: usize = 1_000_000;

/// χ² that a true distribution exceeds with probability 1e-4, by degrees of freedom; scipy 1.17.1, `chi2.isf(1e-4, df)`.
const CRITICAL: [(usize, f64); 4] = [
    (1, 15.136705226623397),
    (2, 18.420680743952364),
    (4, 23.512742444990838),
    (5, 25.744831959055876),
];

/// The policies that draw from the probabilities of all actions, and the one whose share falls.
fn policies() -> Vec<Policy> {
    vec![
        Policy::EpsilonDecreasing {
            epsilon: 0.4,
            halved_after: 2,
            minimum: 0.01,
        },
        Policy::TopK { k: 2 },
        Policy::Softmax { temperature: 0.8 },
        Policy::Thompson { epsilon: 0.0 },
        Policy::Thompson { epsilon: 0.1 },
        Policy::Ucb {
            width: 2.0,
            epsilon: 0.0,
        },
        Policy::Ucb {
            width: 2.0,
            epsilon: 0.3,
        },
    ]
}

/// The scores of [`choice`] are 1, 2 and 2; this says that ramen may well be better, and that pho is known best.
fn unsure() -> Uncertainty {
    let belief = |action: &str, offset, offset_variance| ActionBelief {
        action: action.into(),
        belief: Belief {
            offset,
            slope: 0.1,
            offset_variance,
            slope_variance: 0.01,
            covariance: 0.005,
        },
    };
    let actions = vec![
        belief("ramen", 0.5, 1.0),
        belief("tacos", 0.0, 0.25),
        belief("pho", 0.1, 0.04),
    ];
    Uncertainty {
        center: 1.5,
        unseen: actions[0].belief,
        actions,
    }
}

fn unsure_choice(policy: Policy) -> (Blueprint, ModelRecord) {
    let (blueprint, record) = choice(policy);
    let record = ModelRecord {
        uncertainty: Some(unsure()),
        ..record
    };
    (blueprint, record)
}

/// With a model, without one, and with one that does not say how sure it is.
fn bundles() -> Vec<Bundle> {
    let with = |policy| {
        let (blueprint, record) = unsure_choice(policy);
        let silent = choice(policy).1;
        [
            bundle(blueprint.clone(), Some(&record)),
            bundle(blueprint.clone(), None),
            bundle(blueprint, Some(&silent)),
        ]
    };
    policies().into_iter().flat_map(with).collect()
}

#[track_caller]
fn check_shares(counts: &[usize], shares: &[f64], what: &str) {
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{what}: {shares:?}");
    let n: usize = counts.iter().sum();
    let (mut chi_squared, mut n_possible) = (0.0, 0);
    for (count, share) in counts.iter().zip(shares) {
        let expected = share * n as f64;
        if expected == 0.0 {
            assert_eq!(*count, 0, "{what}: what is impossible happened");
        } else {
            chi_squared += (*count as f64 - expected).powi(2) / expected;
            n_possible += 1;
        }
    }
    if n_possible < 2 {
        assert_eq!(chi_squared, 0.0, "{what}");
        return;
    }
    let critical = CRITICAL
        .iter()
        .find(|(degrees, _)| *degrees == n_possible - 1)
        .unwrap()
        .1;
    assert!(
        chi_squared < critical,
        "{what}: χ² = {chi_squared} for {counts:?} against {shares:?}"
    );
}

#[test]
fn actions_come_as_often_as_their_propensities_say() {
    for policy in policies() {
        let (blueprint, record) = unsure_choice(policy);
        let bundle = bundle(blueprint, Some(&record));
        let features = features(Some(20.0), Some("Oslo"), None);
        let mut scratch = Scratch::new();
        let shares = probabilities(&bundle, &features, &mut scratch).unwrap().to_vec();
        let mut counts = vec![0; shares.len()];
        for decision_id in 0..N_DECISIONS {
            let decision = decide(&bundle, &features, &decision_id.to_string(), &mut scratch);
            let Chosen::Action(action_idx) = decision.chosen else {
                panic!("an action is chosen")
            };
            assert_eq!(
                decision.propensity.to_bits(),
                shares[action_idx].to_bits(),
                "{policy:?}"
            );
            counts[action_idx] += 1;
        }
        check_shares(&counts, &shares, &format!("{policy:?}"));
    }
}

#[test]
fn every_policy_draws_evenly_before_there_is_a_model_but_those_with_a_default() {
    for policy in policies() {
        let bundle = bundle(choice(policy).0, None);
        let features = features(None, None, None);
        let mut scratch = Scratch::new();
        let shares = probabilities(&bundle, &features, &mut scratch).unwrap().to_vec();
        let expected = match policy {
            // pho is the default.
            Policy::EpsilonDecreasing { epsilon, .. } => {
                vec![epsilon / 3.0, epsilon / 3.0, 1.0 - epsilon + epsilon / 3.0]
            }
            _ => vec![1.0 / 3.0; 3],
        };
        assert!(
            shares.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15),
            "{policy:?}: {shares:?}"
        );
        let mut counts = vec![0; 3];
        for decision_id in 0..100_000 {
            let decision = decide(&bundle, &features, &decision_id.to_string(), &mut scratch);
            let Chosen::Action(action_idx) = decision.chosen else {
                panic!("an action is chosen")
            };
            assert!(decision.reason != DecisionReason::Exploit);
            counts[action_idx] += 1;
        }
        check_shares(&counts, &shares, &format!("{policy:?} without a model"));
    }
}

#[test]
fn thompson_prefers_what_may_be_best_and_a_bound_takes_what_is_least_known() {
    let mut scratch = Scratch::new();
    let features = features(Some(20.0), Some("Oslo"), None);
    let mut of = |policy| {
        let (blueprint, record) = unsure_choice(policy);
        probabilities(&bundle(blueprint, Some(&record)), &features, &mut scratch)
            .unwrap()
            .to_vec()
    };
    let thompson = of(Policy::Thompson { epsilon: 0.0 });
    assert!(thompson.iter().all(|share| *share > 0.1), "{thompson:?}");
    // Means 1.45, 2.05 and 2.15, deviations about 1, 0.5 and 0.2: two of them make ramen's bound the highest.
    let ucb = Policy::Ucb {
        width: 2.0,
        epsilon: 0.0,
    };
    assert_eq!(of(ucb), [1.0, 0.0, 0.0]);
}

#[test]
fn a_share_falls_with_what_the_live_model_has_learned_from() {
    let policy = Policy::EpsilonDecreasing {
        epsilon: 0.4,
        halved_after: 2,
        minimum: 0.01,
    };
    let (blueprint, mut record) = choice(policy);
    let in_force = |record: Option<&ModelRecord>| *bundle(blueprint.clone(), record).policy();
    assert_eq!(in_force(None), Policy::EpsilonGreedy { epsilon: 0.4 });
    // Two rows were learned from.
    assert_eq!(in_force(Some(&record)), Policy::EpsilonGreedy { epsilon: 0.2 });
    record.metrics.n_train_rows = 1_000_000_000;
    assert_eq!(in_force(Some(&record)), Policy::EpsilonGreedy { epsilon: 0.01 });
}

fn asked(decision_id: &str, features: Features, candidates: Vec<Candidate>) -> Asked {
    Asked {
        decision_id: DecisionId::new(decision_id).unwrap(),
        unit: UnitId::new("guest-1").unwrap(),
        event_time: 1,
        received_at: 2,
        features,
        feature_versions: Vec::new(),
        candidates,
    }
}

#[test]
fn what_any_policy_decided_is_decided_again() {
    let mut scratch = Scratch::new();
    for bundle in bundles() {
        for idx in 0..200 {
            let city = ["Oslo", "Lima", "Rome"].get(idx as usize % 4).copied();
            let features = features((idx % 5 != 0).then_some(f64::from(idx) / 3.0), city, Some(idx % 2 == 0));
            let decision_id = format!("d-{idx}");
            let decision = decide(&bundle, &features, &decision_id, &mut scratch);
            let mut made = record(&bundle, asked(&decision_id, features.clone(), Vec::new()), &decision);
            assert_eq!(made.policy, Some(bundle.blueprint().policy));
            assert_eq!(replay(&made, &bundle), Replay::Same);
            made.propensity = f64::from_bits(made.propensity.to_bits() ^ 1);
            assert!(matches!(
                replay(&made, &bundle),
                Replay::Differs {
                    field: "propensity",
                    ..
                }
            ));
        }
    }
}

fn slots(positions: &[u32]) -> Policy {
    Policy::Slots {
        exploration_slots: Slots::new(positions.iter().copied()).unwrap(),
    }
}

/// By the model d (2.5) comes first, then b and e (2), c (1.5), a (1); slots at 2 and 4 of four positions.
#[test]
fn candidates_come_at_slots_as_often_as_their_propensities_say_and_nowhere_else() {
    let blueprint = ranking(Some(4), slots(&[2, 4]));
    let model = ranking_model(&blueprint);
    let bundle = bundle(blueprint, Some(&model));
    let (features, candidates) = (features(Some(40.0), None, None), dishes());
    let offered = Offered {
        features: &features,
        candidates: &candidates,
    };
    let mut scratch = Scratch::new();
    let positions = position_probabilities(&bundle, offered, &mut scratch).unwrap();
    let shares: Vec<Vec<f64>> = (0..positions.len())
        .map(|position| positions.at(position).to_vec())
        .collect();
    let third = 1.0 / 3.0;
    assert_eq!(
        shares,
        [
            [0.0, 0.0, 0.0, 1.0, 0.0],
            [third, 0.0, third, 0.0, third],
            [0.0, 1.0, 0.0, 0.0, 0.0],
            [third, 0.0, third, 0.0, third],
        ]
    );
    let mut counts = vec![vec![0; 5]; 4];
    let mut orders: HashMap<Vec<u32>, usize> = HashMap::new();
    for decision_id in 0..N_DECISIONS {
        let decision = rank(&bundle, offered, &decision_id.to_string(), &mut scratch);
        let Chosen::Ranking { order, propensities } = decision.chosen else {
            panic!("candidates are ranked")
        };
        assert_eq!(decision.propensity, third / 2.0);
        for (position, (candidate, propensity)) in order.iter().zip(propensities).enumerate() {
            assert_eq!(*propensity, shares[position][*candidate as usize]);
            counts[position][*candidate as usize] += 1;
        }
        assert_eq!(decision.reason, DecisionReason::Explore);
        *orders.entry(order.to_vec()).or_default() += 1;
    }
    for (counts, shares) in counts.iter().zip(&shares) {
        check_shares(counts, shares, "a position");
    }
    let counts: Vec<usize> = orders.values().copied().collect();
    check_shares(&counts, &[third / 2.0; 6], "orders");
}

#[test]
fn slots_beyond_the_candidates_change_nothing_and_slots_of_all_shuffle() {
    let (features, candidates) = (features(Some(40.0), None, None), dishes());
    let mut scratch = Scratch::new();
    let mut returned = |policy, n_candidates: usize| {
        let bundle = bundle(ranking(None, policy), None);
        let offered = Offered {
            features: &features,
            candidates: &candidates[..n_candidates],
        };
        let decision = rank(&bundle, offered, "d-1", &mut scratch);
        let Chosen::Ranking { order, .. } = decision.chosen else {
            panic!("candidates are ranked")
        };
        (order.to_vec(), decision.propensity)
    };
    assert_eq!(returned(slots(&[7]), 5), (vec![0, 1, 2, 3, 4], 1.0));
    assert_eq!(returned(slots(&[1]), 0), (vec![], 1.0));
    assert_eq!(returned(slots(&[1]), 1), (vec![0], 1.0));
    let (mut order, propensity) = returned(slots(&[1, 2, 3, 4, 5]), 5);
    assert!((propensity - 1.0 / 120.0).abs() < 1e-15);
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn a_ranking_with_slots_is_made_again() {
    let blueprint = ranking(Some(4), slots(&[2, 4]));
    let model = ranking_model(&blueprint);
    let mut scratch = Scratch::new();
    for bundle in [bundle(blueprint.clone(), None), bundle(blueprint, Some(&model))] {
        for idx in 0..200 {
            let (features, candidates) = (features(Some(f64::from(idx)), None, None), dishes());
            let decision_id = format!("d-{idx}");
            let offered = Offered {
                features: &features,
                candidates: &candidates,
            };
            let decision = rank(&bundle, offered, &decision_id, &mut scratch);
            let made = record(
                &bundle,
                asked(&decision_id, features.clone(), candidates.clone()),
                &decision,
            );
            assert_eq!(replay(&made, &bundle), Replay::Same);
        }
    }
}

#[test]
fn an_uncertainty_that_is_none_is_refused() {
    let (_, record) = choice(Policy::Greedy);
    for spoil in [
        |known: &mut Uncertainty| known.center = f64::NAN,
        |known: &mut Uncertainty| known.actions[1].belief.offset_variance = -0.1,
        |known: &mut Uncertainty| known.unseen.slope = f64::INFINITY,
    ] {
        let mut uncertainty = unsure();
        spoil(&mut uncertainty);
        let spoiled = ModelRecord {
            uncertainty: Some(uncertainty),
            ..record.clone()
        };
        let error = lakeloop_decide::Model::from_record(&spoiled).unwrap_err();
        assert_eq!(error.to_string(), "model 3 of strategy `dinner` cannot be loaded");
    }
}
