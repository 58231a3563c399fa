//! Decisions and their outcomes, judged row by row by the blueprint in force.

use std::collections::BTreeMap;

use crate::support::{LUNCH, LUNCH_HEADER, LUNCH_MAPPING, NOW, World, shown};
use lakeloop_domain::{Choice, DecisionReason, FeatureValue, OutcomeValue};
use lakeloop_import::ImportError;
use lakeloop_lake::TableName;

/// 2023-05-01T12:00:00Z.
const NOON: i64 = 1_682_942_400_000_000;

fn lunch(rows: &str) -> String {
    format!("{LUNCH_HEADER}{rows}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_becomes_a_decision_and_its_outcome() {
    let world = World::with_blueprint(LUNCH).await;
    let file = world.file(
        "log.csv",
        lunch(
            "d1,anna,2023-05-01T12:00:00Z,salad,0.25,31.5,yes,Ulm,1\n\
             d2,ben,2023-05-01T12:01:00Z,14,1,40,NA,,0\n\
             d3,ben,2023-05-01T12:02:00Z,soup,0.5,40,0,Köln,\n",
        ),
    );
    let report = world.import_strictly(&file, LUNCH_MAPPING).await.unwrap();
    assert_eq!(
        (report.rows_read, report.bad_rows, report.already_imported),
        (3, 0, false)
    );
    assert_eq!(
        report.rows_written,
        BTreeMap::from([(TableName::Decisions, 3), (TableName::Outcomes, 2)])
    );

    let decisions = world.decisions().await;
    let first = &decisions[0];
    assert_eq!((first.decision_id.as_str(), first.unit.as_str()), ("d1", "anna"));
    assert_eq!((first.event_time, first.received_at), (NOON, NOW));
    assert_eq!(first.choice, Choice::Action("salad".to_owned()));
    assert_eq!(first.actions, ["soup", "salad", "14"]);
    assert_eq!((first.propensity, first.reason), (0.25, DecisionReason::Imported));
    assert_eq!(
        (
            first.model_version,
            first.policy,
            first.salt.as_str(),
            first.scores.len()
        ),
        (None, None, "", 0)
    );
    let values = |idx: usize| -> Vec<(&str, &FeatureValue)> {
        decisions[idx]
            .features
            .iter()
            .map(|feature| (&*feature.name, &feature.value))
            .collect()
    };
    let city = |name: &str| FeatureValue::Category(name.to_owned());
    let number = FeatureValue::Number;
    assert_eq!(
        values(0),
        [
            ("age", &number(31.5)),
            ("vegetarian", &number(1.0)),
            ("city", &city("Ulm"))
        ]
    );
    assert_eq!(
        values(1),
        [
            ("age", &number(40.0)),
            ("vegetarian", &FeatureValue::Missing),
            ("city", &FeatureValue::Missing)
        ]
    );
    assert_eq!(
        values(2),
        [
            ("age", &number(40.0)),
            ("vegetarian", &number(0.0)),
            ("city", &city("Köln"))
        ]
    );

    let outcomes = world.outcomes().await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            (
                outcome.decision_id.as_ref().unwrap().as_str(),
                &outcome.value,
                outcome.event_time,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("d1", &OutcomeValue::Number(1.0), NOON),
            ("d2", &OutcomeValue::Number(0.0), NOON + 60_000_000),
        ]
    );
    // printf 'import\0d1\0ordered\0' | sha256sum | cut -c1-32 (GNU coreutils 9.1)
    assert_eq!(outcomes[0].outcome_id.as_str(), "e06e5f5e1e5bd0f37ef9020bcf5931f9");
    assert_eq!((outcomes[0].event.as_str(), outcomes[0].received_at), ("ordered", NOW));
    assert_eq!((&outcomes[0].strategy, &outcomes[0].unit), (&None, &None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_value_is_told_and_the_rest_is_taken() {
    let world = World::with_blueprint(LUNCH).await;
    let rows = [
        ("d1,anna,2023-05-01T12:00:00Z,salad,0.25,31,yes,Ulm,1", ""),
        (
            "d2,anna,2023-05-01T12:00:00Z,pizza,0.25,31,yes,Ulm,1",
            "dish: found \"pizza\", expected one of the blueprint's actions: soup, salad, 14",
        ),
        (
            "d3,anna,2023-05-01T12:00:00Z,,0.25,31,yes,Ulm,1",
            "dish: found no value, expected one of the blueprint's actions: soup, salad, 14",
        ),
        (
            "d4,anna,2023-05-01T12:00:00Z,soup,0,31,yes,Ulm,1",
            "p: found \"0\", expected a probability above 0 and at most 1",
        ),
        (
            "d5,anna,2023-05-01T12:00:00Z,soup,1.0001,31,yes,Ulm,1",
            "p: found \"1.0001\", expected a probability above 0 and at most 1",
        ),
        (
            "d6,anna,2023-05-01T12:00:00Z,soup,,31,yes,Ulm,1",
            "p: found no value, expected a finite number",
        ),
        (
            "d7,anna,2023-05-01T12:00:00Z,soup,0.5,NaN,yes,Ulm,1",
            "age: found \"NaN\", expected a finite number",
        ),
        (
            "d8,anna,2023-05-01T12:00:00Z,soup,0.5,,yes,Ulm,1",
            "age: found no value, expected a value, because the blueprint requires `age`",
        ),
        (
            "d9,anna,2023-05-01T12:00:00Z,soup,0.5,31,maybe,Ulm,1",
            "veg: found \"maybe\", expected true or false, yes or no, 1 or 0",
        ),
        (
            "d10,anna,2023-05-01T12:00:00,soup,0.5,31,yes,Ulm,1",
            "at: found \"2023-05-01T12:00:00\", expected an RFC 3339 time with its offset, such as 2017-01-01T05:00:00Z",
        ),
        (
            "d11,,2023-05-01T12:00:00Z,soup,0.5,31,yes,Ulm,1",
            "user: found no value, expected 1 to 256 bytes without control characters",
        ),
        (
            "d1,ben,2023-05-01T12:00:00Z,soup,0.5,31,yes,Ulm,1",
            "id: found \"d1\", expected an id that no earlier row has",
        ),
        (
            "d12,ben,2023-05-01T12:00:00Z,soup,0.5,31,yes,Ulm,inf",
            "ordered: found \"inf\", expected a finite number",
        ),
        // The id of a bad row is free for a good one.
        ("d2,anna,2023-05-01T12:00:00Z,soup,0.25,31,yes,Ulm,2", ""),
    ];
    let text: String = rows.iter().map(|(row, _)| format!("{row}\n")).collect();
    let file = world.file("log.csv", lunch(&text));
    let expected: Vec<String> = rows
        .iter()
        .enumerate()
        .filter(|(_, (_, message))| !message.is_empty())
        .map(|(idx, (_, message))| format!("{}: {message}", idx + 2))
        .collect();

    // Strict: all or nothing.
    let versions = (
        world.version(&TableName::Decisions).await,
        world.version(&TableName::Outcomes).await,
    );
    let error = world.import_strictly(&file, LUNCH_MAPPING).await.unwrap_err();
    let ImportError::BadRows { report, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((report.rows_read, report.bad_rows), (14, 12));
    let told = error.to_string();
    assert!(told.starts_with("12 of 14 rows of "), "{told}");
    assert!(told.contains("so nothing was written:"), "{told}");
    assert!(told.ends_with(&format!("log.csv:{}", expected[11])), "{told}");
    assert_eq!(
        (
            world.version(&TableName::Decisions).await,
            world.version(&TableName::Outcomes).await
        ),
        versions
    );

    // Otherwise the bad rows are left out.
    let report = world.import(&file, LUNCH_MAPPING).await.unwrap();
    assert_eq!(shown(&report), expected);
    let ids: Vec<String> = world
        .decisions()
        .await
        .iter()
        .map(|decision| decision.decision_id.to_string())
        .collect();
    assert_eq!(ids, ["d1", "d2"]);
    assert_eq!(world.outcomes().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_bad_rows_are_shown_and_all_are_counted() {
    let world = World::with_blueprint(LUNCH).await;
    let file = world.file("log.csv", lunch(&"d,u,never,soup,1,1,,,\n".repeat(50)));
    let report = world.import(&file, LUNCH_MAPPING).await.unwrap();
    assert_eq!((report.bad_rows, report.samples.len()), (50, 20));
    assert_eq!(
        world.version(&TableName::Decisions).await,
        Some(0),
        "nothing but bad rows: nothing is written"
    );
    let error = world.import_strictly(&file, LUNCH_MAPPING).await.unwrap_err();
    assert!(error.to_string().ends_with("… and 30 more"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yes_no_decisions_and_numbers_have_their_own_choices() {
    let yes_no = r#"
        name = "banner"
        unit = "user"
        decision = { kind = "yes_no", default = false }
        outcome = { event = "click", aggregation = "any", window = "1h" }
        context = { age = { type = "number", missing = "allowed" } }
    "#;
    let mapping = r#"
        target = "decisions"
        strategy = "banner"
        decision_id = { prefix = "b-", row = true }
        unit = { value = "everybody" }
        event_time = { column = "at", unit = "s" }
        action = "shown"
        propensity = { value = 1.0 }
    "#;
    let rows = "{\"at\": 1682942400, \"shown\": true}\n{\"at\": \"1682942401.5\", \"shown\": \"no\"}\n{\"at\": 1682942402.0, \"shown\": 7}\n\
                {\"at\": 1682942403, \"shown\": 0}\n";
    let world = World::with_blueprint(yes_no).await;
    let report = world.import(&world.file("log.ndjson", rows), mapping).await.unwrap();
    assert_eq!(
        shown(&report),
        ["3: shown: found 7, expected true or false, yes or no, 1 or 0"]
    );
    assert_eq!(report.rows_written, BTreeMap::from([(TableName::Decisions, 3)]));
    let made: Vec<_> = world
        .decisions()
        .await
        .into_iter()
        .map(|decision| {
            (
                decision.decision_id.to_string(),
                decision.choice,
                decision.event_time - NOON,
            )
        })
        .collect();
    let action = |word: &str| Choice::Action(word.to_owned());
    assert_eq!(
        made,
        [
            ("b-1".to_owned(), action("yes"), 0),
            ("b-2".to_owned(), action("no"), 1_500_000),
            ("b-4".to_owned(), action("no"), 3_000_000),
        ]
    );

    let number = r#"
        name = "price"
        unit = "user"
        decision = { kind = "number", default = 1 }
        outcome = { event = "paid", aggregation = "last", window = "1h" }
        context = { age = { type = "number", missing = "allowed" } }
    "#;
    let mapping = r#"
        target = "decisions"
        strategy = "price"
        decision_id = "id"
        unit = "id"
        event_time = { column = "at", format = "%d.%m.%Y %H:%M", time_zone = "Europe/Berlin" }
        value = "price"
        propensity = { value = 1 }
        outcome = { event = "paid", value = "paid", event_time = { column = "paid_at", time_zone = "Europe/Berlin" } }
    "#;
    let rows = "id,at,price,paid,paid_at\n1,01.05.2023 14:00,9.5,9.5,2023-05-01 14:30\n2,01.05.2023 14:00,,1,2023-05-01\n\
                3,26.03.2023 02:30,1,,\n4,01.05.2023 14:00,2,,\n5,01.05.2023 14:00,2,3,\n";
    let world = World::with_blueprint(number).await;
    let report = world.import(&world.file("log.csv", rows), mapping).await.unwrap();
    assert_eq!(
        shown(&report),
        [
            "3: price: found no value, expected a finite number",
            "4: at: found \"26.03.2023 02:30\", expected a time that exists in Europe/Berlin; clocks there were put forward over this one",
            "6: paid_at: found no value, expected a time without offset, such as 2017-01-01 05:00:00",
        ]
    );
    let decisions = world.decisions().await;
    assert_eq!(
        (decisions[0].choice.clone(), decisions[0].event_time),
        (Choice::Number(9.5), NOON)
    );
    let outcomes = world.outcomes().await;
    assert_eq!((outcomes.len(), outcomes[0].event_time), (1, NOON + 30 * 60_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_of_a_category_is_one_of_the_actions() {
    let blueprint = LUNCH.replace(
        r#"outcome = { event = "ordered", aggregation = "any", window = "1h" }"#,
        r#"outcome = { event = "ordered", type = "category", aggregation = "last", window = "1h" }"#,
    );
    let world = World::with_blueprint(&blueprint).await;
    let file = world.file(
        "log.csv",
        lunch("d1,a,2023-05-01T12:00:00Z,soup,1,1,,,14\nd2,a,2023-05-01T12:00:00Z,soup,1,1,,,cake\n"),
    );
    let report = world.import(&file, LUNCH_MAPPING).await.unwrap();
    assert_eq!(
        shown(&report),
        ["3: ordered: found \"cake\", expected one of the blueprint's actions: soup, salad, 14"]
    );
    assert_eq!(world.outcomes().await[0].value, OutcomeValue::Category("14".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_is_kept_as_its_parts() {
    let blueprint = r#"
        name = "rush"
        unit = "user"
        decision = { kind = "yes_no", default = false }
        outcome = { event = "late", aggregation = "any", window = "1h" }
        [context]
        placed = { type = "timestamp", missing = "allowed" }
        promised = { type = "timestamp", missing = "allowed" }
    "#;
    let mapping = r#"
        target = "decisions"
        strategy = "rush"
        decision_id = "id"
        unit = "id"
        event_time = "at"
        action = "shown"
        propensity = { value = 1 }
        context = { placed = "placed" }
    "#;
    let rows = "id,at,shown,placed\n1,2023-05-01T12:00:00Z,no,2023-05-01T13:30:00+02:00\n2,2023-05-01T12:00:00Z,no,\n\
                3,2023-05-01T12:00:00Z,no,yesterday\n";
    let world = World::with_blueprint(blueprint).await;
    let report = world.import(&world.file("log.csv", rows), mapping).await.unwrap();
    assert_eq!(
        shown(&report),
        ["4: placed: found \"yesterday\", expected an RFC 3339 time with its offset, such as 2017-01-01T05:00:00Z"]
    );
    let decisions = world.decisions().await;
    let features = |idx: usize| {
        let named = decisions[idx].features.iter();
        named
            .map(|feature| (feature.name.to_string(), feature.value.as_number()))
            .collect::<Vec<_>>()
    };
    let instant = (NOON - 30 * 60_000_000) as f64;
    let parts = [
        ("placed", instant),
        ("placed.hour", 13.5),
        ("placed.weekday", 0.0),
        ("placed.day", 1.0),
        ("placed.age", 1_800.0),
    ];
    let missing = |field: &str| {
        parts
            .map(|(name, _)| (name.replace("placed", field), None::<f64>))
            .to_vec()
    };
    let placed = parts.map(|(name, number)| (name.to_owned(), Some(number))).to_vec();
    // No column is mapped to the second one.
    assert_eq!(features(0), [placed, missing("promised")].concat());
    assert_eq!(features(1), [missing("placed"), missing("promised")].concat());
}
