//! Policies: how each is written, and what is refused of it.

use lakeloop_config::parse_blueprint;
use lakeloop_domain::{Policy, Slots};

use crate::{MENU, check, messages};

const WRITTEN: &str = "kind = \"epsilon_greedy\"\nepsilon = 0.1\n";

/// The blueprint with another policy.
fn with(policy: &str) -> String {
    assert!(MENU.contains(WRITTEN));
    MENU.replace(WRITTEN, &format!("{policy}\n"))
}

/// A ranking of at most six with this policy.
fn ranking(policy: &str) -> String {
    with(policy)
        .replace(
            "kind = \"choose\"\nactions = [\"ramen\", \"tacos\"]\ndefault = \"ramen\"",
            "kind = \"rank\"\nat_most = 6",
        )
        .replace(
            "[features.weather]",
            "[candidates]\nprice = \"number\"\n[features.weather]",
        )
}

#[track_caller]
fn reads(text: &str, expected: Policy) {
    let parsed = parse_blueprint("b.toml", text).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(parsed.blueprint.policy, expected);
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(messages(text), expected);
}

#[test]
fn every_policy_is_read_with_what_it_leaves_out() {
    reads(
        &with("kind = \"epsilon_decreasing\""),
        Policy::EpsilonDecreasing {
            epsilon: 0.3,
            halved_after: 1_000,
            minimum: 0.01,
        },
    );
    reads(
        &with("kind = \"epsilon_decreasing\"\nepsilon = 0.5\nhalved_after = 200\nminimum = 0"),
        Policy::EpsilonDecreasing {
            epsilon: 0.5,
            halved_after: 200,
            minimum: 0.0,
        },
    );
    reads(&with("kind = \"top_k\"\nk = 2"), Policy::TopK { k: 2 });
    reads(
        &with("kind = \"softmax\"\ntemperature = 0.05"),
        Policy::Softmax { temperature: 0.05 },
    );
    reads(&with("kind = \"thompson\""), Policy::Thompson { epsilon: 0.0 });
    reads(
        &with("kind = \"thompson\"\nepsilon = 0.02"),
        Policy::Thompson { epsilon: 0.02 },
    );
    reads(
        &with("kind = \"ucb\"\nwidth = 2"),
        Policy::Ucb {
            width: 2.0,
            epsilon: 0.0,
        },
    );
    let exploration_slots = Slots::new([3, 6]).unwrap();
    reads(
        &ranking("kind = \"slots\"\nexploration_slots = [6, 3]"),
        Policy::Slots { exploration_slots },
    );
}

#[test]
fn parameters_out_of_range() {
    let softmax = |temperature: &str| with(&format!("kind = \"softmax\"\ntemperature = {temperature}"));
    for temperature in ["0", "-0.5", "nan", "0.0"] {
        refused(
            &softmax(temperature),
            &format!(
                "b.toml:19:15: policy.temperature: {temperature} is not a positive number; write a number above 0, such as 0.1"
            ),
        );
    }
    refused(
        &with("kind = \"softmax\""),
        "b.toml:17:1: policy.temperature: missing; write a positive number: a number above 0, such as 0.1",
    );
    refused(
        &with("kind = \"top_k\"\nk = 0"),
        "b.toml:19:5: policy.k: 0 is out of range; write a whole number, 1 or more",
    );
    refused(
        &with("kind = \"top_k\"\nk = 3"),
        "b.toml:19:5: policy.k: 3 is more than the 2 actions; write a whole number from 1 to 2",
    );
    refused(
        &with("kind = \"ucb\"\nwidth = -1"),
        "b.toml:19:9: policy.width: -1 is out of range; write a number, 0 or more",
    );
    refused(
        &with("kind = \"thompson\"\nepsilon = 2"),
        "b.toml:19:11: policy.epsilon: 2 is not a probability; write a number between 0 and 1",
    );
    refused(
        &with("kind = \"epsilon_decreasing\"\nhalved_after = 0"),
        "b.toml:19:16: policy.halved_after: 0 is out of range; write a whole number, 1 or more",
    );
    refused(
        &with("kind = \"epsilon_decreasing\"\nepsilon = 0.1\nminimum = 0.2"),
        "b.toml:20:11: policy.minimum: 0.2 is above the epsilon that falls to it; write a number between 0 and 0.1",
    );
    refused(
        &with("kind = \"epsilon_decreasing\"\nepsilon = 0.001"),
        "b.toml:19:11: policy.epsilon: 0.001 is below the minimum that it falls to, which is 0.01 unless written; write a \
         larger number, or a smaller minimum",
    );
}

#[test]
fn policies_that_do_not_go_with_the_decision() {
    refused(
        &ranking("kind = \"top_k\"\nk = 3"),
        "b.toml:19:8: policy.kind: \"top_k\" draws one action of the k best, but the decision is to rank; the k best in \
         order are decision.at_most with \"greedy\", \"slots\" or \"epsilon_greedy\"",
    );
    for kind in ["softmax\"\ntemperature = 1", "thompson\"", "ucb\"\nwidth = 1"] {
        let word = kind.split('"').next().unwrap();
        refused(
            &ranking(&format!("kind = \"{kind}")),
            &format!(
                "b.toml:19:8: policy.kind: \"{word}\" chooses one action, but the decision is to rank; write \"slots\", \
                 \"epsilon_greedy\" or \"greedy\""
            ),
        );
    }
    refused(
        &with("kind = \"slots\"\nexploration_slots = [1]"),
        "b.toml:18:8: policy.kind: \"slots\" are positions of a ranking, and the decision returns one action; write \
         \"top_k\", \"epsilon_greedy\" or \"softmax\"",
    );
    let category =
        with("kind = \"thompson\"").replace("aggregation = \"any\"", "aggregation = \"last\"\ntype = \"category\"");
    refused(
        &category,
        "b.toml:19:8: policy.kind: \"thompson\" weighs how sure the model is of each action's expected outcome, which a \
         category does not have; write \"softmax\" or \"epsilon_greedy\", or outcome.type = \"yes_no\" or \"number\"",
    );
}

#[test]
fn slots_that_are_no_positions_that_are_returned() {
    let slots = |positions: &str| ranking(&format!("kind = \"slots\"\nexploration_slots = {positions}"));
    refused(
        &slots("[3, 7]"),
        "b.toml:20:21: policy.exploration_slots: position 7 is never returned, because decision.at_most is 6; write \
         positions from 1 to 6",
    );
    refused(
        &slots("[3, 3]"),
        "b.toml:20:21: policy.exploration_slots: 3 stands here twice; write each position once",
    );
    refused(
        &slots("[0]"),
        "b.toml:20:22: policy.exploration_slots[0]: 0 is out of range; write a whole number from 1 to 64",
    );
    refused(
        &slots("[]"),
        "b.toml:20:21: policy.exploration_slots: [] is too short; write a list of 1 or more",
    );
}

#[test]
fn a_key_of_another_policy() {
    check(
        "epsilon = 0.1",
        "temperature = 0.1",
        "b.toml:19:1: policy.temperature: this key belongs to kind \"softmax\"; remove it",
    );
}
