//! Keys that are unknown, missing, or not built yet.

use crate::{MENU, check, messages};

#[test]
fn unknown_and_missing_keys() {
    check(
        "window = \"30m\"",
        "windw = \"30m\"",
        "b.toml:16:1: outcome.windw: unknown key; did you mean window?",
    );
    check(
        "window = \"30m\"",
        "",
        "b.toml:13:1: outcome.window: missing; write a duration: a number with a unit, such as \"5ms\", \
         \"30m\", \"36h\" or \"90d\"",
    );
    check(
        "window = \"30m\"",
        "window = \"30m\"\nlabel = 1",
        "b.toml:17:1: outcome.label: unknown key; the keys here are absent, aggregation, event, type, \
         window",
    );
    check(
        "kind = \"choose\"",
        "",
        "b.toml:3:1: decision.kind: missing; write \"yes_no\", \"choose\", \"number\" or \"rank\"",
    );
    check(
        "kind = \"choose\"",
        "kind = \"chose\"",
        "b.toml:4:8: decision.kind: \"chose\" is unknown; did you mean \"choose\"?",
    );
    check(
        "kind = \"choose\"",
        "kind = \"classify\"",
        "b.toml:4:8: decision.kind: \"classify\" is unknown; write \"yes_no\", \"choose\", \"number\" or \"rank\"",
    );
    check(
        "kind = \"epsilon_greedy\"",
        "kind = \"greedy\"",
        "b.toml:19:1: policy.epsilon: this key belongs to kind \"epsilon_greedy\"; remove it",
    );
    check(
        "[schedule]",
        "[scheduel]",
        "b.toml:20:2: scheduel: unknown key; did you mean schedule?",
    );
    check(
        "[features.weather]",
        "[features.Weather]",
        "b.toml:10:11: features.Weather: \"Weather\" is not a feature view name; write 1 to 64 of a-z, \
         0-9, `_` and `-`, beginning with a letter",
    );
    check(
        "columns = { temp = \"number\", humid = { type = \"number\", when_missing = 50.0 } }",
        "columns = {}",
        "b.toml:12:11: features.weather.columns: it is empty; write a table whose keys you name, with \
         \"number\", \"boolean\" or \"category\" or a table with type for each",
    );
}

#[test]
fn what_is_declared_but_not_built() {
    check(
        "[schedule]",
        "[rollout]\nshadow = \"1h\"\n[schedule]",
        "b.toml:20:2: rollout: this section is declared by the schema but not built yet in this version; \
         remove it",
    );
    check(
        "[schedule]",
        "[schedule]\nreadout = \"0 6 * * *\"",
        "b.toml:21:1: schedule.readout: this key is declared by the schema but not built yet in this \
         version; remove it",
    );
    check(
        "entity = \"origin\"",
        "entity = \"origin\"\nsql = \"SELECT 1\"",
        "b.toml:12:1: features.weather.sql: this key is declared by the schema but not built yet in this \
         version; remove it",
    );
    let sections = ["guardrails", "objectives", "experiment", "tuning", "rollout"];
    for section in sections {
        let text = format!("{MENU}[{section}]\n");
        let expected = format!(
            "b.toml:22:2: {section}: this section is declared by the schema but not built yet in this version; \
             remove it"
        );
        assert_eq!(messages(&text), expected);
    }
}
