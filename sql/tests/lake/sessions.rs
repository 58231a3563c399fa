//! Sessions: which versions they see, and that nothing can be changed through them.

use datafusion::prelude::SessionContext;
use lakeloop_domain::{FeatureType, FeatureViewName, OutcomeValue};
use lakeloop_lake::TableName;
use lakeloop_sql::{Pins, SqlError, live_session, read_only, session};

use crate::support::{at, decision, home, lines, outcome};

async fn count(ctx: &SessionContext, table: &str) -> String {
    let frame = read_only(ctx, &format!("SELECT COUNT(*) AS n FROM {table}"))
        .await
        .unwrap();
    lines(&frame.collect().await.unwrap(), &["n"]).join(",")
}

#[tokio::test]
async fn a_session_stays_at_its_versions() {
    let home = home().await;
    home.decide(&[decision("d1", "ann", at(0), vec![])]).await;
    let (before, versions) = session(&home.lake, &Pins::default()).await.unwrap();
    home.decide(&[decision("d2", "ann", at(1), vec![])]).await;
    assert_eq!(count(&before, "decisions").await, "1");

    let (after, _) = session(&home.lake, &Pins::default()).await.unwrap();
    assert_eq!(count(&after, "decisions").await, "2");
    let (again, same) = session(&home.lake, &versions).await.unwrap();
    assert_eq!(count(&again, "decisions").await, "1");
    assert_eq!(same, versions);
    assert_eq!(versions.0.len(), TableName::ALL.len());

    let only_decisions = Pins([(TableName::Decisions, 1)].into());
    let (mixed, _) = session(&home.lake, &only_decisions).await.unwrap();
    assert_eq!(count(&mixed, "decisions").await, "1");
}

#[tokio::test]
async fn a_pin_that_does_not_exist_is_an_error() {
    let home = home().await;
    let error = session(&home.lake, &Pins([(TableName::Outcomes, 7)].into()))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("`outcomes` has no version 7"), "{error}");
    let view = TableName::Features(FeatureViewName::new("weather").unwrap());
    let error = session(&home.lake, &Pins([(view, 0)].into())).await.err().unwrap();
    assert!(error.to_string().contains("features.weather"), "{error}");
}

#[tokio::test]
async fn feature_views_and_named_queries_can_be_read() {
    let home = home().await;
    let view = FeatureViewName::new("per-user").unwrap();
    home.lake
        .create_feature_view(&view, &[("n".into(), FeatureType::Number)])
        .await
        .unwrap();
    let (pinned, versions) = session(&home.lake, &Pins::default()).await.unwrap();
    assert!(versions.0.contains_key(&TableName::Features(view)));
    for ctx in [pinned, live_session(&home.lake).await.unwrap()] {
        assert_eq!(count(&ctx, "features.\"per-user\"").await, "0");
        for view in [
            "decisions_per_day",
            "current_models",
            "model_lineage",
            "latest_job_runs",
            "apprentice_agreement",
            "ladder_steps",
        ] {
            assert_eq!(count(&ctx, view).await, "0");
        }
        let listed = read_only(&ctx, "SHOW TABLES").await.unwrap().collect().await.unwrap();
        let listed = lines(&listed, &["table_schema", "table_name"]);
        for table in [
            "public decisions",
            "public job_runs",
            "public current_models",
            "features per-user",
        ] {
            assert!(listed.contains(&table.to_owned()), "{table} is not in {listed:?}");
        }
    }
}

#[tokio::test]
async fn a_live_session_follows_the_lake() {
    let home = home().await;
    let ctx = live_session(&home.lake).await.unwrap();
    assert_eq!(count(&ctx, "outcomes").await, "0");
    home.observe(&[outcome("o1", "d1", OutcomeValue::Number(1.0), at(0))])
        .await;
    assert_eq!(count(&ctx, "outcomes").await, "1");
    home.decide(&[decision("d1", "ann", at(0), vec![])]).await;
    assert_eq!(count(&ctx, "decisions_per_day").await, "1");

    let view = FeatureViewName::new("later").unwrap();
    assert!(read_only(&ctx, "SELECT n FROM features.later").await.is_err());
    home.lake
        .create_feature_view(&view, &[("n".into(), FeatureType::Number)])
        .await
        .unwrap();
    assert_eq!(count(&ctx, "features.later").await, "0");
}

#[tokio::test]
async fn whatever_would_change_something_is_refused() {
    let home = home().await;
    let (pinned, _) = session(&home.lake, &Pins::default()).await.unwrap();
    for ctx in [pinned, live_session(&home.lake).await.unwrap()] {
        for (statement, found) in [
            ("CREATE TABLE t AS SELECT 1 AS n", "CREATE MEMORY TABLE"),
            ("CREATE VIEW v AS SELECT unit FROM decisions", "CREATE VIEW"),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/tmp/x.csv'",
                "CREATE EXTERNAL TABLE",
            ),
            ("DROP TABLE decisions", "DROP TABLE"),
            ("INSERT INTO outcomes (outcome_id) VALUES ('o')", "INSERT INTO"),
            ("EXPLAIN INSERT INTO outcomes (outcome_id) VALUES ('o')", "INSERT INTO"),
            ("DELETE FROM decisions", "DELETE"),
            ("UPDATE decisions SET unit = 'x'", "UPDATE"),
            ("COPY decisions TO '/tmp/x.csv'", "COPY"),
            ("SET datafusion.execution.batch_size = 1", "SET VARIABLE"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
        ] {
            let error = read_only(&ctx, statement).await.unwrap_err();
            assert!(matches!(error, SqlError::ReadOnly { .. }), "{statement}: {error}");
            let expected = format!("the lake is read-only here: {found} is refused; write a SELECT");
            assert_eq!(error.to_string(), expected, "{statement}");
        }
        for statement in [
            "SELECT nothing FROM decisions",
            "SELEC 1",
            "SELECT 1; DROP TABLE decisions",
            "TRUNCATE TABLE decisions",
        ] {
            assert!(read_only(&ctx, statement).await.is_err(), "{statement}");
        }
    }
    assert_eq!(home.lake.version(&TableName::Outcomes).await.unwrap(), Some(0));
}

/// Also a caller that forgets `read_only` cannot write.
#[tokio::test]
async fn tables_take_no_rows() {
    let home = home().await;
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let insert = "INSERT INTO outcomes SELECT outcome_id, decision_id, strategy, unit, event, value, category, event_time, received_at FROM outcomes";
    let failed = match ctx.sql(insert).await {
        Ok(frame) => frame.collect().await.is_err(),
        Err(_) => true,
    };
    assert!(failed);
    assert_eq!(home.lake.version(&TableName::Outcomes).await.unwrap(), Some(0));
}
