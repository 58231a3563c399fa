//! Whether the log holds what a blueprint would learn from: each feature, since when, and in what share of decisions.

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use lakeloop_domain::{Blueprint, FeatureType, Micros};
use lakeloop_sql::Query;

use crate::error::PipelineError;

/// What the log holds of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturePlan {
    /// The feature.
    pub name: String,
    /// Its declared type.
    pub feature_type: FeatureType,
    /// Where it comes from: `context`, `candidates`, or the table of a feature view.
    pub from: String,
    /// The share of logged decisions that hold it; `None` without decisions.
    pub logged_share: Option<f64>,
    /// The share that hold a value of it.
    pub filled_share: Option<f64>,
    /// The first decision that holds it.
    pub since: Option<Micros>,
    /// What that means for what is learned.
    pub note: String,
}

/// What is logged of one feature.
struct Logged {
    feature: String,
    part: String,
    kind: String,
    n_logged: i64,
    n_filled: i64,
    first_at: Micros,
}

/// Looks each feature of the blueprint up in the log.
pub(super) async fn features(
    session: &SessionContext,
    blueprint: &Blueprint,
) -> Result<Vec<FeaturePlan>, PipelineError> {
    let values = [("strategy", blueprint.name.as_str().into())];
    let batches = Query::FEATURE_COVERAGE.run(session, &values).await?;
    let mut logged = Vec::new();
    let mut n_decisions = 0;
    for batch in &batches {
        let text = |idx: usize| cast(batch.column(idx), &DataType::Utf8).map_err(PipelineError::TrainingRows);
        let (features, parts, kinds) = (text(0)?, text(1)?, text(2)?);
        let count = |idx: usize| batch.column(idx).as_primitive::<Int64Type>();
        let firsts = batch.column(5).as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            n_decisions = count(7).value(row);
            logged.push(Logged {
                feature: features.as_string::<i32>().value(row).to_owned(),
                part: parts.as_string::<i32>().value(row).to_owned(),
                kind: kinds.as_string::<i32>().value(row).to_owned(),
                n_logged: count(3).value(row),
                n_filled: count(4).value(row),
                first_at: firsts.value(row),
            });
        }
    }
    let declared = declared(blueprint).into_iter();
    Ok(declared
        .map(|(name, feature_type, from)| plan_of(name, feature_type, from, &logged, n_decisions))
        .collect())
}

/// Every feature of a blueprint with where it comes from.
fn declared(blueprint: &Blueprint) -> Vec<(String, FeatureType, String)> {
    let fields = |fields: &[lakeloop_domain::ContextField], from: &str| {
        let seen = fields.iter().filter(|field| field.is_feature);
        seen.map(|field| (field.name.to_string(), field.feature_type, from.to_owned()))
            .collect::<Vec<_>>()
    };
    let views = blueprint.features.iter().flat_map(|view| {
        let from = format!("features.{}", view.name);
        view.columns
            .iter()
            .map(move |column| (column.name.to_string(), column.feature_type, from.clone()))
    });
    let mut all = fields(&blueprint.context, "context");
    all.extend(views);
    all.extend(fields(&blueprint.candidates, "candidates"));
    all
}

fn plan_of(name: String, feature_type: FeatureType, from: String, logged: &[Logged], n_decisions: i64) -> FeaturePlan {
    let kind = match feature_type {
        FeatureType::Number | FeatureType::Boolean => "numeric",
        FeatureType::Category => "categorical",
    };
    let part = if from == "candidates" { "candidate" } else { "shared" };
    let of_name = || logged.iter().filter(|row| row.feature == name && row.part == part);
    let found = of_name().find(|row| row.kind == kind);
    let share = |n: i64| (n_decisions > 0).then(|| n as f64 / n_decisions as f64);
    let note = match (found, of_name().next()) {
        _ if n_decisions == 0 => "nothing is logged yet".to_owned(),
        (None, Some(other)) => format!("logged as {}, so earlier decisions lack it", other.kind),
        (None, None) if from.starts_with("features.") => "not logged; joined as of each earlier decision".to_owned(),
        (None, None) => "not logged; missing for all earlier decisions".to_owned(),
        (Some(row), _) if row.n_logged < n_decisions => {
            let earlier = n_decisions - row.n_logged;
            match from.starts_with("features.") {
                true => format!("joined for {earlier} decisions without it"),
                false => format!("missing for {earlier} decisions without it"),
            }
        }
        (Some(_), _) => "logged with every decision".to_owned(),
    };
    FeaturePlan {
        logged_share: share(found.map_or(0, |row| row.n_logged)),
        filled_share: share(found.map_or(0, |row| row.n_filled)),
        since: found.map(|row| row.first_at),
        name,
        feature_type,
        from,
        note,
    }
}
