//! Values that do not fit their key.

use crate::check;

#[test]
fn values_out_of_their_form() {
    check(
        "epsilon = 0.1",
        "epsilon = 1.5",
        "b.toml:19:11: policy.epsilon: 1.5 is not a probability; write a number between 0 and 1",
    );
    check(
        "epsilon = 0.1",
        "epsilon = nan",
        "b.toml:19:11: policy.epsilon: nan is not a probability; write a number between 0 and 1",
    );
    check(
        "epsilon = 0.1",
        "epsilon = \"high\"",
        "b.toml:19:11: policy.epsilon: \"high\" is not a probability; write a number between 0 and 1",
    );
    check(
        "window = \"30m\"",
        "window = \"30\"",
        "b.toml:16:10: outcome.window: \"30\" is not a duration: time unit needed, for example 30sec or \
         30ms; write a number with a unit, such as \"5ms\", \"30m\", \"36h\" or \"90d\"",
    );
    check(
        "window = \"30m\"",
        "window = \"0s\"",
        "b.toml:16:10: outcome.window: \"0s\" is not a duration: it is shorter than a microsecond; write \
         a number with a unit, such as \"5ms\", \"30m\", \"36h\" or \"90d\"",
    );
    check(
        "window = \"30m\"",
        "window = 30",
        "b.toml:16:10: outcome.window: 30 is not a duration; write a number with a unit, such as \"5ms\", \
         \"30m\", \"36h\" or \"90d\"",
    );
    check(
        "train = \"*/5 * * * *\"",
        "train = \"*/5 * * *\"",
        "b.toml:21:9: schedule.train: \"*/5 * * *\" is not a cron expression: it needs five or six fields \
         and has 4; write minute, hour, day of month, month and day of week, such as \"*/5 * * * *\" for \
         every five minutes",
    );
    check(
        "train = \"*/5 * * * *\"",
        "train = \"61 * * * *\"",
        "b.toml:21:9: schedule.train: \"61 * * * *\" is not a cron expression: `61` is no minute: it \
         takes 0 to 59; write minute, hour, day of month, month and day of week, such as \"*/5 * * * *\" \
         for every five minutes",
    );
    check(
        "train = \"*/5 * * * *\"",
        "trials = 0",
        "b.toml:21:10: schedule.trials: 0 is out of range; write a whole number from 1 to 1000",
    );
    check(
        "train = \"*/5 * * * *\"",
        "trials = 2.5",
        "b.toml:21:10: schedule.trials: 2.5 is a number; write a whole number from 1 to 1000",
    );
    check(
        "train = \"*/5 * * * *\"",
        "minimum_rows = 99999999999999999999",
        "b.toml:21:16: schedule.minimum_rows: 99999999999999999999 is out of range; write a whole \
         number, 1 or more",
    );
    check(
        "name = \"menu\"",
        "name = \"The Menu\"",
        "b.toml:1:8: name: \"The Menu\" is not a strategy name; write 1 to 64 of a-z, 0-9, `_` and `-`, \
         beginning with a letter",
    );
    check(
        "[policy]",
        "[model]\nmax_size = \"1 MB/s\"\nmax_latency = \"1ns\"\n[policy]",
        "b.toml:18:12: model.max_size: \"1 MB/s\" is not a size: it has no unit: B, KiB, MiB, GiB, TiB, \
         kB, MB, GB or TB; write a whole number with a unit, such as \"512KiB\" or \"64MiB\"\n\
         b.toml:19:15: model.max_latency: \"1ns\" is not a duration: it is shorter than a microsecond; \
         write a number with a unit, such as \"5ms\", \"30m\", \"36h\" or \"90d\"",
    );
    check(
        "event = \"ordered\"",
        "event = \"\"",
        "b.toml:14:9: outcome.event: \"\" is not a word; write a text of 1 to 256 bytes without control \
         characters",
    );
    check(
        "age = \"number\"",
        "\"user age\" = \"number\"",
        "b.toml:8:1: context.\"user age\": \"user age\" is not a feature name; write 1 to 64 of letters, \
         digits and `_`, beginning with a letter",
    );
    check(
        "when_missing = 50.0",
        "when_missing = inf",
        "b.toml:12:72: features.weather.columns.humid.when_missing: inf is not a finite number; write \
         true or false, a number or a text in quotes",
    );
    check(
        "actions = [\"ramen\", \"tacos\"]",
        "actions = [\"ramen\"]",
        "b.toml:5:11: decision.actions: [\"ramen\"] is too short; write a list of 2 or more",
    );
    check(
        "actions = [\"ramen\", \"tacos\"]",
        "actions = [\"ramen\", 7]",
        "b.toml:5:21: decision.actions[1]: 7 is not a word; write a text of 1 to 256 bytes without \
         control characters",
    );
}

#[test]
fn values_of_another_type() {
    check(
        "age = \"number\"",
        "age = 7",
        "b.toml:8:7: context.age: 7 is a whole number; write \"number\", \"boolean\", \"category\" or \
         \"timestamp\" or a table with type",
    );
    check(
        "age = \"number\"",
        "age = \"numbr\"",
        "b.toml:8:7: context.age: \"numbr\" is unknown; did you mean \"number\"?",
    );
    check(
        "age = \"number\"",
        "age = \"text\"",
        "b.toml:8:7: context.age: \"text\" is unknown; write \"number\", \"boolean\", \"category\" or \
         \"timestamp\" or a table with type",
    );
    check(
        "age = \"number\"",
        "age = { type = \"number\", missing = true }",
        "b.toml:8:36: context.age.missing: true is a boolean; write \"allowed\" or \"refused\"",
    );
    check(
        "age = \"number\"",
        "age = { missing = \"allowed\" }",
        "b.toml:8:7: context.age.type: missing; write \"number\", \"boolean\", \"category\" or \"timestamp\"",
    );
    check(
        "unit = \"user\"",
        "unit = true",
        "b.toml:2:8: unit: true is not a word; write a text of 1 to 256 bytes without control characters",
    );
    check(
        "aggregation = \"any\"",
        "aggregation = \"median\"",
        "b.toml:15:15: outcome.aggregation: \"median\" is unknown; did you mean \"mean\"?",
    );
    check(
        "aggregation = \"any\"",
        "aggregation = \"any\"\nabsent = \"drop\"",
        "b.toml:16:10: outcome.absent: \"drop\" is unknown; write a number or \"exclude\"",
    );
    check(
        "aggregation = \"any\"",
        "aggregation = \"any\"\nabsent = true",
        "b.toml:16:10: outcome.absent: true is a boolean; write a number or \"exclude\"",
    );
    check(
        "[policy]\nkind = \"epsilon_greedy\"\nepsilon = 0.1\n",
        "[[policy]]\nkind = \"greedy\"\n",
        "b.toml:17:1: policy: [[policy]] is a list; write a table whose kind is \"threshold\", \"greedy\", \
         \"epsilon_greedy\", \"epsilon_decreasing\", \"top_k\", \"softmax\", \"thompson\", \"ucb\" or \"slots\"",
    );
}
