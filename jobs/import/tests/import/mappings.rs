//! What can be wrong with a mapping is told all at once, by line and key, and before anything is read.

use crate::support::{LUNCH, LUNCH_HEADER, LUNCH_MAPPING, World, view};
use lakeloop_import::ImportError;

/// The message for a mapping.
async fn refusal(world: &World, mapping: &str) -> String {
    let file = world.file("rows.csv", LUNCH_HEADER);
    world.import(&file, mapping).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_of_a_mapping_is_told_at_its_line() {
    let world = World::new().await;
    let mapping = r#"target = "features"
view = "Weather"
entity = { value = "" }
event_time = { columns = ["y", "m"], time_zone = "Raleigh" }
missing = "NA"
strategy = "x"
[columns]
a = 5
b = { column = "b", type = "text" }
c = { type = "number", unit = "s" }
"#;
    let expected = [
        "mapping.toml:2:8: view: `Weather` is no feature view name: write 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter",
        "mapping.toml:3:20: entity.value: it is empty; write a text",
        "mapping.toml:4:50: event_time.time_zone: \"Raleigh\" is no time zone; write a time zone of the IANA database, such as \"America/New_York\" or \"UTC\"",
        "mapping.toml:5:11: missing: write a list of texts, such as [\"\", \"NA\"]",
        "mapping.toml:6:1: strategy: unknown key; the keys here are available_at, columns, entity, event_time, missing, target, view",
        "mapping.toml:8:5: columns.a: not a text; write the name of a column of the file, in quotes",
        "mapping.toml:9:28: columns.b.type: write \"number\", \"boolean\" or \"category\"",
        "mapping.toml:10:5: columns.c.column: missing; write the name of a column of the file",
        "mapping.toml:10:24: columns.c.unit: unknown key; the keys here are column, type",
    ];
    assert_eq!(refusal(&world, mapping).await.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_asked_for() {
    let world = World::new().await;
    for (mapping, expected) in [
        (
            "",
            "mapping.toml:1:1: target: missing; write \"features\" or \"decisions\"",
        ),
        (
            "target = \"decision\"",
            "mapping.toml:1:10: target: write \"features\" or \"decisions\"",
        ),
        ("target = ", "mapping.toml:1:10: this is no TOML: "),
    ] {
        let refusal = refusal(&world, mapping).await;
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let refusal = refusal(&world, "target = \"decisions\"").await;
    let keys: Vec<&str> = refusal.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        keys,
        ["strategy", "decision_id", "unit", "event_time", "action", "propensity"]
    );
    assert!(
        refusal.contains(
            "propensity: missing; write the column that holds the probability with which the action was chosen, or { value = \
             1.0 } when the choice was not random; without it no other policy can be valued on these decisions"
        ),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_form_says_what_to_write() {
    let world = World::new().await;
    for (from, to, expected) in [
        (
            "event_time = \"at\"",
            "event_time = { columns = [\"a\", \"b\", \"c\"] }",
            "event_time.time_zone: missing; a clock time needs",
        ),
        (
            "event_time = \"at\"",
            "event_time = { columns = [\"a\", \"b\"], time_zone = \"UTC\" }",
            "event_time.columns: write three to six columns",
        ),
        (
            "event_time = \"at\"",
            "event_time = 5",
            "event_time: write a column of RFC 3339 texts",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", unit = \"h\" }",
            "event_time.unit: write \"s\", \"ms\" or \"us\"",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", unit = \"s\", time_zone = \"UTC\" }",
            "event_time: these keys do not go together",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", format = \"%H:%M\", time_zone = \"UTC\" }",
            "event_time.format: \"%H:%M\" does not tell a date and a time",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", format = \"%Q\", time_zone = \"UTC\" }",
            "event_time.format: \"%Q\" does not tell a date and a time",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", format = \"%Y-%m-%d\" }",
            "event_time.format: a clock time needs time_zone",
        ),
        (
            "event_time = \"at\"",
            "event_time = { column = \"at\", format = \"%Y-%m-%dT%H:%M:%S%z\", time_zone = \"UTC\" }",
            "event_time.format: the format holds an offset of its own",
        ),
        (
            "decision_id = \"id\"",
            "decision_id = { value = \"d\" }",
            "decision_id.value: unknown key; the keys here are prefix, row",
        ),
        (
            "decision_id = \"id\"",
            "decision_id = { prefix = \"d\" }",
            "decision_id: write a column, or { prefix = \"…\", row = true }",
        ),
        (
            "unit = \"user\"",
            "unit = 5",
            "unit: write a column, { value = \"…\" }, or { prefix",
        ),
        (
            "propensity = \"p\"",
            "propensity = 0.5",
            "propensity: write a column, or { value = 1.0 }",
        ),
        (
            "propensity = \"p\"",
            "propensity = { value = 0 }",
            "propensity: not a probability; write a number above 0 and at most 1",
        ),
        (
            "propensity = \"p\"",
            "propensity = { value = nan }",
            "propensity: not a probability",
        ),
        (
            "action = \"dish\"",
            "action = \"dish\"\nvalue = \"dish\"",
            "value: a decision has an action or a value",
        ),
        (
            "event = \"ordered\"",
            "",
            "outcome.event: missing; write the name of the event",
        ),
        (
            "city = \"city\"",
            "city = { column = \"city\" }",
            "context.city: not a text; write the name of a column",
        ),
    ] {
        assert!(LUNCH_MAPPING.contains(from));
        let refusal = refusal(&world, &LUNCH_MAPPING.replacen(from, to, 1)).await;
        assert!(refusal.contains(expected), "{to}\n{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_must_fit_the_blueprint_in_force() {
    let world = World::new().await;
    let refused = refusal(&world, LUNCH_MAPPING).await;
    assert_eq!(
        refused,
        "strategy `lunch` is not applied, so the types of its context are unknown; apply its blueprint first with `lakeloop apply`"
    );

    let world = World::with_blueprint(LUNCH).await;
    let refused = refusal(&world, &LUNCH_MAPPING.replace("lunch", "diner")).await;
    assert!(
        refused.ends_with("with `lakeloop apply` (applied are: lunch)"),
        "{refused}"
    );

    let unfit = LUNCH_MAPPING
        .replace("action = \"dish\"", "value = \"dish\"")
        .replace("age = \"age\"", "agee = \"age\"")
        .replace("event = \"ordered\"", "event = \"order\"");
    assert_eq!(
        refusal(&world, &unfit).await.lines().collect::<Vec<_>>(),
        [
            "mapping.toml:7:9: value: strategy `lunch` chooses an action; write action = \"column\" in place of value",
            "mapping.toml:9:1: context: the blueprint of `lunch` requires `age`; write age = \"a column of numbers\"",
            "mapping.toml:10:8: context.agee: the blueprint of `lunch` has no such field; it has age, city, vegetarian",
            "mapping.toml:14:9: outcome.event: the blueprint of `lunch` learns from \"ordered\"; write that",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_with_other_columns_is_refused_and_kept() {
    let world = World::new().await;
    let file = world.file("w.csv", "place,at,t\nA,2017-01-01T05:00:00Z,1\n");
    let mapping = |column: &str| {
        format!(
            "target = \"features\"\nview = \"w\"\nentity = \"place\"\nevent_time = \"at\"\ncolumns = {{ {column} = \"t\" }}\n"
        )
    };
    world.import(&file, &mapping("temp")).await.unwrap();
    let error = world.import(&file, &mapping("warmth")).await.unwrap_err();
    assert!(matches!(error, ImportError::Lake(_)), "{error}");
    assert!(
        error.to_string().contains("feature view `w` exists and differs"),
        "{error}"
    );
    assert_eq!(world.lines(&view("w"), "SELECT temp FROM t").await, ["1.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rankings_that_were_made_elsewhere_are_refused() {
    let search = r#"
        name = "search"
        unit = "query"
        decision = { kind = "rank" }
        candidates = { price = "number" }
        outcome = { event = "clicked", aggregation = "any", window = "1h" }
    "#;
    let mapping = "target = \"decisions\"\nstrategy = \"search\"\ndecision_id = \"id\"\nunit = \"user\"\nevent_time = \"at\"\n\
                   action = \"dish\"\npropensity = { value = 1 }\n";
    let world = World::with_blueprint(search).await;
    assert_eq!(
        refusal(&world, mapping).await,
        "mapping.toml:6:10: action: strategy `search` ranks candidates, and rankings that were made elsewhere cannot be imported \
         in this version; import decisions of strategies that choose or estimate"
    );
}
