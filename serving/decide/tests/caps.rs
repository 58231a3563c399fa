//! Caps: what is taken never exceeds them, in whatever order decisions come, and budgets are used up.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use lakeloop_decide::caps::{CapKind, CapTerms, Counters, Share};
use lakeloop_domain::{ActionUse, Amount, Blueprint, Caps, Micros, OutcomeType, Policy, ResourceCap, UnitCap};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::*;

const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;
/// 2026-01-05T00:00:00Z.
const MONDAY: Micros = 1_767_571_200_000_000;

/// The menu, whose default is pho, with caps.
fn capped(caps: Caps) -> Blueprint {
    let blueprint = blueprint(menu("pho"), OutcomeType::YesNo, Policy::Greedy);
    Blueprint {
        caps: Some(caps),
        ..blueprint
    }
}

fn counters(caps: Caps) -> Counters {
    Counters::new(CapTerms::of(&capped(caps)).unwrap(), Share::WHOLE, 1000)
}

fn per_unit(limit: u32, every_us: i64) -> Caps {
    Caps {
        per_unit: Some(UnitCap { limit, every_us }),
        ..Caps::default()
    }
}

fn stove(limit: f64, uses: &[(&str, f64)]) -> Caps {
    let amount = |number| Amount::from_number(number).unwrap();
    let uses = uses.iter().map(|(action, number)| ActionUse {
        action: (*action).to_owned(),
        amount: amount(*number),
    });
    Caps {
        resources: vec![ResourceCap {
            name: "stove".into(),
            limit: amount(limit),
            every_us: HOUR,
            uses: uses.collect(),
        }],
        ..Caps::default()
    }
}

/// Takes an action if it is not blocked, and logs the decision.
fn take(counters: &mut Counters, unit: &str, at: Micros, action_idx: usize) -> Result<(), CapKind> {
    let (mut hold, blocked) = counters.reserve(unit, at);
    let place = blocked.actions.iter().position(|idx| *idx as usize == action_idx);
    let chosen = if place.is_some() { 2 } else { action_idx };
    counters.settle(unit, &mut hold, chosen);
    counters.keep(&hold);
    place.map_or(Ok(()), |place| Err(blocked.by[place]))
}

#[test]
fn a_unit_gets_its_limit_in_any_period_and_one_more_when_the_first_is_a_period_old() {
    let mut counters = counters(per_unit(2, HOUR));
    assert_eq!(take(&mut counters, "ada", MONDAY, 0), Ok(()));
    assert_eq!(take(&mut counters, "ada", MONDAY + 30 * MINUTE, 1), Ok(()));
    assert_eq!(take(&mut counters, "ada", MONDAY + HOUR - 1, 0), Err(CapKind::PerUnit));
    assert_eq!(take(&mut counters, "bob", MONDAY + HOUR - 1, 0), Ok(()));
    assert_eq!(take(&mut counters, "ada", MONDAY + HOUR, 0), Ok(()));
    assert_eq!(take(&mut counters, "ada", MONDAY + HOUR + 1, 0), Err(CapKind::PerUnit));
    // A late one would share a period with two that were taken since.
    assert_eq!(
        take(&mut counters, "ada", MONDAY + 20 * MINUTE, 0),
        Err(CapKind::PerUnit)
    );
    // Too late to know what was taken around it.
    assert_eq!(take(&mut counters, "eve", MONDAY, 0), Err(CapKind::Unknown));
}

#[test]
fn a_resource_renews_with_the_clock_period_and_actions_use_what_is_declared() {
    let mut counters = counters(stove(1.0, &[("ramen", 0.3), ("tacos", 0.7)]));
    let at = MONDAY + 59 * MINUTE;
    assert_eq!(take(&mut counters, "a", at, 0), Ok(()));
    assert_eq!(take(&mut counters, "b", at, 1), Ok(()));
    assert_eq!(take(&mut counters, "c", at, 0), Err(CapKind::Resource));
    assert_eq!(take(&mut counters, "c", MONDAY + HOUR, 1), Ok(()));
    let (hold, blocked) = counters.reserve("d", MONDAY + HOUR);
    assert_eq!(blocked.actions, [1], "0.3 are left, which is enough for ramen");
    counters.give_back("d", &hold);
    // What was set aside for the other one counts until it is given back.
    let (first, _) = counters.reserve("d", MONDAY + HOUR);
    let (second, blocked) = counters.reserve("e", MONDAY + HOUR);
    assert_eq!(blocked.actions, [0, 1]);
    counters.give_back("e", &second);
    counters.give_back("d", &first);
    assert_eq!(take(&mut counters, "e", MONDAY + HOUR, 0), Ok(()));
    assert_eq!(take(&mut counters, "f", MONDAY - HOUR, 0), Err(CapKind::Unknown));
}

#[test]
fn a_share_of_traffic_is_never_exceeded_and_fully_used() {
    let mut counters = counters(Caps {
        traffic_share: Some(0.2),
        ..Caps::default()
    });
    let mut n_taken = 0;
    for n in 1..=1000 {
        if take(&mut counters, &n.to_string(), MONDAY + n, 0).is_ok() {
            n_taken += 1;
        }
        assert_eq!(n_taken, n / 5, "after {n}");
    }
    // A new hour begins anew: the first of it may not take, for one of one is more than a fifth.
    assert_eq!(take(&mut counters, "x", MONDAY + HOUR, 0), Err(CapKind::TrafficShare));
}

#[test]
fn budgets_are_used_up_where_more_is_asked_for() {
    let mut by_hour = counters(stove(1000.0, &[]));
    let mut by_unit = counters(per_unit(3, HOUR));
    for hour in 0..3 {
        let (mut n_used, mut n_sent) = (0, 0);
        for n in 0..5000 {
            let at = MONDAY + hour * HOUR + n * HOUR / 5000;
            n_used += i32::from(take(&mut by_hour, "u", at, 0).is_ok());
            n_sent += i32::from(take(&mut by_unit, &format!("u{}", n % 100), at, 1).is_ok());
        }
        assert_eq!((n_used, n_sent), (1000, 300));
    }
}

#[test]
fn several_servers_share_a_limit_without_rest() {
    let taken = |caps: &Caps, idx, of, unit: &dyn Fn(i64) -> String| {
        let terms = CapTerms::of(&capped(caps.clone())).unwrap();
        let mut one = Counters::new(terms, Share { idx, of }, 1000);
        (0..10)
            .filter(|n| take(&mut one, &unit(*n), MONDAY + n, 0).is_ok())
            .count()
    };
    for of in 1..=5 {
        for limit in 1..=7 {
            for unit in ["ada", "bob", "eve"] {
                let all: usize = (0..of)
                    .map(|idx| taken(&per_unit(limit, HOUR), idx, of, &|_| unit.to_owned()))
                    .sum();
                assert_eq!(all, limit as usize, "{of} servers, {unit}");
            }
            // An action that uses a whole one needs a server whose part is a whole one.
            let parts = stove(f64::from(limit * of), &[]);
            let all: usize = (0..of).map(|idx| taken(&parts, idx, of, &|n| n.to_string())).sum();
            assert_eq!(all, (limit * of) as usize, "{of} servers");
        }
    }
}

#[test]
fn where_there_is_no_room_units_wait() {
    let terms = CapTerms::of(&capped(per_unit(1, HOUR))).unwrap();
    let mut counters = Counters::new(terms, Share::WHOLE, 2);
    assert_eq!(take(&mut counters, "a", MONDAY, 0), Ok(()));
    assert_eq!(take(&mut counters, "b", MONDAY, 0), Ok(()));
    assert_eq!(take(&mut counters, "c", MONDAY + 1, 0), Err(CapKind::Entries));
    assert_eq!(take(&mut counters, "c", MONDAY + 2 * HOUR, 0), Ok(()));
    assert_eq!(counters.n_entries(), 1);
    // What finds no room at a start makes every unit wait for as long as it may matter.
    counters.restore("d", MONDAY + 2 * HOUR, 0);
    counters.restore("e", MONDAY + 2 * HOUR, 0);
    assert_eq!(
        take(&mut counters, "e", MONDAY + 3 * HOUR - 1, 0),
        Err(CapKind::Entries)
    );
}

/// One decision: when, for whom, which action it would like, whether it is logged, and how many others are decided
/// before it is.
type Step = (i64, u8, usize, bool, usize);

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_order_of_decisions_exceeds_a_cap(
        steps in prop::collection::vec((-20 * MINUTE..40 * MINUTE, 0_u8..3, 0_usize..3, prop::bool::weighted(0.8), 0_usize..4), 1..120),
        limit in 1_u32..4,
        budget in 1_u32..6,
        share in prop::sample::select(vec![0.25, 0.5, 0.9]),
    ) {
        let every_us = 2 * HOUR / 3;
        let caps = Caps {
            per_unit: Some(UnitCap { limit, every_us }),
            traffic_share: Some(share),
            ..stove(f64::from(budget), &[("ramen", 1.0), ("tacos", 0.5)])
        };
        let mut counters = counters(caps.clone());
        let mut waiting = Vec::new();
        let mut kept: Vec<(String, Micros, usize)> = Vec::new();
        let mut traffic: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        let mut now = MONDAY;
        let steps: Vec<Step> = steps;
        for (ahead, unit, wish, is_logged, n_between) in steps {
            now += ahead;
            let unit = format!("u{unit}");
            let (mut hold, blocked) = counters.reserve(&unit, now);
            let chosen = if blocked.actions.contains(&(wish as u32)) { 2 } else { wish };
            counters.settle(&unit, &mut hold, chosen);
            waiting.push((unit, now, chosen, is_logged, hold));
            while waiting.len() > n_between {
                let (unit, at, chosen, is_logged, hold) = waiting.remove(0);
                if !is_logged {
                    counters.give_back(&unit, &hold);
                    continue;
                }
                counters.keep(&hold);
                let of_hour = traffic.entry(at.div_euclid(HOUR)).or_default();
                of_hour.1 += 1;
                if chosen != 2 {
                    of_hour.0 += 1;
                    kept.push((unit, at, chosen));
                }
                prop_assert!(f64::from(of_hour.0) <= share * f64::from(of_hour.1));
            }
        }
        for (unit, from, _) in &kept {
            let within = kept.iter().filter(|(other, at, _)| other == unit && (*from..from + every_us).contains(at));
            prop_assert!(within.count() <= limit as usize);
        }
        let mut used: BTreeMap<i64, u64> = BTreeMap::new();
        for (_, at, chosen) in &kept {
            *used.entry(at.div_euclid(HOUR)).or_default() += [1_000_000, 500_000][*chosen];
        }
        prop_assert!(used.values().all(|used| *used <= u64::from(budget) * 1_000_000));

        // What is rebuilt from the log blocks what the others block, share aside, which begins anew.
        for (unit, _, _, _, hold) in &waiting {
            counters.give_back(unit, hold);
        }
        let unshared = Caps { traffic_share: None, ..caps };
        let mut rebuilt = Counters::new(CapTerms::of(&capped(unshared)).unwrap(), Share::WHOLE, 1000);
        for (unit, at, chosen) in &kept {
            rebuilt.restore(unit, *at, *chosen);
        }
        for unit in ["u0", "u1", "u2"] {
            let at = now + HOUR / 2;
            let (hold, before) = counters.reserve(unit, at);
            counters.give_back(unit, &hold);
            let (hold, after) = rebuilt.reserve(unit, at);
            rebuilt.give_back(unit, &hold);
            prop_assert!(after.actions.iter().all(|action| before.actions.contains(action)));
            let by_others = |by: &CapKind| matches!(by, CapKind::PerUnit | CapKind::Resource);
            for (action, by) in before.actions.iter().zip(&before.by) {
                prop_assert!(!by_others(by) || after.actions.contains(action));
            }
        }
    }
}
