//! Training rows over real tables: what was logged comes back to the last bit, what was not is joined as of its time.

use arrow::array::AsArray as _;
use arrow::datatypes::Float64Type;
use lakeloop_domain::{
    AbsentLabel, Aggregation, Blueprint, Candidate, CandidateId, Choice, DecisionKind, DecisionRecord, FeatureColumn,
    FeatureType, FeatureValue, NamedOutcome, OutcomeRecord, OutcomeType, OutcomeValue, Position, Ranking, RewardWeight,
};
use lakeloop_lake::{TableName, rows};
use lakeloop_sql::{Pins, SqlError, missed_outcomes, session, training_rows, training_rows_schema};

use crate::support::{Home, SECOND, at, blueprint, boolean, category, decision, home, lines, number, outcome, weather};

async fn train(home: &Home, blueprint: &Blueprint) -> Result<Vec<arrow::array::RecordBatch>, SqlError> {
    let (ctx, _) = session(&home.lake, &Pins::default()).await?;
    training_rows(&ctx, blueprint, at(1_000_000), None).await
}

#[tokio::test]
async fn what_was_served_is_what_is_learned_from() {
    let home = home().await;
    let values = [
        0.1 + 0.2,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
        f64::MAX,
        9_007_199_254_740_993.0,
    ];
    let decisions: Vec<DecisionRecord> = values
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let features = vec![
                number("hour", *value),
                category("station", "rdu"),
                number("Temp", None),
                boolean("rain", true),
                category("sky", None),
                number("no longer declared", 1.0),
            ];
            decision(&format!("d{i}"), "ann", at(i as i64), features)
        })
        .collect();
    home.decide(&decisions).await;
    home.observe(&[outcome("o1", "d1", OutcomeValue::Number(2.5), at(1))])
        .await;

    // The view has no table at all: nothing needs it, since every log holds its columns.
    let batches = train(&home, &blueprint(vec![weather(None)])).await.unwrap();
    for batch in &batches {
        assert_eq!(batch.schema(), training_rows_schema());
    }
    assert_eq!(
        lines(
            &batches,
            &["decision_id", "action", "propensity", "label", "label_category"]
        ),
        [
            "d0 soup 0.5 0.0 NULL",
            "d1 soup 0.5 2.5 NULL",
            "d2 soup 0.5 0.0 NULL",
            "d3 soup 0.5 0.0 NULL",
            "d4 soup 0.5 0.0 NULL"
        ]
    );
    let logged = rows::decisions_to_batch(&decisions).unwrap();
    let trained = arrow::compute::concat_batches(&training_rows_schema(), &batches).unwrap();
    for name in ["numeric", "categorical"] {
        assert_eq!(trained.column_by_name(name), logged.column_by_name(name), "{name}");
    }
    let bits: Vec<u64> = (0..values.len())
        .map(|row_idx| {
            let entries = trained.column_by_name("numeric").unwrap().as_map().value(row_idx);
            entries.column(1).as_primitive::<Float64Type>().value(0).to_bits()
        })
        .collect();
    assert_eq!(bits, values.map(f64::to_bits));
}

#[tokio::test]
async fn columns_declared_later_are_joined_as_of_the_decision() {
    let home = home().await;
    home.create_weather().await;
    let row = |entity: &str, event_time, available_at, temp, rain, sky: Option<&str>| {
        (
            entity.to_owned(),
            at(event_time),
            at(available_at),
            temp,
            rain,
            sky.map(str::to_owned),
        )
    };
    home.measure(&[
        row("rdu", 100, 100, Some(10.0), Some(true), Some("clear")),
        row("rdu", 200, 260, Some(20.0), Some(false), None),
        row("lhr", 100, 100, Some(f64::NAN), None, Some("fog")),
    ])
    .await;
    let logged = |station: Option<&str>| vec![number("hour", 1.0), category("station", station)];
    home.decide(&[
        decision("1 before any row", "u", at(99), logged(Some("rdu"))),
        decision("2 at its instant", "u", at(100), logged(Some("rdu"))),
        decision("3 next one not available yet", "u", at(259), logged(Some("rdu"))),
        decision("4 now available", "u", at(260), logged(Some("rdu"))),
        decision("5 stale", "u", at(301), logged(Some("rdu"))),
        decision("6 no number", "u", at(110), logged(Some("lhr"))),
        decision("7 unknown station", "u", at(110), logged(Some("nowhere"))),
        decision("8 missing station", "u", at(110), logged(None)),
        decision(
            "9 logged in part",
            "u",
            at(110),
            vec![category("station", "rdu"), number("Temp", -1.5), category("sky", None)],
        ),
    ])
    .await;

    let batches = train(&home, &blueprint(vec![weather(Some(160 * SECOND))]))
        .await
        .unwrap();
    let known: Vec<String> = lines(&batches, &["decision_id", "numeric", "categorical"]);
    assert_eq!(
        known,
        [
            "1 before any row {hour: 1.0, Temp: -99.0, rain: NULL} {station: rdu, sky: unknown}",
            "2 at its instant {hour: 1.0, Temp: 10.0, rain: 1.0} {station: rdu, sky: clear}",
            "6 no number {hour: 1.0, Temp: -99.0, rain: NULL} {station: lhr, sky: fog}",
            "7 unknown station {hour: 1.0, Temp: -99.0, rain: NULL} {station: nowhere, sky: unknown}",
            "8 missing station {hour: 1.0, Temp: -99.0, rain: NULL} {station: NULL, sky: unknown}",
            "9 logged in part {Temp: -1.5, rain: 1.0} {station: rdu, sky: NULL}",
            "3 next one not available yet {hour: 1.0, Temp: 10.0, rain: 1.0} {station: rdu, sky: clear}",
            "4 now available {hour: 1.0, Temp: 20.0, rain: 0.0} {station: rdu, sky: unknown}",
            "5 stale {hour: 1.0, Temp: 20.0, rain: 0.0} {station: rdu, sky: unknown}",
        ]
    );
    let fresher = train(&home, &blueprint(vec![weather(Some(100 * SECOND))]))
        .await
        .unwrap();
    let stale = lines(&fresher, &["decision_id", "numeric"]);
    assert_eq!(stale.last().unwrap(), "5 stale {hour: 1.0, Temp: -99.0, rain: NULL}");
}

#[tokio::test]
async fn the_unit_can_be_the_entity() {
    let home = home().await;
    home.create_weather().await;
    home.measure(&[("ann".into(), at(0), at(0), Some(7.0), None, None)])
        .await;
    home.decide(&[
        decision("d1", "ann", at(1), vec![]),
        decision("d2", "bob", at(1), vec![]),
    ])
    .await;
    let mut view = weather(None);
    view.entity = "unit".into();
    let batches = train(&home, &blueprint(vec![view])).await.unwrap();
    let expected = [
        "{Temp: 7.0, rain: NULL} {sky: unknown}",
        "{Temp: -99.0, rain: NULL} {sky: unknown}",
    ];
    assert_eq!(lines(&batches, &["numeric", "categorical"]), expected);
}

#[tokio::test]
async fn a_ranking_is_a_row_for_each_candidate_that_was_returned() {
    let home = home().await;
    home.create_weather().await;
    home.measure(&[("rdu".into(), at(0), at(0), Some(7.0), None, None)])
        .await;
    let candidate = |id: &str, price: Option<f64>, brand: Option<&str>| Candidate {
        id: CandidateId::new(id).unwrap(),
        features: vec![number("price", price), category("brand", brand)],
    };
    let position = |id: &str, propensity| Position {
        candidate: CandidateId::new(id).unwrap(),
        propensity,
    };
    let negative_zero = -0.0;
    let ranked = DecisionRecord {
        actions: vec![],
        choice: Choice::Ranking(Ranking {
            candidates: vec![
                candidate("a", Some(0.1 + 0.2), Some("acme")),
                candidate("b", Some(negative_zero), None),
                candidate("c", None, Some("bolt")),
            ],
            positions: vec![position("c", 0.75), position("b", 0.5)],
        }),
        ..decision(
            "d1",
            "ann",
            at(1),
            vec![number("hour", 1.0), category("station", "rdu")],
        )
    };
    home.decide(&[ranked, decision("d0", "ann", at(0), vec![number("hour", 2.0)])])
        .await;
    let about = |id: &str, candidate: Option<&str>, value| OutcomeRecord {
        candidate: candidate.map(|id| CandidateId::new(id).unwrap()),
        ..outcome(id, "d1", OutcomeValue::Number(value), at(2))
    };
    home.observe(&[
        about("o1", Some("b"), 2.5),
        about("o2", Some("a"), 4.0),
        about("o3", None, 8.0),
    ])
    .await;

    let mut blueprint = blueprint(vec![weather(None)]);
    blueprint.decision = DecisionKind::Rank { at_most: Some(2) };
    let batches = train(&home, &blueprint).await.unwrap();
    assert_eq!(batches[0].schema(), training_rows_schema());
    let columns = [
        "decision_id",
        "unit",
        "candidate",
        "action",
        "propensity",
        "label",
        "numeric",
        "categorical",
    ];
    assert_eq!(
        lines(&batches, &columns),
        [
            "d1 ann c NULL 0.75 0.0 {hour: 1.0, price: NULL, Temp: 7.0, rain: NULL} {station: rdu, brand: bolt, sky: unknown}",
            "d1 ann b NULL 0.5 2.5 {hour: 1.0, price: -0.0, Temp: 7.0, rain: NULL} {station: rdu, brand: NULL, sky: unknown}",
        ]
    );
}

#[tokio::test]
async fn a_view_that_cannot_be_joined_is_an_error() {
    let home = home().await;
    home.decide(&[decision("d1", "ann", at(1), vec![])]).await;
    let error = train(&home, &blueprint(vec![weather(None)])).await.unwrap_err();
    assert!(matches!(error, SqlError::NoFeatureView { .. }), "{error}");

    home.create_weather().await;
    let mut view = weather(None);
    view.columns.push(FeatureColumn {
        name: "temp".into(),
        feature_type: FeatureType::Number,
        when_missing: FeatureValue::Missing,
    });
    let error = train(&home, &blueprint(vec![view.clone()]))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "feature view `weather`, column `temp`: expected a number column, found none of that name"
    );
    view.columns[3] = FeatureColumn {
        feature_type: FeatureType::Category,
        ..view.columns[0].clone()
    };
    let error = train(&home, &blueprint(vec![view])).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "feature view `weather`, column `Temp`: expected a category column, found Float64"
    );
}

#[tokio::test]
async fn categories_are_labelled_by_their_position() {
    let home = home().await;
    home.decide(&[
        decision("d1", "a", at(0), vec![]),
        decision("d2", "b", at(0), vec![]),
        decision("d3", "c", at(0), vec![]),
    ])
    .await;
    home.observe(&[
        outcome("o1", "d1", OutcomeValue::Category("stew".into()), at(1)),
        outcome("o2", "d2", OutcomeValue::Category("soup".into()), at(1)),
    ])
    .await;
    let mut blueprint = blueprint(vec![]);
    blueprint.outcome.outcome_type = OutcomeType::Category;
    blueprint.outcome.aggregation = Aggregation::First;
    blueprint.outcome.absent = AbsentLabel::Exclude;
    let batches = train(&home, &blueprint).await.unwrap();
    assert_eq!(
        lines(&batches, &["decision_id", "label", "label_category"]),
        ["d1 1.0 stew", "d2 0.0 soup"]
    );
}

/// Sums of floats depend on their order; labels must not depend on how files were written.
#[tokio::test]
async fn labels_do_not_depend_on_the_order_of_files() {
    let outcomes: Vec<_> = (0..40)
        .map(|i| {
            let value = [0.1, 1e16, -1e16, 0.7][i % 4] * (1.0 + i as f64);
            outcome(
                &format!("o{i}"),
                &format!("d{}", i % 3),
                OutcomeValue::Number(value),
                at((i * 7 % 11) as i64),
            )
        })
        .collect();
    let decisions: Vec<_> = (0..3)
        .map(|i| decision(&format!("d{i}"), "ann", at(0), vec![number("hour", 1.0)]))
        .collect();
    let (at_once, one_by_one) = (home().await, home().await);
    at_once.decide(&decisions).await;
    at_once.observe(&outcomes).await;
    for decision in decisions.iter().rev() {
        one_by_one.decide(std::slice::from_ref(decision)).await;
    }
    for outcome in outcomes.iter().rev() {
        one_by_one.observe(std::slice::from_ref(outcome)).await;
    }
    let joined = |batches: &[_]| arrow::compute::concat_batches(&training_rows_schema(), batches).unwrap();
    let expected = joined(&train(&at_once, &blueprint(vec![])).await.unwrap());
    assert_eq!(joined(&train(&one_by_one, &blueprint(vec![])).await.unwrap()), expected);
    assert_eq!(expected.num_rows(), 3);
    one_by_one.lake.compact(&TableName::Outcomes).await.unwrap();
    assert_eq!(joined(&train(&one_by_one, &blueprint(vec![])).await.unwrap()), expected);
}

/// Names an outcome beside `reward` and weighs both.
fn rewarded(absent: AbsentLabel) -> Blueprint {
    let mut blueprint = blueprint(vec![]);
    let mut returned = blueprint.outcome.clone();
    (returned.event, returned.window_us, returned.absent) = ("returned".into(), 600 * SECOND, absent);
    blueprint.rewards.outcomes = vec![NamedOutcome {
        name: "sent back".into(),
        outcome: returned,
    }];
    blueprint.rewards.reward = vec![
        RewardWeight {
            outcome: "reward".into(),
            weight: 1.0,
        },
        RewardWeight {
            outcome: "sent back".into(),
            weight: -0.5,
        },
    ];
    blueprint
}

#[tokio::test]
async fn a_reward_weighs_the_outcomes_once_the_longest_window_has_closed() {
    let home = home().await;
    let decisions: Vec<DecisionRecord> = (0..3)
        .map(|i| decision(&format!("d{i}"), "ann", at(i), vec![number("hour", 0.1)]))
        .collect();
    home.decide(&decisions).await;
    let named = |id: &str, decision: &str, event: &str, value: f64, seconds: i64| {
        let mut outcome = outcome(id, decision, OutcomeValue::Number(value), at(seconds));
        outcome.event = event.into();
        outcome
    };
    home.observe(&[
        named("1", "d0", "reward", 3.0, 1),
        named("2", "d0", "returned", 2.0, 600),
        named("3", "d1", "reward", 5.0, 2),
        named("4", "d1", "returned", 8.0, 602),
        named("5", "d2", "returned", 4.0, 600),
    ])
    .await;
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let labels = async |blueprint: &Blueprint, as_of: i64| {
        let batches = training_rows(&ctx, blueprint, at(as_of), None).await.unwrap();
        lines(&batches, &["decision_id", "label", "numeric"])
    };
    // What was sent back of d1 came a second after its window, so that it counts for nothing.
    let zero = rewarded(AbsentLabel::Value(0.0));
    assert_eq!(
        labels(&zero, 602).await,
        ["d0 2.0 {hour: 0.1}", "d1 5.0 {hour: 0.1}", "d2 -2.0 {hour: 0.1}"]
    );
    // The window of the first outcome has long closed; that of the second decides.
    assert_eq!(labels(&zero, 600).await, ["d0 2.0 {hour: 0.1}"]);
    assert_eq!(labels(&zero, 599).await, [""; 0]);
    // A decision of which a part is missing and excluded has no label at all.
    let excluded = rewarded(AbsentLabel::Exclude);
    assert_eq!(
        labels(&excluded, 602).await,
        ["d0 2.0 {hour: 0.1}", "d2 -2.0 {hour: 0.1}"]
    );

    let missed = missed_outcomes(&ctx, &zero, at(10_000), None).await.unwrap();
    let counted: Vec<_> = missed
        .iter()
        .map(|missed| {
            (
                missed.outcome.as_str(),
                missed.n_outcomes,
                missed.n_missed,
                missed.n_missed_within_twice,
            )
        })
        .collect();
    assert_eq!(counted, [("reward", 2, 0, 0), ("sent back", 2, 1, 1)]);
    assert_eq!(missed[1].longest_delay_us, Some(601 * SECOND));
}

#[tokio::test]
async fn a_reward_of_candidates_is_each_ones_own() {
    let home = home().await;
    let mut blueprint = rewarded(AbsentLabel::Value(0.0));
    blueprint.decision = DecisionKind::Rank { at_most: None };
    let candidate = |id: &str| Candidate {
        id: CandidateId::new(id).unwrap(),
        features: vec![number("price", 1.5)],
    };
    let position = |id: &str| Position {
        candidate: CandidateId::new(id).unwrap(),
        propensity: 0.5,
    };
    let ranked = DecisionRecord {
        choice: Choice::Ranking(Ranking {
            candidates: vec![candidate("a"), candidate("b")],
            positions: vec![position("b"), position("a")],
        }),
        actions: vec![],
        ..decision("d", "ann", at(0), vec![number("hour", 1.0)])
    };
    home.decide(&[ranked]).await;
    let about = |id: &str, candidate: &str, event: &str, value: f64| OutcomeRecord {
        candidate: Some(CandidateId::new(candidate).unwrap()),
        event: event.into(),
        ..outcome(id, "d", OutcomeValue::Number(value), at(1))
    };
    home.observe(&[
        about("1", "a", "reward", 3.0),
        about("2", "b", "returned", 2.0),
        about("3", "a", "returned", 4.0),
    ])
    .await;
    let batches = train(&home, &blueprint).await.unwrap();
    assert_eq!(
        lines(&batches, &["candidate", "propensity", "label", "numeric"]),
        [
            "b 0.5 -1.0 {hour: 1.0, price: 1.5}",
            "a 0.5 1.0 {hour: 1.0, price: 1.5}"
        ]
    );
}
