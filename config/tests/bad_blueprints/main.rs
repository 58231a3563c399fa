//! Blueprints that are refused: each mistake with the exact message that a user meets.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_config::parse_blueprint;

mod values;

mod keys;

mod sections;

mod learning;

mod caps;

mod rewards;

mod policies;

/// A valid blueprint that the cases below spoil in one place.
const MENU: &str = r#"name = "menu"
unit = "user"
[decision]
kind = "choose"
actions = ["ramen", "tacos"]
default = "ramen"
[context]
age = "number"
origin = "category"
[features.weather]
entity = "origin"
columns = { temp = "number", humid = { type = "number", when_missing = 50.0 } }
[outcome]
event = "ordered"
aggregation = "any"
window = "30m"
[policy]
kind = "epsilon_greedy"
epsilon = 0.1
[schedule]
train = "*/5 * * * *"
"#;

fn messages(text: &str) -> String {
    match parse_blueprint("b.toml", text) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Replaces one text of [`MENU`] and compares the messages.
#[track_caller]
fn check(written: &str, instead: &str, expected: &str) {
    assert_eq!(
        MENU.matches(written).count(),
        1,
        "`{written}` stands once in the blueprint"
    );
    assert_eq!(messages(&MENU.replace(written, instead)), expected);
}

#[test]
fn the_blueprint_that_the_cases_spoil_is_valid() {
    assert_eq!(messages(MENU), "");
}

#[test]
fn text_that_is_no_toml() {
    check(
        "[policy]",
        "[policy",
        "b.toml:17:8: this is no TOML: unclosed table, expected `]`",
    );
    check(
        "epsilon = 0.1",
        "epsilon = 0.1\nepsilon = 0.2",
        "b.toml:20:1: this is no TOML: duplicate key",
    );
    assert_eq!(
        messages(""),
        "b.toml:1:1: name: missing; write a strategy name: 1 to 64 of a-z, 0-9, `_` and `-`, beginning \
         with a letter\n\
         b.toml:1:1: unit: missing; write a word: a text of 1 to 256 bytes without control characters\n\
         b.toml:1:1: decision: missing; write a table whose kind is \"yes_no\", \"choose\", \"number\" or \"rank\"\n\
         b.toml:1:1: outcome: missing; write a table with aggregation, event and window"
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let text = MENU
        .replace("default = \"ramen\"", "default = \"steak\"")
        .replace("age = \"number\"", "age = \"numbr\"")
        .replace("window = \"30m\"", "windw = \"30m\"")
        .replace("epsilon = 0.1", "epsilon = 1.5")
        .replace("[schedule]", "[experiment]\n[schedule]\ntrails = 3");
    assert_eq!(
        messages(&text),
        "b.toml:6:11: decision.default: \"steak\" is not one of the actions; write \"ramen\" or \"tacos\"\n\
         b.toml:8:7: context.age: \"numbr\" is unknown; did you mean \"number\"?\n\
         b.toml:16:1: outcome.windw: unknown key; did you mean window?\n\
         b.toml:19:11: policy.epsilon: 1.5 is not a probability; write a number between 0 and 1\n\
         b.toml:20:2: experiment: this section is declared by the schema but not built yet in this \
         version; remove it\n\
         b.toml:22:1: schedule.trails: unknown key; did you mean trials?"
    );
}
