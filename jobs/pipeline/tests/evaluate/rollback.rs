//! Earlier blueprints and earlier models come back.

use lakeloop_domain::ModelVersion;
use lakeloop_lake::{blueprints, registry};
use lakeloop_pipeline::{PipelineError, rollback_blueprint, rollback_model};

use crate::support::{MINUTE, START, apply};
use crate::world::{SNACK, lived, promote};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_blueprint_and_an_earlier_model_come_back() {
    let home = lived().await;
    let (lake, name) = (&home.lake, home.strategy());
    let second = apply(lake, &SNACK.replace("epsilon = 0.9", "epsilon = 0.5")).await;
    let back = rollback_blueprint(lake, name, None, "it was better", START + 9)
        .await
        .unwrap();
    assert_eq!((&back.now.version, back.now.sequence), (&home.applied.version, 3));
    assert_eq!(
        (back.now.blueprint.clone(), back.now.source.as_str()),
        (home.applied.blueprint.clone(), SNACK)
    );
    assert_eq!(back.before.version, second.version);
    let forth = rollback_blueprint(lake, name, Some("2"), "no", START + 10)
        .await
        .unwrap();
    assert_eq!(forth.now.version, second.version);
    rollback_blueprint(lake, name, Some(home.applied.version.as_str()), "yes", START + 11)
        .await
        .unwrap();
    let kept = blueprints::applications(lake, name).await.unwrap();
    assert_eq!(kept.len(), 5);
    assert_eq!(
        kept[2].reason.as_deref(),
        Some(format!("rolled back from {}: it was better", second.version).as_str())
    );
    let refused = async |to: Option<&str>| match rollback_blueprint(lake, name, to, "x", START).await {
        Err(PipelineError::NothingToRollBack { what }) => what,
        other => panic!("{other:?}"),
    };
    assert!(
        refused(Some("0123456789abcdef"))
            .await
            .contains("never had a blueprint 0123456789abcdef")
    );
    assert!(refused(Some("5")).await.contains("in force already"));

    let closed = home.clock.load(std::sync::atomic::Ordering::Relaxed);
    home.train(closed).await.unwrap();
    home.train(closed + MINUTE).await.unwrap();
    for version in [1, 2] {
        promote(&home, version).await;
    }
    let back = rollback_model(lake, name, None, "it was slow", closed + 9 * MINUTE)
        .await
        .unwrap();
    assert_eq!((back.now, back.before), (ModelVersion(1), Some(ModelVersion(2))));
    let live = registry::live(lake).await.unwrap().pop().unwrap();
    assert_eq!(
        (live.version, live.stage_reason.as_str()),
        (ModelVersion(1), "rolled back from model 2: it was slow")
    );
    let back = rollback_model(lake, name, Some(ModelVersion(2)), "no", closed + 10 * MINUTE)
        .await
        .unwrap();
    assert_eq!(back.now, ModelVersion(2));
    let error = rollback_model(lake, name, Some(ModelVersion(9)), "no", closed)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no model 9 of `snack`; registered are 1, 2");
    // A model that does not fit stays where it is.
    apply(lake, &SNACK.replace("mood = \"category\", ", "")).await;
    let error = rollback_model(lake, name, Some(ModelVersion(1)), "no", closed)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`mood`"), "{error}");
}
