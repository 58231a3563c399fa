//! How the queries are carried out: files outside of the time bounds stay closed, and no join compares all with all.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Micros, OutcomeValue};
use lakeloop_sql::{Pins, Query, instant, session};

use crate::support::{SECOND, at, decision, home, lines, outcome};

const DAY: i64 = 24 * 3600;

fn label_values(as_of: Micros, window_start: Option<Micros>) -> Vec<(&'static str, ScalarValue)> {
    let classes = ScalarValue::new_list_nullable(&[], &arrow::datatypes::DataType::Utf8);
    vec![
        ("strategy", "menu".into()),
        ("event", "reward".into()),
        ("outcome_type", "number".into()),
        ("aggregation", "sum".into()),
        ("absent", ScalarValue::Float64(None)),
        ("classes", ScalarValue::List(classes)),
        ("window_us", ScalarValue::Int64(Some(60 * SECOND))),
        ("as_of", instant(as_of)),
        ("window_start", instant(window_start)),
    ]
}

async fn plan(ctx: &SessionContext, query: Query, values: &[(&str, ScalarValue)]) -> Arc<dyn ExecutionPlan> {
    query
        .bind(ctx, values)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap()
}

/// The number of files that each scan of a plan would open.
fn files_scanned(plan: &Arc<dyn ExecutionPlan>) -> Vec<usize> {
    let mut scanned = Vec::new();
    if plan.name() == "DeltaScanExec" {
        let metrics = plan.metrics().unwrap();
        scanned.push(metrics.sum_by_name("count_files_scanned").unwrap().as_usize());
    }
    scanned.extend(plan.children().into_iter().flat_map(files_scanned));
    scanned
}

#[tokio::test]
async fn bounds_of_time_leave_files_closed() {
    let home = home().await;
    for day in 0..4 {
        let when = at(day * DAY);
        home.decide(&[decision(&format!("d{day}"), "ann", when, vec![])]).await;
        home.observe(&[outcome(
            &format!("o{day}"),
            &format!("d{day}"),
            OutcomeValue::Number(1.0),
            when,
        )])
        .await;
    }
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();

    let all = plan(&ctx, Query::TRAINING_LABELS, &label_values(at(10 * DAY), None)).await;
    assert!(
        files_scanned(&all).iter().all(|n_files| *n_files == 4),
        "{:?}",
        files_scanned(&all)
    );
    // Decisions of the second and third day; the window of the fourth has not closed.
    let values = label_values(at(3 * DAY + 59), Some(at(DAY)));
    let bounded = plan(&ctx, Query::TRAINING_LABELS, &values).await;
    let scanned = files_scanned(&bounded);
    assert!(
        scanned.iter().all(|n_files| *n_files <= 3) && scanned.contains(&2),
        "{scanned:?}"
    );
    let rows = Query::TRAINING_LABELS.run(&ctx, &values).await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);

    // The same with a reward of one outcome, and the same labels.
    ctx.sql(
        "CREATE TABLE reward_parts AS SELECT CAST(0 AS BIGINT) AS part_idx, 'reward' AS event, 'number' AS outcome_type, \
         'sum' AS aggregation, CAST(NULL AS DOUBLE) AS absent, CAST(60000000 AS BIGINT) AS window_us, 1.0 AS weight",
    )
    .await
    .unwrap();
    let mut values = values;
    values.retain(|(name, _)| ["strategy", "window_us", "as_of", "window_start"].contains(name));
    let bounded = plan(&ctx, Query::TRAINING_REWARDS, &values).await;
    let scanned = files_scanned(&bounded);
    assert!(
        scanned.iter().all(|n_files| *n_files <= 3) && scanned.contains(&2),
        "{scanned:?}"
    );
    let rewarded = Query::TRAINING_REWARDS.run(&ctx, &values).await.unwrap();
    let columns = ["decision_id", "event_time", "label"];
    assert_eq!(lines(&rewarded, &columns), lines(&rows, &columns));
}

#[tokio::test]
async fn no_join_compares_all_with_all() {
    let home = home().await;
    home.decide(&[decision("d", "ann", at(0), vec![])]).await;
    home.observe(&[outcome("o", "d", OutcomeValue::Number(1.0), at(0))])
        .await;
    let (ctx, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let labels = plan(&ctx, Query::TRAINING_LABELS, &label_values(at(DAY), None)).await;
    let mut values = label_values(at(DAY), None);
    values.retain(|(name, _)| *name != "classes");
    let candidates = plan(&ctx, Query::TRAINING_CANDIDATE_LABELS, &values).await;
    let rewards = [
        ("strategy", "menu".into()),
        ("event", "reward".into()),
        ("window_us", ScalarValue::Int64(Some(60 * SECOND))),
        ("as_of", instant(at(DAY))),
    ];
    let rewards = plan(&ctx, Query::REWARD_BY_ACTION, &rewards).await;
    let lineage = plan(&ctx, Query::MODEL_LINEAGE, &[]).await;

    ctx.sql("CREATE TABLE moments AS SELECT 1 AS row_idx, unit AS entity, event_time FROM decisions")
        .await
        .unwrap();
    ctx.sql("CREATE TABLE feature_rows AS SELECT unit AS entity, event_time, event_time AS available_at, named_struct('n', 1) AS feature_values FROM decisions")
        .await
        .unwrap();
    let bounds = [
        ("from", instant(at(0))),
        ("until", instant(at(0))),
        ("freshness_us", ScalarValue::Int64(Some(1))),
    ];
    let as_of = plan(&ctx, Query::AS_OF_FEATURES, &bounds).await;
    for plan in [labels, candidates, rewards, lineage, as_of] {
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert!(
            shown.contains("HashJoinExec") || shown.contains("SortMergeJoin"),
            "{shown}"
        );
        assert!(
            !shown.contains("NestedLoopJoin") && !shown.contains("CrossJoin"),
            "{shown}"
        );
    }
}
