//! Models: swapped without a failed request, scored as their trainer scores them, refused when they are broken.

use std::path::Path;

use lakeloop_domain::{
    BlueprintVersion, Calibration, EncodedColumn, Encoding, FeatureType, LearningTarget, ModelMetrics, ModelStage,
    ModelVersion, Provenance, StageMove, StrategyName, TrainingSetId,
};
use lakeloop_lake::Lake;
use lakeloop_lake::registry::{self, NewModel};
use serde_json::{Value, json};

use crate::support::{Home, LATE, NOON, apply};

pub fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trees/tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

/// A model of `late` with a golden ensemble of five numeric columns.
pub fn model(artifact: Vec<u8>) -> NewModel {
    let column = |name: &str| EncodedColumn {
        name: name.into(),
        feature_type: FeatureType::Number,
        vocabulary: Vec::new(),
    };
    NewModel {
        strategy: StrategyName::new("late").unwrap(),
        target: LearningTarget::Binary,
        action_is_feature: false,
        encoding: Encoding {
            columns: ["a", "b", "c", "d", "e"].map(column).into(),
        },
        calibration: Calibration::Identity,
        prediction_interval: None,
        card: None,
        uncertainty: None,
        metrics: ModelMetrics {
            metric: "log_loss".into(),
            value: 0.5,
            baseline: Some(0.69),
            n_train_rows: 100,
            n_validation_rows: 25,
            artifact_bytes: artifact.len() as u64,
            latency_p50_us: 1.0,
            latency_p99_us: 2.0,
            parity_max_abs: 0.0,
        },
        provenance: Provenance {
            blueprint_version: BlueprintVersion::new("0123456789abcdef").unwrap(),
            training_set_id: TrainingSetId::new("t1").unwrap(),
            table_versions: vec![("decisions".into(), 3)],
            parameters: "{}".into(),
            seed: 1,
        },
        artifact,
    }
}

pub async fn go_live(lake: &Lake, model: NewModel) -> ModelVersion {
    let record = registry::register(lake, model, NOON).await.unwrap();
    let wish = StageMove {
        strategy: record.strategy,
        version: record.version,
        to: ModelStage::Live,
        reason: "test".into(),
    };
    let _ = registry::move_stage(lake, &wish, NOON).await.unwrap();
    record.version
}

const ASK: &str = r#"{"strategy":"late","unit":"p","context":{"a":0.5,"b":-1,"c":0.1,"d":2,"e":0}}"#;

fn has_model(version: u32) -> impl Fn(&Value) -> bool {
    move |answer| answer["model_version"] == json!(version)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_model_decides_without_a_failed_request() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    let first = site.until("/v1/decide", ASK, has_model(1)).await;
    assert_eq!(first["reason"], "exploit");
    let score = first["scores"][0].as_f64().unwrap();
    assert!(score > 0.0 && score < 1.0);
    assert_eq!(first["action"], if score >= 0.5 { "yes" } else { "no" });

    // Four callers that never pause see the versions go up, and every answer is a success.
    let callers = (0..4).map(|_| async {
        let mut versions = Vec::new();
        while versions.last() != Some(&3) {
            let answer = site.ok("/v1/decide", ASK).await;
            versions.push(answer["model_version"].as_u64().unwrap());
        }
        versions
    });
    let swaps = async {
        go_live(&site.lake, model(golden("reg_logistic.ubj"))).await;
        go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    };
    let (seen, ()) = tokio::join!(futures::future::join_all(callers), swaps);
    for versions in seen {
        assert!(versions.is_sorted(), "a request saw an older model after a newer one");
    }
    let metrics = site.metrics().await;
    assert!(
        metrics.contains(r#"lakeloop_live_model_version{strategy="late"} 3"#),
        "{metrics}"
    );
    site.server.shutdown().await.unwrap();
    let decisions = site.decisions().await;
    let of_version = |version| {
        decisions
            .iter()
            .filter(|row| row.model_version == Some(ModelVersion(version)))
            .count()
    };
    assert!(of_version(1) > 0 && of_version(3) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_model_leaves_the_old_one_deciding() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    let first = site.until("/v1/decide", ASK, has_model(1)).await;
    let broken = go_live(&site.lake, model(b"no model at all".to_vec())).await;
    assert_eq!(broken, ModelVersion(2));
    // A new strategy comes into force with the same poll, which shows that the broken model was seen.
    apply(&site.lake, &LATE.replace("\"late\"", "\"later\"")).await;
    let is_known = async {
        while site
            .post("/v1/decide", r#"{"strategy":"later","unit":"p"}"#)
            .await
            .status
            != 200
        {}
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), is_known)
        .await
        .unwrap();
    let answer = site.ok("/v1/decide", ASK).await;
    assert_eq!(answer["model_version"], 1);
    assert_eq!(answer["scores"], first["scores"]);
    go_live(&site.lake, model(golden("reg_logistic.ubj"))).await;
    site.until("/v1/decide", ASK, has_model(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_broken_model_decides_without_one() {
    let home = Home::new();
    let lake = home.lake().await;
    apply(&lake, LATE).await;
    go_live(&lake, model(b"no model at all".to_vec())).await;
    let site = home.start().await;
    assert_eq!(site.ok("/v1/decide", ASK).await["reason"], "no_model");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_blueprint_comes_into_force_also_when_the_model_does_not_fit_it() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    let first = site.until("/v1/decide", ASK, has_model(1)).await;
    // A field more: the model fits, and goes on under the new blueprint.
    let wider = LATE.replace(
        "[outcome]",
        "f = { type = \"category\", missing = \"allowed\" }\n[outcome]",
    );
    apply(&site.lake, &wider).await;
    let version = &first["blueprint_version"];
    let answer = site
        .until("/v1/decide", ASK, |answer| answer["blueprint_version"] != *version)
        .await;
    assert_eq!(answer["model_version"], 1);
    // A field less: the model does not fit.
    apply(
        &site.lake,
        &LATE.replace("e = { type = \"number\", missing = \"allowed\" }\n", ""),
    )
    .await;
    let narrower = r#"{"strategy":"late","unit":"p","context":{"a":0.5}}"#;
    let answer = site
        .until("/v1/decide", narrower, |answer| answer["model_version"] == json!(null))
        .await;
    assert_eq!(answer["reason"], "no_model");
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_those_of_xgboost() {
    let home = Home::new();
    let lake = home.lake().await;
    apply(&lake, LATE).await;
    go_live(&lake, model(golden("binary_logistic.ubj"))).await;
    let site = home.start().await;
    // Rows and predictions were made by the version of XGBoost that the file names.
    let expected: Value = serde_json::from_slice(&golden("binary_logistic.expected.json")).unwrap();
    let rows: Vec<Value> = expected["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!({"a": row[0], "b": row[1], "c": row[2], "d": row[3], "e": row[4]}))
        .collect();
    let answer = site
        .ok("/v1/predict", &json!({"strategy": "late", "rows": rows}).to_string())
        .await;
    assert_eq!(answer["model_version"], 1);
    let scores = answer["scores"].as_array().unwrap();
    assert_eq!(scores.len(), rows.len());
    for (score, expected) in scores.iter().zip(expected["predictions"].as_array().unwrap()) {
        let (score, expected) = (score[0].as_f64().unwrap(), expected[0].as_f64().unwrap());
        assert!((score - expected).abs() <= 1e-6, "{score} {expected}");
    }
    assert_eq!(
        site.server.flush().await.unwrap().decisions,
        0,
        "predictions are not logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_action_is_a_feature_each_action_has_a_score() {
    let blueprint = r#"
name = "late"
description = "Which carrier is late?"
unit = "parcel"
[decision]
kind = "choose"
actions = ["bike", "van", "rail"]
default = "van"
[context]
a = "number"
b = "number"
c = "number"
d = "number"
[outcome]
event = "arrived_late"
aggregation = "any"
window = "30m"
[policy]
kind = "greedy"
"#;
    let mut by_action = model(golden("binary_logistic.ubj"));
    by_action.action_is_feature = true;
    by_action.encoding.columns[4] = EncodedColumn {
        name: "action".into(),
        feature_type: FeatureType::Category,
        vocabulary: vec!["bike".into(), "van".into(), "rail".into()],
    };
    let home = Home::new();
    let lake = home.lake().await;
    apply(&lake, blueprint).await;
    go_live(&lake, by_action).await;
    let site = home.start().await;
    let context = r#"{"a":0.5,"b":-1,"c":0.1,"d":2}"#;
    let decided = site
        .ok(
            "/v1/decide",
            &format!(r#"{{"strategy":"late","unit":"p","context":{context}}}"#),
        )
        .await;
    let row = r#"{"a":0.5,"b":-1,"c":0.1,"d":2,"action":"rail"}"#;
    let body = format!(r#"{{"strategy":"late","rows":[{context},{row}]}}"#);
    let scores = site.ok("/v1/predict", &body).await["scores"].clone();
    assert_eq!(scores[0].as_array().unwrap().len(), 3);
    assert_eq!(scores[1], json!([scores[0][2]]));
    for (idx, action) in ["bike", "van", "rail"].into_iter().enumerate() {
        assert_eq!(decided["scores"][action], scores[0][idx]);
    }
    let best = decided["scores"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_f64)
        .fold(f64::MIN, f64::max);
    assert_eq!(
        decided["scores"][decided["action"].as_str().unwrap()].as_f64(),
        Some(best)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_that_cannot_be_made_are_refused_by_name() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    let refused = site.post("/v1/predict", r#"{"strategy":"late","rows":[{}]}"#).await;
    assert_eq!(refused.problem(), (404, "unknown-model".into(), String::new()));
    go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    site.until("/v1/decide", ASK, has_model(1)).await;
    for (body, status, field, detail) in [
        (r#"{"strategy":"late"}"#, 422, "rows", "has no `rows`"),
        (r#"{"strategy":"late","rows":[]}"#, 422, "rows", "is empty"),
        (
            r#"{"strategy":"late","rows":[7]}"#,
            422,
            "rows[0]",
            "is the number 7; expected an object",
        ),
        (
            r#"{"strategy":"late","rows":[{},{"a":"x"}]}"#,
            422,
            "rows[1].a",
            "expected a number",
        ),
        (
            r#"{"strategy":"late","rows":[{"action":"maybe"}]}"#,
            422,
            "rows[0].action",
            "declared are `no`, `yes`",
        ),
        (r#"{"strategy":"none","rows":[{}]}"#, 404, "", "there is no strategy"),
    ] {
        let refused = site.post("/v1/predict", body).await;
        let (found_status, _, found_field) = refused.problem();
        assert_eq!((found_status, found_field.as_str()), (status, field), "{body}");
        assert!(refused.detail().contains(detail), "{body}: {}", refused.detail());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_can_be_listed_without_its_bytes() {
    let home = Home::new();
    let site = home.start_with(&[LATE]).await;
    assert_eq!(site.get("/v1/models").await.json(), json!({"models": []}));
    go_live(&site.lake, model(golden("binary_logistic.ubj"))).await;
    go_live(&site.lake, model(golden("reg_logistic.ubj"))).await;
    let list = site.get("/v1/models").await.json();
    let stages: Vec<_> = list["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            (
                model["version"].as_u64().unwrap(),
                model["stage"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(stages, [(2, "live".to_owned()), (1, "retired".to_owned())]);
    assert_eq!(list["models"][0]["metric_value"], 0.5);
    assert!(list["models"][0].get("artifact").is_none());
}
