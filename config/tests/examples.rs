//! The example blueprints: valid, described by the JSON Schema, and with versions that stay.
#![allow(clippy::unwrap_used, clippy::panic)]

use lakeloop_config::{EXAMPLE_BLUEPRINTS, canonical, json_schema, parse_blueprint, read_blueprints};
use lakeloop_domain::{AbsentLabel, Blueprint, DecisionKind, LearningTarget, OutcomeType, Policy, RowWeights, UnitCap};
use serde_json::Value;

fn example(name: &str) -> (&'static str, Blueprint) {
    let (file, text) = EXAMPLE_BLUEPRINTS.into_iter().find(|(file, _)| *file == name).unwrap();
    let parsed = parse_blueprint(file, text).unwrap_or_else(|errors| panic!("{errors:?}"));
    (text, parsed.blueprint)
}

#[test]
fn menu_chooses_among_twelve_dishes() {
    let (_, menu) = example("menu.toml");
    let DecisionKind::Choose { actions, default } = &menu.decision else {
        panic!("{:?}", menu.decision)
    };
    assert_eq!((actions.len(), default.as_str()), (12, "ramen"));
    assert_eq!(menu.policy, Policy::EpsilonGreedy { epsilon: 0.1 });
    assert_eq!(menu.outcome.outcome_type, OutcomeType::YesNo);
    assert_eq!(menu.outcome.absent, AbsentLabel::Value(0.0));
    assert_eq!(menu.outcome.window_us, 30 * 60 * 1_000_000);
    assert_eq!(menu.limits.max_latency_us, Some(50.0));
    assert_eq!(menu.schedule.train.as_deref(), Some("0 */5 * * * *"));
    let optional: Vec<_> = menu.context.iter().filter(|field| field.missing_allowed).collect();
    assert_eq!(optional.len(), 1);
    assert_eq!(&*optional[0].name, "city");
    assert!(menu.action_is_feature());
}

#[test]
fn flights_reads_the_weather_of_the_origin() {
    let (_, flights) = example("flights.toml");
    assert_eq!(flights.decision, DecisionKind::YesNo { default: false });
    assert_eq!(flights.features[0].freshness_us, Some(6 * 3_600_000_000));
    assert_eq!(flights.features[0].columns.len(), 7);
    assert_eq!(flights.outcome.absent, AbsentLabel::Exclude);
    assert_eq!(flights.schedule.train, None);
    let seen: Vec<&str> = flights.model_features().map(|(name, _)| &**name).collect();
    assert!(
        seen.contains(&"temp") && seen.contains(&"dest") && !seen.contains(&"origin"),
        "{seen:?}"
    );
}

#[test]
fn search_ranks_the_candidates_that_come_with_a_query() {
    let (_, search) = example("rank.toml");
    assert_eq!(search.decision, DecisionKind::Rank { at_most: Some(6) });
    assert!(search.ranks() && !search.action_is_feature());
    assert_eq!((search.actions(), search.default_action()), (vec![], None));
    let seen: Vec<&str> = search.model_features().map(|(name, _)| &**name).collect();
    let (shared, own) = (
        ["budget", "department", "device"],
        ["days_listed", "in_stock", "item_department", "price", "rating"],
    );
    assert_eq!(seen, [&shared[..], &own[..]].concat());
    assert_eq!(search.candidates.len(), 6);
    assert_eq!(search.policy, Policy::EpsilonGreedy { epsilon: 0.1 });
}

#[test]
fn notifications_learn_from_what_two_outcomes_are_worth() {
    let (_, notifications) = example("notifications.toml");
    let parts = notifications.label_parts();
    let told: Vec<_> = parts
        .iter()
        .map(|part| (part.name, part.outcome.event.as_str(), part.weight))
        .collect();
    assert_eq!(told, [("muted", "app_muted", -3.0), ("opened", "opened", 1.0)]);
    // The label is a number, known when the longer window has closed, though both outcomes are yes or no.
    assert_eq!(notifications.outcome.outcome_type, OutcomeType::YesNo);
    assert_eq!(notifications.label_type(), OutcomeType::Number);
    assert_eq!(notifications.learning_target(), LearningTarget::Regression);
    assert_eq!(notifications.label_window_us(), 24 * 3_600 * 1_000_000);
    assert!(notifications.action_is_feature());
    assert_eq!(
        notifications.rewards.row_weights,
        Some(RowWeights::InversePropensity { clip: 20.0 })
    );
    let per_unit = notifications.caps.and_then(|caps| caps.per_unit);
    let every_us = 7 * 24 * 3_600 * 1_000_000;
    assert_eq!(per_unit, Some(UnitCap { limit: 2, every_us }));
}

#[test]
fn a_customer_is_worth_the_sum_of_a_month() {
    let (_, customer) = example("customer_value.toml");
    assert_eq!(customer.decision, DecisionKind::Number { default: 90.0 });
    assert_eq!(customer.policy, Policy::Greedy);
    assert_eq!(customer.label_window_us(), 30 * 86_400 * 1_000_000);
    assert_eq!(customer.label_parts().len(), 1);
    assert!(customer.rewards.is_plain());
}

#[test]
fn versions_stay() {
    // `sha256sum` (GNU coreutils 9.1) of the canonical texts. Decisions and models name these versions for ever.
    for (name, version) in [
        ("menu.toml", "10a0c73d0789019f"),
        ("flights.toml", "6601f29773099977"),
        ("prefetch.toml", "a4d403823e782a10"),
    ] {
        let (text, _) = example(name);
        assert_eq!(parse_blueprint(name, text).unwrap().version.as_str(), version, "{name}");
    }
}

#[test]
fn the_canonical_form_reads_back() {
    for (name, _) in EXAMPLE_BLUEPRINTS {
        let (_, blueprint) = example(name);
        let text = canonical(&blueprint);
        let again: Blueprint = serde_json::from_str(&text).unwrap();
        assert_eq!(again, blueprint);
        assert_eq!(canonical(&again), text);
    }
}

#[test]
fn versions_depend_on_what_is_declared_only() {
    let ordered = r#"
        name = "b"
        unit = "user" # a comment
        [decision]
        kind = "yes_no"
        default = false
        [context]
        a = "number"
        b = { type = "boolean", missing = "refused" }
        [features.weather]
        entity = "unit"
        columns = { t = "number", h = "number" }
        [outcome]
        event = "e"
        aggregation = "any"
        window = "1h"
        [policy]
        kind = "threshold"
        at = 0.5
    "#;
    let shuffled = r#"
        unit = 'user'
        name = "b"
        policy.at = 0.50
        policy.kind = "threshold"
        outcome = { window = "60min", event = "e", aggregation = "any", absent = 0 }
        features.weather = { columns = { h = "number", t = { type = "number" } }, entity = "unit" }
        context = { b = "boolean", a = "number" }
        decision = { default = false, kind = "yes_no" }
    "#;
    let version = |text: &str| parse_blueprint("b.toml", text).unwrap().version;
    assert_eq!(version(ordered), version(shuffled));
    assert_ne!(version(ordered), version(&ordered.replace("0.5", "0.6")));
}

#[test]
fn the_shortest_blueprint_has_sensible_defaults() {
    let text = "name = \"b\"\nunit = \"user\"\n\
                decision = { kind = \"choose\", actions = [\"a\", \"b\"], default = \"a\" }\n\
                outcome = { event = \"e\", aggregation = \"any\", window = \"1h\" }\n";
    let blueprint = parse_blueprint("b.toml", text).unwrap().blueprint;
    assert_eq!(blueprint.policy, Policy::EpsilonGreedy { epsilon: 0.1 });
    assert_eq!((blueprint.schedule.minimum_rows, blueprint.schedule.trials), (200, 8));
    let number = text.replace(
        "kind = \"choose\", actions = [\"a\", \"b\"], default = \"a\"",
        "kind = \"number\", default = 1",
    );
    let number = number.replace("any", "mean") + "context = { a = \"number\" }\n";
    let blueprint = parse_blueprint("b.toml", &number).unwrap().blueprint;
    assert_eq!(blueprint.policy, Policy::Greedy);
    assert_eq!(blueprint.outcome.absent, AbsentLabel::Exclude);
    assert_eq!(blueprint.outcome.outcome_type, OutcomeType::Number);
}

#[test]
fn the_folder_of_examples_reads_as_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints");
    let names: Vec<String> = read_blueprints(&folder)
        .unwrap()
        .iter()
        .map(|parsed| parsed.blueprint.name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "customer_value",
            "flights",
            "menu",
            "notifications",
            "prefetch",
            "search"
        ]
    );
}

#[test]
fn a_folder_names_both_files_of_one_strategy_and_every_other_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = example("menu.toml");
    std::fs::write(folder.path().join("a.toml"), text).unwrap();
    std::fs::write(folder.path().join("b.toml"), text).unwrap();
    std::fs::write(
        folder.path().join("c.toml"),
        text.replace("epsilon = 0.1", "epsilon = 7"),
    )
    .unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not a blueprint").unwrap();
    let dir = folder.path().display();
    let line = text.lines().position(|line| line.starts_with("name = ")).unwrap() + 1;
    let epsilon = text.lines().position(|line| line.starts_with("epsilon")).unwrap() + 1;
    assert_eq!(
        read_blueprints(folder.path()).unwrap_err().to_string(),
        format!(
            "{dir}/b.toml:{line}:8: name: \"menu\" is declared by {dir}/a.toml too; rename one of the two\n\
             {dir}/c.toml:{epsilon}:11: policy.epsilon: 7 is not a probability; write a number between 0 and 1"
        )
    );
}

/// The part of JSON Schema that the published schema uses, checked independently of the crate's own check.
fn accepts(schema: &Value, value: &Value) -> bool {
    let list = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    let number = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let type_fits = match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(other) => panic!("{other}"),
        None => true,
    };
    let object_fits = value.as_object().is_none_or(|object| {
        let known = schema.get("properties").and_then(Value::as_object);
        let required =
            list("required").is_none_or(|keys| keys.iter().all(|key| object.contains_key(key.as_str().unwrap())));
        required
            && object.iter().all(|(key, child)| {
                match (
                    known.and_then(|known| known.get(key)),
                    schema.get("additionalProperties"),
                ) {
                    (Some(property), _) => accepts(property, child),
                    (None, Some(Value::Bool(allowed))) => *allowed,
                    (None, Some(each)) => accepts(each, child),
                    (None, None) => true,
                }
            })
    });
    type_fits
        && object_fits
        && schema.get("const").is_none_or(|constant| constant == value)
        && list("enum").is_none_or(|values| values.contains(value))
        && list("oneOf").is_none_or(|branches| branches.iter().filter(|branch| accepts(branch, value)).count() == 1)
        && list("anyOf").is_none_or(|branches| branches.iter().any(|branch| accepts(branch, value)))
        && number("minimum").is_none_or(|minimum| value.as_f64().is_none_or(|value| value >= minimum))
        && number("maximum").is_none_or(|maximum| value.as_f64().is_none_or(|value| value <= maximum))
        && schema.get("items").is_none_or(|items| {
            value
                .as_array()
                .is_none_or(|list| list.iter().all(|item| accepts(items, item)))
        })
}

#[test]
fn the_published_schema_accepts_the_examples_and_refuses_what_is_refused() {
    let schema = json_schema();
    for (name, text) in EXAMPLE_BLUEPRINTS {
        let value = |text: &str| serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert!(accepts(&schema, &value(text)), "{name}");
        assert!(!accepts(&schema, &value(&format!("surprise = 1\n{text}"))), "{name}");
        assert!(
            !accepts(&schema, &value(&text.replace("window = ", "windw = "))),
            "{name}"
        );
    }
}

/// Every key of an object in the schema, with its description.
fn descriptions<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, Option<&'s str>)>) {
    for (key, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = format!("{path}.{key}");
        if property.get("const").is_none() {
            found.push((path.clone(), property.get("description").and_then(Value::as_str)));
        }
        descriptions(property, &path, found);
    }
    for keyword in ["oneOf", "anyOf"] {
        for branch in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            descriptions(branch, path, found);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(keyword) {
            descriptions(child, path, found);
        }
    }
}

#[test]
fn every_key_of_the_published_schema_is_described() {
    let schema = json_schema();
    let mut found = Vec::new();
    descriptions(&schema, "", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (path, description) in found {
        assert!(description.is_some_and(|text| text.len() > 5), "{path}");
    }
    assert!(!schema.to_string().contains("x-form"));
    assert!(!schema.to_string().contains("\"null\""));
}

#[test]
fn what_training_lets_pass_is_part_of_the_version_and_its_order_is_not() {
    let (text, flights) = example("flights.toml");
    assert!(flights.training.is_default());
    let with = |section: &str| parse_blueprint("flights.toml", &format!("{text}\n[training]\n{section}")).unwrap();
    let one = with("allow_leak = [\"temp\", \"dest\"]\nmust_beat = [\"stump\", \"constant\"]");
    let other = with("must_beat = [\"constant\", \"stump\"]\nallow_leak = [\"dest\", \"temp\", \"dest\"]");
    assert_eq!(one.version, other.version);
    assert_eq!(
        one.blueprint.training.must_beat(),
        [lakeloop_domain::Baseline::Constant, lakeloop_domain::Baseline::Stump]
    );
    let plain = parse_blueprint("flights.toml", text).unwrap();
    assert_ne!(one.version, plain.version);
    assert_eq!(
        with("allow_duplicates = false").version,
        plain.version,
        "what is the default anyway"
    );
}
