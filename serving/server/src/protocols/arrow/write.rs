//! Owns the answers of the Arrow door: decisions and scores as one record batch each.
//!
//! | answer | columns |
//! |---|---|
//! | decisions | `decision_id`, `strategy`, `action`, `value`, `ranking`, `actions`, `scores`, `propensity`, `reason`, `blueprint_version`, `model_version`, `missing_features` |
//! | scores | `scores`; the schema's metadata holds `model_version` |
//!
//! `ranking`, `actions` and `scores` are lists. `actions` holds the action or the candidate of each score, and nothing where
//! scores belong to neither; `ranking` is empty where nothing was ranked.

use std::sync::Arc;

use actix_web::web::Bytes;
use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array,
};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

use crate::problem::Problem;
use crate::protocols::answer::Decided;
use crate::wire::PredictAnswer;

/// Decisions in the order that they were asked for.
pub(super) fn decisions(answers: &[Bytes]) -> Result<RecordBatch, Problem> {
    let decided: Vec<Decided<'_>> = answers
        .iter()
        .map(|answer| Decided::read(answer))
        .collect::<Result<_, _>>()?;
    let column = |text: &dyn Fn(&Decided<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(decided.iter().map(text).collect::<StringArray>())
    };
    let numbers = |number: &dyn Fn(&Decided<'_>) -> Option<f64>| -> ArrayRef {
        Arc::new(decided.iter().map(number).collect::<Float64Array>())
    };
    let model_versions: UInt32Array = decided.iter().map(|one| one.model_version).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "decision_id",
            column(&|one| Some(one.decision_id.clone().into())),
            false,
        ),
        ("strategy", column(&|one| Some(one.strategy.clone().into())), false),
        ("action", column(&|one| one.action.clone().map(Into::into)), true),
        ("value", numbers(&|one| one.value), true),
        (
            "ranking",
            text_lists(decided.iter().map(|one| one.ranking.as_slice())),
            false,
        ),
        (
            "actions",
            text_lists(decided.iter().map(|one| one.scores.actions.as_slice())),
            false,
        ),
        (
            "scores",
            number_lists(decided.iter().map(|one| one.scores.scores.as_slice())),
            false,
        ),
        ("propensity", numbers(&|one| Some(one.propensity)), false),
        ("reason", column(&|one| Some(one.reason.clone().into())), false),
        (
            "blueprint_version",
            column(&|one| Some(one.blueprint_version.clone().into())),
            false,
        ),
        ("model_version", Arc::new(model_versions), true),
        (
            "missing_features",
            text_lists(decided.iter().map(|one| one.missing_features.as_slice())),
            false,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| Problem::internal("write decisions", &error))
}

/// Scores in the order of their rows.
pub(super) fn scores(answer: &PredictAnswer) -> Result<RecordBatch, Problem> {
    let lists = number_lists(answer.scores.iter().map(Vec::as_slice));
    let batch = RecordBatch::try_from_iter_with_nullable([("scores", lists, false)]).and_then(|batch| {
        let metadata = [("model_version".to_owned(), answer.model_version.to_string())];
        let schema = Schema::clone(batch.schema_ref()).with_metadata(metadata.into());
        batch.with_schema(Arc::new(schema))
    });
    batch.map_err(|error| Problem::internal("write scores", &error))
}

fn number_lists<'n>(rows: impl Iterator<Item = &'n [f64]>) -> ArrayRef {
    let mut lists = ListBuilder::new(Float64Builder::new());
    for row in rows {
        lists.values().append_slice(row);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn text_lists<'t>(rows: impl Iterator<Item = &'t [String]>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        for text in row {
            lists.values().append_value(text);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// A record batch as an IPC stream.
pub(super) fn stream(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(batch)?;
    writer.into_inner()
}
