//! The table function off_policy: the latest evaluation, and errors that name what there is.

use datafusion::prelude::SessionContext;
use lakeloop_domain::{BlueprintVersion, EvaluationId, StrategyName};
use lakeloop_lake::evaluations;
use lakeloop_lake::rows::{Evaluation, Verdict};
use lakeloop_sql::{Pins, live_session, read_only, session};

use crate::support::{Home, at, home, lines};

async fn evaluate(home: &Home, id: &str, candidate: &str, seconds: i64, value: f64) {
    let row = |estimator: &str, value: Option<f64>| Evaluation {
        evaluation_id: EvaluationId::new(id).unwrap(),
        strategy: StrategyName::new("menu").unwrap(),
        candidate: candidate.to_owned(),
        blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
        model_version: None,
        policy: "{}".to_owned(),
        evaluated_at: at(seconds),
        as_of: at(seconds),
        window_start: None,
        table_versions: Vec::new(),
        estimator: estimator.to_owned(),
        value,
        interval: None,
        bootstrap: None,
        confidence: 0.95,
        logged_value: Some(0.25),
        gain: value.map(|value| value - 0.25),
        gain_interval: None,
        verdict: if value.is_some() {
            Verdict::Undecided
        } else {
            Verdict::Refused
        },
        refusal: value.is_none().then(|| "no expected rewards".to_owned()),
        rules: "default".to_owned(),
        n_rows: 10,
        n_units: 9,
        effective_rows: Some(8.5),
        mean_weight: Some(1.0),
        max_weight: Some(2.0),
        overlap: Some(0.5),
        unsupported: Some(0.0),
    };
    let rows = [row("SNIPS", Some(value)), row("DM", None)];
    evaluations::record(&home.lake, &rows).await.unwrap();
}

async fn ask(ctx: &SessionContext, query: &str) -> Result<Vec<String>, String> {
    let frame = read_only(ctx, query).await.map_err(|error| error.to_string())?;
    let columns: Vec<String> = frame
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    Ok(lines(&batches, &columns))
}

#[tokio::test]
async fn the_latest_evaluation_of_a_candidate_is_a_relation_like_any_other() {
    let home = home().await;
    evaluate(&home, "e1", "bold", 0, 0.5).await;
    let (early, _) = session(&home.lake, &Pins::default()).await.unwrap();
    let live = live_session(&home.lake).await.unwrap();
    evaluate(&home, "e2", "bold", 60, 0.75).await;
    evaluate(&home, "e3", "shy", 120, 0.1).await;
    let query = "SELECT estimator, value, refusal FROM off_policy('menu', 'bold') ORDER BY estimator DESC";
    let (now, _) = session(&home.lake, &Pins::default()).await.unwrap();
    for (ctx, value) in [(&early, "0.5"), (&live, "0.75"), (&now, "0.75")] {
        let found = ask(ctx, query).await.unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("SNIPS") && found[0].contains(value), "{found:?}");
        assert!(
            found[1].contains("DM") && found[1].contains("no expected rewards"),
            "{found:?}"
        );
    }
    let both = "SELECT a.value - b.value AS difference FROM off_policy('menu', 'bold') AS a \
                INNER JOIN off_policy('menu', 'shy') AS b ON a.estimator = b.estimator WHERE a.estimator = 'SNIPS'";
    assert_eq!(ask(&now, both).await.unwrap(), ["0.65"]);
    let counted = ask(&now, "SELECT COUNT(*) AS n FROM off_policy('menu', 'bold')")
        .await
        .unwrap();
    assert_eq!(counted, ["2"]);
}

#[tokio::test]
async fn wrong_names_and_arguments_are_one_clear_error() {
    let home = home().await;
    let check = async |query: &str, said: &[&str]| {
        for ctx in [
            session(&home.lake, &Pins::default()).await.unwrap().0,
            live_session(&home.lake).await.unwrap(),
        ] {
            let error = ask(&ctx, query).await.unwrap_err();
            for words in said {
                assert!(error.contains(words), "{query} should say «{words}»: {error}");
            }
        }
    };
    check(
        "SELECT * FROM off_policy('menu', 'bold')",
        &["nothing was evaluated yet", "lakeloop evaluate"],
    )
    .await;
    evaluate(&home, "e1", "bold", 0, 0.5).await;
    check(
        "SELECT * FROM off_policy('menu', 'blod')",
        &["`blod`", "did you mean `bold`?"],
    )
    .await;
    check("SELECT * FROM off_policy('menu', 'xyz')", &["evaluated are `bold`"]).await;
    check(
        "SELECT * FROM off_policy('menuu', 'bold')",
        &["strategy `menuu`", "did you mean `menu`?"],
    )
    .await;
    for wrong in ["off_policy('menu')", "off_policy('menu', 7)", "off_policy()"] {
        check(
            &format!("SELECT * FROM {wrong}"),
            &["off_policy takes two texts: SELECT * FROM off_policy('strategy', 'candidate')"],
        )
        .await;
    }
}
