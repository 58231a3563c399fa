//! Notifications with a cap, through the real server: nobody gets more than the blueprint allows, before and after a model is live
//! and across a restart, and what is sent is still worth the disturbance.
//!
//! What a cap leaves is scarce, so two oracles that know every moment's expected value are stated beside: one that sends
//! whenever that is above 0 and the cap allows it, as the product tries to; and one that also knows the moments to come, which
//! saves what it may send for the best of them and bounds what anybody can earn.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::HashMap;

use lakeloop_world::{InboxWorld, Moment};
use serde_json::{Value, json};
use support::{Home, Served};

/// 2026-01-05T00:00:00Z.
const START: i64 = 1_767_571_200_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const NOTIFICATIONS: &str = include_str!("../config/blueprints/notifications.toml");
const SETTINGS: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nsql_listen = \"off\"\nallow_event_time = true\nrefresh_interval = \"50ms\"\n";

/// What the blueprint declares: at most this many in this long a time.
const LIMIT: usize = 2;
const EVERY: i64 = 7 * DAY;

/// The notifications that were sent, by user, and what they were worth.
#[derive(Default)]
struct Sent {
    at: HashMap<String, Vec<i64>>,
    n_sent: usize,
    value: f64,
    /// What a notification would have been worth, by user and day.
    worth: HashMap<String, Vec<f64>>,
}

impl Sent {
    /// The largest number that one user got in any time as long as the cap's.
    fn most(&self) -> usize {
        let in_window = |times: &Vec<i64>| {
            let until = |from: i64| times.iter().filter(|at| (from..from + EVERY).contains(*at)).count();
            times.iter().map(|from| until(*from)).max().unwrap_or(0)
        };
        self.at.values().map(in_window).max().unwrap_or(0)
    }

    /// What an oracle earns from a day on.
    fn earned_by(&self, oracle: impl Fn(&[f64]) -> f64, from_day: usize) -> f64 {
        self.worth.values().map(|worth| oracle(&worth[from_day..])).sum()
    }
}

/// The days before this one on which a window of the cap may have begun, as bits; the latest is the lowest.
const WINDOW: u32 = (1 << (EVERY / DAY - 1)) - 1;

/// Sends whenever it is worth it and the cap allows it.
fn by_the_day(worth: &[f64]) -> f64 {
    let send = |(earned, sent): (f64, u32), worth: &f64| {
        let sends = *worth > 0.0 && ((sent & WINDOW).count_ones() as usize) < LIMIT;
        (earned + if sends { *worth } else { 0.0 }, sent << 1 | u32::from(sends))
    };
    worth.iter().fold((0.0, 0), send).0
}

/// Sends on those days that together are worth most under the cap: a table of the best by what was sent in the days before.
fn with_foresight(worth: &[f64]) -> f64 {
    let n_states = WINDOW as usize + 1;
    let mut best = vec![f64::NEG_INFINITY; n_states];
    best[0] = 0.0;
    for worth in worth {
        let mut next = vec![f64::NEG_INFINITY; n_states];
        for (sent, earned) in best.iter().enumerate() {
            let waits = sent << 1 & WINDOW as usize;
            next[waits] = next[waits].max(*earned);
            if (sent.count_ones() as usize) < LIMIT {
                let sends = waits | 1;
                next[sends] = next[sends].max(earned + worth);
            }
        }
        best = next;
    }
    best.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

/// A day on which every user has one moment, all asked for at once.
async fn live_a_day(served: &Served, world: &mut InboxWorld, day: i64, sent: &mut Sent) {
    let at = START + day * DAY;
    let moments: Vec<Moment> = (0..InboxWorld::ROUND).map(|_| world.next_moment()).collect();
    let asked = moments.iter().enumerate().map(|(idx, moment)| {
        json!({ "strategy": "notifications", "unit": moment.unit, "context": moment.context,
            "decision_id": format!("{day}-{idx}"), "event_time": at + idx as i64 * SECOND })
    });
    let (status, answer) = served
        .post(
            "/v1/decide/batch",
            &json!({ "decisions": asked.collect::<Vec<Value>>() }),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let mut outcomes = Vec::new();
    for (idx, (moment, answer)) in moments.iter().zip(answer["decisions"].as_array().unwrap()).enumerate() {
        let (sends, at) = (answer["action"] == "yes", at + idx as i64 * SECOND);
        sent.value += moment.value(sends);
        sent.worth
            .entry(moment.unit.clone())
            .or_default()
            .push(moment.value(true));
        if !sends {
            continue;
        }
        sent.n_sent += 1;
        sent.at.entry(moment.unit.clone()).or_default().push(at);
        let mut report = |event: &str, later: i64| {
            outcomes.push(json!({ "decision_id": answer["decision_id"], "event": event, "event_time": at + later }));
        };
        if moment.opens() {
            report("opened", 600 * SECOND);
        }
        if moment.mutes() {
            report("app_muted", 18_000 * SECOND);
        }
    }
    if !outcomes.is_empty() {
        let (status, answer) = served.post("/v1/observe", &json!({ "outcomes": outcomes })).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn nobody_gets_more_notifications_than_the_cap_allows() {
    const DAYS: i64 = 25;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let blueprint = NOTIFICATIONS.replace("trials = 8", "trials = 3");
        let home = Home::new(SETTINGS, &[("notifications", &blueprint)]);
        home.run(&["apply"]).success();
        let served = Served::start(&home);
        let mut world = InboxWorld::new(2);
        let mut sent = Sent::default();
        for day in 0..DAYS {
            live_a_day(&served, &mut world, day, &mut sent).await;
        }
        served.flush().await;
        served.stop();
        let exploring = (sent.n_sent, sent.value);
        assert!(exploring.0 > 300, "{} sent while exploring", exploring.0);

        let trained = home
            .run(&[
                "jobs",
                "run",
                "train",
                "--strategy",
                "notifications",
                "--as-of",
                "2026-01-31T00:00:00Z",
            ])
            .success();
        println!("{trained}");
        let models = home
            .run(&["--output", "json", "models", "list", "notifications"])
            .success();
        let models: Value = serde_json::from_str(&models).unwrap();
        assert_eq!(models[0]["stage"], "live", "{models}");

        // A new server: what was sent before its start counts against the caps too.
        let served = Served::start(&home);
        for day in DAYS..DAYS + 21 {
            live_a_day(&served, &mut world, day, &mut sent).await;
        }
        served.stop();
        let learned = (sent.n_sent - exploring.0, sent.value - exploring.1);
        let of_a_send = (exploring.1 / exploring.0 as f64, learned.1 / learned.0 as f64);
        println!(
            "{} sent by chance, worth {:.3} each; {} with a model, worth {:.3} each; at most {} in a week",
            exploring.0,
            of_a_send.0,
            learned.0,
            of_a_send.1,
            sent.most()
        );
        let oracle = sent.earned_by(by_the_day, DAYS as usize);
        let bound = sent.earned_by(with_foresight, DAYS as usize);
        let share = learned.1 / oracle;
        println!("figure use_case_notifications_capped_share_of_oracle {share:.3} share");
        println!(
            "figure use_case_notifications_capped_share_of_foresight {:.3} share",
            learned.1 / bound
        );
        println!("figure use_case_notifications_most_in_a_week {} sends", sent.most());
        println!(
            "figure use_case_notifications_value_of_a_send {:.3} reward",
            of_a_send.1
        );
        assert_eq!(sent.most(), LIMIT, "the cap is reached and never passed");
        assert!(learned.0 > 1_000, "{}", learned.0);
        assert!(of_a_send.1 > of_a_send.0 + 0.1, "{of_a_send:?}");
        assert!(oracle < bound && share > 0.45, "{share}");
    });
}
