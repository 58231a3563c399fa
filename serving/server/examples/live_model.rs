//! For the HTTP benchmark: makes an ensemble that XGBoost saved the live model of a strategy, without a training run.
//!
//! `live_model LAKE STRATEGY MODEL` registers the file as a binary model whose columns are numbers of the strategy's context.

use std::error::Error;
use std::time::SystemTime;

use lakeloop_domain::{
    Calibration, EncodedColumn, Encoding, FeatureType, LearningTarget, Micros, ModelMetrics, ModelStage, Provenance,
    StageMove, StrategyName, TrainingSetId,
};
use lakeloop_lake::registry::{self, NewModel};
use lakeloop_lake::{Lake, blueprints};
use lakeloop_trees::Ensemble;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lake, strategy, file] = arguments.as_slice() else {
        return Err("usage: live_model LAKE STRATEGY MODEL".into());
    };
    let strategy = StrategyName::new(strategy.as_str())?;
    let lake = Lake::open(lake, Default::default()).await?;
    let applied = blueprints::current(&lake).await?;
    let applied = applied
        .into_iter()
        .find(|applied| applied.blueprint.name == strategy)
        .ok_or("no such strategy is applied")?;
    let artifact = std::fs::read(file)?;
    let ensemble = Ensemble::from_bytes(&artifact)?;
    let columns = ensemble.feature_names().iter().map(|name| EncodedColumn {
        name: name.clone(),
        feature_type: FeatureType::Number,
        vocabulary: Vec::new(),
    });
    let model = NewModel {
        strategy: strategy.clone(),
        target: LearningTarget::Binary,
        action_is_feature: false,
        encoding: Encoding {
            columns: columns.collect(),
        },
        calibration: Calibration::Identity,
        prediction_interval: None,
        card: None,
        uncertainty: None,
        metrics: ModelMetrics {
            metric: "log_loss".into(),
            value: f64::NAN,
            baseline: None,
            n_train_rows: 0,
            n_validation_rows: 0,
            artifact_bytes: artifact.len() as u64,
            latency_p50_us: f64::NAN,
            latency_p99_us: f64::NAN,
            parity_max_abs: f64::NAN,
        },
        provenance: Provenance {
            blueprint_version: applied.version,
            training_set_id: TrainingSetId::new("none")?,
            table_versions: Vec::new(),
            parameters: "{}".into(),
            seed: 0,
        },
        artifact,
    };
    let now = Micros::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_micros())?;
    let version = registry::register(&lake, model, now).await?.version;
    let wish = StageMove {
        strategy,
        version,
        to: ModelStage::Live,
        reason: "benchmark".into(),
    };
    let _ = registry::move_stage(&lake, &wish, now).await?;
    Ok(())
}
