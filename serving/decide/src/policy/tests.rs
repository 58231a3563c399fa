//! What policies choose, and with which probabilities, against values worked out elsewhere and by rules that must hold.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

fn by(policy: Policy, scores: &[f64]) -> usize {
    best(&policy, &known(scores, None))
}

fn known<'a>(scores: &'a [f64], beliefs: Option<Beliefs<'a>>) -> Known<'a> {
    Known {
        n_actions: scores.len().max(2),
        default_idx: 0,
        scores,
        beliefs,
    }
}

fn of_each(policy: Policy, known: Known<'_>) -> Vec<f64> {
    probabilities(&policy, &known, &mut PolicyScratch::default()).to_vec()
}

#[track_caller]
fn close(found: &[f64], expected: &[f64], error: f64) {
    assert_eq!(found.len(), expected.len());
    for (found_one, expected_one) in found.iter().zip(expected) {
        assert!(
            (found_one - expected_one).abs() <= error,
            "{found:?} instead of {expected:?}"
        );
    }
}

#[test]
fn the_first_declared_of_equal_scores_is_best() {
    assert_eq!(by(Policy::Greedy, &[0.2, 0.5, 0.5, 0.1]), 1);
    assert_eq!(by(Policy::Greedy, &[0.0, -0.0]), 0);
    assert_eq!(by(Policy::Greedy, &[-0.0, 0.0]), 0);
    assert_eq!(by(Policy::EpsilonGreedy { epsilon: 0.3 }, &[-3.0, -2.0, -2.0]), 1);
}

#[test]
fn a_threshold_says_yes_from_its_value_on() {
    let policy = Policy::Threshold { at: 0.5 };
    assert_eq!(by(policy, &[0.5]), 1);
    assert_eq!(by(policy, &[0.5 - f64::EPSILON]), 0);
    assert_eq!(by(Policy::Threshold { at: 0.0 }, &[0.0]), 1);
}

#[test]
fn top_k_takes_the_first_declared_of_equals() {
    let check =
        |k, scores: &[f64], expected: &[f64]| assert_eq!(of_each(Policy::TopK { k }, known(scores, None)), expected);
    check(1, &[0.1, 0.9, 0.9], &[0.0, 1.0, 0.0]);
    check(2, &[0.9, 0.1, 0.9, 0.9], &[0.5, 0.0, 0.5, 0.0]);
    check(2, &[0.0, -0.0, 0.0], &[0.5, 0.5, 0.0]);
    check(3, &[3.0, 1.0, 2.0], &[1.0 / 3.0; 3]);
}

/// Expected values: scipy 1.17.1, `scipy.special.softmax(scores / 0.1)`.
#[test]
fn softmax_equals_that_of_scipy_and_never_overflows() {
    let found = of_each(Policy::Softmax { temperature: 0.1 }, known(&[0.1, 0.3, 0.25], None));
    close(
        &found,
        &[0.07769557914857061, 0.5740969929676945, 0.34820742788373493],
        1e-15,
    );
    let found = of_each(Policy::Softmax { temperature: 1e-300 }, known(&[1e300, -1e300], None));
    assert_eq!(found, [1.0, 0.0]);
    let found = of_each(Policy::Softmax { temperature: 1e300 }, known(&[1.0, -1.0], None));
    assert_eq!(found, [0.5, 0.5]);
}

/// Expected values: numpy and scipy 1.17.1, the sum of norm.pdf · Π `scipy.special.ndtr` over points a twentieth of the
/// smallest σ apart.
#[test]
fn the_probability_of_being_the_best_equals_that_of_a_fine_sum() {
    for (means, deviations, expected) in CASES {
        let beliefs = Beliefs { means, deviations };
        let found = of_each(Policy::Thompson { epsilon: 0.0 }, known(means, Some(beliefs)));
        close(&found, expected, 1e-7);
    }
}

/// P(i is the largest) by Simpson's rule between points that stand an eighth of each σ apart within 9 σ of its mean: it shares
/// no node, weight or limit with what it checks.
fn fine_sum(means: &[f64], deviations: &[f64]) -> Vec<f64> {
    let each = || means.iter().zip(deviations);
    let mut points: Vec<f64> = each()
        .flat_map(|(mean, sigma)| (-72..=72).map(move |step| mean + sigma * f64::from(step) / 8.0))
        .collect();
    points.sort_by(f64::total_cmp);
    let integrand = |x: f64| -> Vec<f64> {
        let at: Vec<(f64, f64, f64)> = each()
            .map(|(mean, sigma)| {
                let (density, below) = normal::density_and_below((x - mean) / sigma);
                (density, below, *sigma)
            })
            .collect();
        let of_one = |one: usize| {
            let others = at.iter().enumerate().filter(|(idx, _)| *idx != one);
            at[one].0 / at[one].2 * others.map(|(_, (_, below, _))| below).product::<f64>()
        };
        (0..at.len()).map(of_one).collect()
    };
    let mut sums = vec![0.0; means.len()];
    for pair in points.windows(2) {
        // Simpson's rule on each piece, whose ends are no further apart than an eighth of any σ that matters there.
        let (from, to) = (pair[0], pair[1]);
        let parts = [(from, 1.0), (f64::midpoint(from, to), 4.0), (to, 1.0)];
        for (x, weight) in parts {
            let values = integrand(x);
            sums.iter_mut()
                .zip(values)
                .for_each(|(sum, value)| *sum += (to - from) / 6.0 * weight * value);
        }
    }
    sums
}

/// What `thompson.rs` and decision 0013 state of its error is measured here.
#[test]
fn the_error_of_being_the_best_is_as_stated() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut largest = 0.0_f64;
    for _ in 0..1_000 {
        let n_actions = rng.random_range(2..=12);
        let spread = 10.0_f64.powf(rng.random_range(-3.0..0.0));
        let means: Vec<f64> = (0..n_actions).map(|_| spread * rng.random_range(-1.0..1.0)).collect();
        let deviations: Vec<f64> = (0..n_actions)
            .map(|_| 10.0_f64.powf(rng.random_range(-3.0..0.0)))
            .collect();
        let beliefs = Beliefs {
            means: &means,
            deviations: &deviations,
        };
        let found = of_each(Policy::Thompson { epsilon: 0.0 }, known(&means, Some(beliefs)));
        for (found, expected) in found.iter().zip(fine_sum(&means, &deviations)) {
            largest = largest.max((found - expected).abs());
        }
    }
    assert!(largest < 1e-7, "{largest:e}");
}

/// Means, standard deviations and probabilities.
const CASES: [(&[f64], &[f64], &[f64]); 5] = [
    (&[0.3, 0.5], &[0.1, 0.2], &[0.18554668476135278, 0.8144533152386687]),
    (
        &[0.1, 0.1, 0.1],
        &[0.3, 0.3, 0.3],
        &[0.3333333333333305, 0.3333333333333305, 0.3333333333333305],
    ),
    (
        &[0.2, 0.25, 0.3, 0.1],
        &[0.05, 0.1, 0.02, 0.4],
        &[
            0.015473049277524414,
            0.22962092865524583,
            0.46332872248849044,
            0.29157729957884954,
        ],
    ),
    (
        &[0.3, 0.31, 0.9, -2.0],
        &[0.001, 0.1, 0.3, 0.5],
        &[
            0.010469990889246245,
            0.02491319412394169,
            0.9646167117440589,
            1.0324508371117744e-07,
        ],
    ),
    (
        &[0.3, 0.32, 0.28, 0.35, 0.31, 0.2, 0.25, 0.33, 0.29, 0.34, 0.1, 0.4],
        &[0.05, 0.04, 0.06, 0.03, 0.05, 0.1, 0.08, 0.04, 0.05, 0.03, 0.2, 0.02],
        &[
            0.021796163727059392,
            0.023715710471160903,
            0.02092580465775184,
            0.05448179170609131,
            0.03387094347441284,
            0.02023668647033112,
            0.027172590368426775,
            0.040174699837821355,
            0.01362510191018879,
            0.028554863307677165,
            0.0631673700609541,
            0.6522782740082347,
        ],
    ),
];

#[test]
fn without_uncertainty_the_highest_mean_is_certain_and_the_first_of_equals() {
    let beliefs = Beliefs {
        means: &[0.1, 0.3, 0.3],
        deviations: &[0.0; 3],
    };
    let found = of_each(Policy::Thompson { epsilon: 0.0 }, known(&[0.0; 3], Some(beliefs)));
    assert_eq!(found, [0.0, 1.0, 0.0]);
}

#[test]
fn an_upper_bound_weighs_what_is_not_known() {
    let beliefs = Beliefs {
        means: &[0.5, 0.4],
        deviations: &[0.01, 0.1],
    };
    let with = |width, epsilon| of_each(Policy::Ucb { width, epsilon }, known(&[0.5, 0.4], Some(beliefs)));
    assert_eq!(with(1.0, 0.0), [1.0, 0.0]);
    assert_eq!(with(2.0, 0.0), [0.0, 1.0]);
    close(&with(2.0, 0.1), &[0.05, 0.95], 1e-15);
}

#[test]
fn who_knows_nothing_draws_evenly_and_says_that_it_explores() {
    let scores = [0.1, 0.9];
    for (policy, known) in [
        (Policy::TopK { k: 1 }, known(&[], None)),
        (Policy::Softmax { temperature: 1.0 }, known(&[], None)),
        (Policy::Thompson { epsilon: 0.0 }, known(&[], None)),
        (Policy::Thompson { epsilon: 0.0 }, known(&scores, None)),
        (
            Policy::Ucb {
                width: 1.0,
                epsilon: 0.0,
            },
            known(&scores, None),
        ),
    ] {
        assert_eq!(of_each(policy, known), [0.5, 0.5]);
        for (draw, action_idx) in [(0.4, 0), (0.6, 1)] {
            let pick = choose(&policy, &known, &mut PolicyScratch::default(), |_| draw);
            assert_eq!(
                (pick.action_idx, pick.propensity, pick.explored),
                (action_idx, 0.5, true)
            );
        }
    }
}

#[test]
fn the_largest_draw_never_names_what_is_impossible() {
    let largest = 1.0 - f64::EPSILON / 2.0;
    assert_eq!(drawn(&[0.3, 0.7 - 1e-12, 0.0], largest), 1);
    assert_eq!(drawn(&[0.0, 1.0], 0.0), 1);
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let share = || prop_oneof![Just(0.0), 0.0..=1.0_f64];
    prop_oneof![
        Just(Policy::Greedy),
        share().prop_map(|epsilon| Policy::EpsilonGreedy { epsilon }),
        (1..9_u32).prop_map(|k| Policy::TopK { k }),
        (0.001..10.0_f64).prop_map(|temperature| Policy::Softmax { temperature }),
        share().prop_map(|epsilon| Policy::Thompson { epsilon }),
        (0.0..4.0_f64, share()).prop_map(|(width, epsilon)| Policy::Ucb { width, epsilon }),
    ]
}

/// Score and deviation of each action; equals are not rare.
fn any_actions() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let score = prop_oneof![-1.0..1.0_f64, Just(0.25)];
    let deviation = prop_oneof![Just(0.0), 1e-4..1.0_f64];
    proptest::collection::vec((score, deviation), 2..20)
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn probabilities_add_up_to_one_and_what_is_chosen_is_possible(
        policy in any_policy(),
        actions in any_actions(),
        bits in 0..1_u64 << 53,
    ) {
        let (scores, deviations): (Vec<f64>, Vec<f64>) = actions.into_iter().unzip();
        let known = known(&scores, Some(Beliefs { means: &scores, deviations: &deviations }));
        let of_each = of_each(policy, known);
        let sum: f64 = of_each.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "{}", sum);
        prop_assert!(of_each.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{:?}", of_each);
        let uniform = bits as f64 * 2.0_f64.powi(-53);
        let pick = choose(&policy, &known, &mut PolicyScratch::default(), |_| uniform);
        prop_assert!(pick.propensity > 0.0);
        prop_assert_eq!(pick.propensity.to_bits(), of_each[pick.action_idx].to_bits());
    }

    #[test]
    fn a_higher_score_is_never_less_likely(policy in any_policy(), actions in any_actions(), deviation in 0.01..1.0_f64) {
        let scores: Vec<f64> = actions.into_iter().map(|(score, _)| score).collect();
        let deviations = vec![deviation; scores.len()];
        let known = known(&scores, Some(Beliefs { means: &scores, deviations: &deviations }));
        let of_each = of_each(policy, known);
        for (a, p_a) in scores.iter().zip(&of_each) {
            for (b, p_b) in scores.iter().zip(&of_each) {
                prop_assert!(a <= b || *p_a >= p_b - 1e-9, "{} {} {:?}", a, b, of_each);
            }
        }
    }

    #[test]
    fn an_action_of_which_more_is_expected_is_more_often_the_best(actions in any_actions(), by in 0.01..1.0_f64) {
        let (means, deviations): (Vec<f64>, Vec<f64>) = actions.into_iter().unzip();
        let with = |first: f64| {
            let mut means = means.clone();
            means[0] = first;
            of_each(
                Policy::Thompson { epsilon: 0.0 },
                known(&means, Some(Beliefs { means: &means, deviations: &deviations })),
            )[0]
        };
        prop_assert!(with(means[0] + by) >= with(means[0]) - 1e-5);
    }
}
