//! Sections that are sound but do not go together.

use crate::{MENU, check, messages};

#[test]
fn sections_that_do_not_go_together() {
    check(
        "default = \"ramen\"",
        "default = \"tacoz\"",
        "b.toml:6:11: decision.default: \"tacoz\" is not one of the actions; did you mean \"tacos\"?",
    );
    check(
        "default = \"ramen\"",
        "default = \"steak\"",
        "b.toml:6:11: decision.default: \"steak\" is not one of the actions; write \"ramen\" or \"tacos\"",
    );
    check(
        "[\"ramen\", \"tacos\"]",
        "[\"ramen\", \"tacos\", \"ramen\"]",
        "b.toml:5:30: decision.actions: \"ramen\" stands here twice; write each action once",
    );
    check(
        "age = \"number\"",
        "action = \"category\"",
        "b.toml:8:10: context.action: the name \"action\" is reserved for the action that is scored; \
         write another name",
    );
    check(
        "age = \"number\"",
        "unit = \"category\"",
        "b.toml:8:8: context.unit: the name \"unit\" is reserved for the unit itself; write another name",
    );
    check(
        "temp = \"number\"",
        "action = \"number\"",
        "b.toml:12:22: features.weather.columns.action: the name \"action\" is reserved for the action \
         that is scored; write another name",
    );
    check(
        "temp = \"number\"",
        "event_time = \"number\"",
        "b.toml:12:26: features.weather.columns.event_time: the name \"event_time\" is reserved for a \
         column that every feature view has; write another name",
    );
    check(
        "temp = \"number\"",
        "age = \"number\"",
        "b.toml:12:19: features.weather.columns.age: context.age has this name already; a feature's name \
         is its own, so rename one",
    );
    check(
        "[outcome]",
        "[features.traffic]\nentity = \"unit\"\ncolumns = { temp = \"number\" }\n[outcome]",
        "b.toml:12:20: features.weather.columns.temp: features.traffic.columns.temp has this name \
         already; a feature's name is its own, so rename one",
    );
    check(
        "entity = \"origin\"",
        "entity = \"dest\"",
        "b.toml:11:10: features.weather.entity: \"dest\" is not in the context; write \"origin\" or \
         \"unit\"",
    );
    check(
        "entity = \"origin\"",
        "entity = \"age\"",
        "b.toml:11:10: features.weather.entity: \"age\" is a number of the context; an entity is a \
         category, or \"unit\"",
    );
    check(
        "when_missing = 50.0",
        "when_missing = \"low\"",
        "b.toml:12:72: features.weather.columns.humid.when_missing: \"low\" does not fit a number; write \
         a number, or leave it out",
    );
    check(
        "kind = \"epsilon_greedy\"\nepsilon = 0.1",
        "kind = \"threshold\"",
        "b.toml:18:8: policy.kind: \"threshold\" answers yes or no, but the decision is to choose; write \
         \"epsilon_greedy\" or \"greedy\"",
    );
    check(
        "aggregation = \"any\"",
        "type = \"category\"\naggregation = \"any\"\nabsent = 0",
        "b.toml:16:15: outcome.aggregation: \"any\" does not aggregate categories; write \"first\" or \
         \"last\"\n\
         b.toml:17:10: outcome.absent: 0 is no category; write \"exclude\", or leave it out",
    );
    check(
        "aggregation = \"any\"",
        "aggregation = \"any\"\nabsent = 2",
        "b.toml:16:10: outcome.absent: 2 is no yes/no label; write 0, 1 or \"exclude\"",
    );
    let numbers = MENU.replace(
        "kind = \"choose\"\nactions = [\"ramen\", \"tacos\"]\ndefault = \"ramen\"",
        "kind = \"number\"\ndefault = 0",
    );
    assert_eq!(
        messages(&numbers),
        "b.toml:17:8: policy.kind: \"epsilon_greedy\" chooses an action, but the decision is a number; \
         write \"greedy\""
    );
    let yes_no = numbers
        .replace("kind = \"number\"\ndefault = 0", "kind = \"yes_no\"\ndefault = false")
        .replace("kind = \"epsilon_greedy\"\nepsilon = 0.1", "kind = \"threshold\"")
        .replace("aggregation = \"any\"", "aggregation = \"sum\"");
    assert_eq!(
        messages(&yes_no),
        "b.toml:17:8: policy.kind: \"threshold\" compares a probability, which a number outcome does not \
         give; write \"epsilon_greedy\" or \"greedy\", or outcome.type = \"yes_no\""
    );
    assert_eq!(
        messages(&yes_no.replace("aggregation = \"sum\"", "type = \"category\"\naggregation = \"last\"")),
        "b.toml:14:8: outcome.type: \"category\" says which action was right, so it needs decision.kind = \
         \"choose\"; write \"yes_no\" or \"number\"",
    );
    let blind = "name = \"b\"\nunit = \"u\"\ndecision = { kind = \"yes_no\", default = true }\n\
                 outcome = { event = \"e\", aggregation = \"any\", window = \"1h\" }\n";
    assert_eq!(
        messages(blind),
        "b.toml:1:1: context: a model would see nothing to decide by; write at least one field, such as \
         age = \"number\""
    );
}

/// A valid ranking that the cases below spoil in one place.
const RANK: &str = r#"name = "r"
unit = "u"
[decision]
kind = "rank"
at_most = 3
[context]
age = "number"
[candidates]
price = "number"
[outcome]
event = "e"
aggregation = "any"
window = "1h"
[policy]
kind = "greedy"
"#;

#[track_caller]
fn check_ranking(written: &str, instead: &str, expected: &str) {
    assert_eq!(
        RANK.matches(written).count(),
        1,
        "`{written}` stands once in the blueprint"
    );
    assert_eq!(messages(&RANK.replace(written, instead)), expected);
}

#[test]
fn rankings_and_candidates_go_together() {
    assert_eq!(messages(RANK), "");
    check_ranking(
        "at_most = 3",
        "at_most = 0",
        "b.toml:5:11: decision.at_most: 0 is out of range; write a whole number, 1 or more",
    );
    check_ranking(
        "kind = \"greedy\"",
        "kind = \"threshold\"",
        "b.toml:15:8: policy.kind: \"threshold\" answers yes or no, but the decision is to rank; write \
         \"epsilon_greedy\" or \"greedy\"",
    );
    check_ranking(
        "aggregation = \"any\"",
        "type = \"category\"\naggregation = \"last\"",
        "b.toml:12:8: outcome.type: \"category\" says which action was right, so it needs decision.kind = \
         \"choose\"; write \"yes_no\" or \"number\"",
    );
    check_ranking(
        "kind = \"rank\"\nat_most = 3",
        "kind = \"yes_no\"\ndefault = true",
        "b.toml:8:1: candidates: candidates are put in order, which only decision.kind = \"rank\" does; remove \
         this section, or write that kind",
    );
    let unseen = "a ranking tells candidates apart by what a model sees of each; write at least one field, such as price = \
                  \"number\"";
    check_ranking(
        "[candidates]\nprice = \"number\"\n",
        "",
        &format!("b.toml:1:1: candidates: {unseen}"),
    );
    check_ranking(
        "price = \"number\"",
        "price = { type = \"number\", feature = false }",
        &format!("b.toml:8:1: candidates: {unseen}"),
    );
    check_ranking(
        "price = \"number\"",
        "age = \"number\"",
        "b.toml:9:7: candidates.age: context.age has this name already; a feature's name is its own, so rename one",
    );
    check_ranking(
        "price = \"number\"",
        "action = \"category\"",
        "b.toml:9:10: candidates.action: the name \"action\" is reserved for the action that is scored; write \
         another name",
    );
    check_ranking(
        "[outcome]",
        "[features.items]\nentity = \"unit\"\ncolumns = { price = \"number\" }\n[outcome]",
        "b.toml:12:21: features.items.columns.price: candidates.price has this name already; a feature's name is \
         its own, so rename one",
    );
}

#[test]
fn what_training_lets_pass() {
    check(
        "[policy]",
        "[training]\nallow_leak = [\"humd\"]\n[policy]",
        "b.toml:18:14: training.allow_leak: \"humd\" is no feature of this blueprint; did you mean \"humid\"?",
    );
    check(
        "[policy]",
        "[training]\nmust_beat = [\"stump\"]\n[policy]",
        "b.toml:18:13: training.must_beat: a model that does not beat a constant knows nothing; write \"constant\" among them",
    );
    check(
        "[policy]",
        "[training]\nmust_beat = [\"constnt\"]\n[policy]",
        "b.toml:18:14: training.must_beat[0]: \"constnt\" is unknown; did you mean \"constant\"?",
    );
    check(
        "[policy]",
        "[training]\nallow_leaks = []\n[policy]",
        "b.toml:18:1: training.allow_leaks: unknown key; did you mean allow_leak?",
    );
    // What is wrong with the context is told there, and nowhere else.
    let text = MENU
        .replace("age = \"number\"", "age = \"numbr\"")
        .replace("[policy]", "[training]\nallow_leak = [\"age\"]\n[policy]");
    let found = messages(&text);
    assert!(
        found.starts_with("b.toml:8:7: context.age: ") && found.lines().count() == 1,
        "{found}"
    );
    let text = MENU.replace(
        "[policy]",
        "[training]\nallow_leak = [\"temp\", \"age\"]\nmust_beat = [\"linear\", \"constant\"]\n[policy]",
    );
    assert_eq!(messages(&text), "");
}
