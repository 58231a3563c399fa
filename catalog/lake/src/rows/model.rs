//! Rows of the `models` table.

use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array};
use arrow::record_batch::RecordBatch;
use lakeloop_domain::{ModelCard, ModelMetrics, ModelRecord, ModelStage, ModelVersion, Provenance};

use super::cells::{
    Cells, batch, counts, flags, instants, jsons, numbers, optional_jsons, optional_numbers, optional_smalls,
    optional_texts, texts, to_json,
};
use super::features;
use crate::artifact::{packed, unpacked};
use crate::{LakeError, TableName};

/// The models as rows, without cards. The seed keeps its 64 bits, so that one above 2^63 shows as a negative number.
pub fn models_to_batch(models: &[ModelRecord]) -> Result<RecordBatch, LakeError> {
    to_batch(models, None)
}

/// One model as a row with its card, as JSON and as Markdown.
pub(crate) fn model_to_batch(model: &ModelRecord, card: Option<&ModelCard>) -> Result<RecordBatch, LakeError> {
    to_batch(std::slice::from_ref(model), card)
}

fn to_batch(models: &[ModelRecord], card: Option<&ModelCard>) -> Result<RecordBatch, LakeError> {
    let table = TableName::Models;
    let each = || models.iter();
    let targets = jsons(&table, "target", each().map(|m| &m.target))?;
    let encodings = jsons(&table, "encoding", each().map(|m| &m.encoding))?;
    let calibrations = jsons(&table, "calibration", each().map(|m| &m.calibration))?;
    let intervals = each().map(|m| m.prediction_interval.as_ref());
    let intervals = optional_jsons(&table, "prediction_interval", intervals)?;
    let card_json = card.map(|card| to_json(&table, "card", card)).transpose()?;
    let card_markdown = card.map(ModelCard::to_markdown);
    let uncertainties = optional_jsons(&table, "uncertainty", each().map(|m| m.uncertainty.as_ref()))?;
    let columns = vec![
        texts(each().map(|m| m.strategy.as_str())),
        optional_smalls(&table, "version", each().map(|m| Some(m.version.0)))?,
        texts(each().map(|m| m.stage.as_str())),
        texts(each().map(|m| m.stage_reason.as_str())),
        instants(each().map(|m| m.stage_changed_at)),
        instants(each().map(|m| m.registered_at)),
        texts(targets.iter().map(String::as_str)),
        flags(each().map(|m| m.action_is_feature)),
        texts(encodings.iter().map(String::as_str)),
        texts(calibrations.iter().map(String::as_str)),
        Arc::new(BinaryArray::from_iter_values(each().map(|m| packed(&m.artifact)))),
        texts(each().map(|m| m.metrics.metric.as_str())),
        numbers(each().map(|m| m.metrics.value)),
        optional_numbers(each().map(|m| m.metrics.baseline)),
        counts(&table, "n_train_rows", each().map(|m| m.metrics.n_train_rows))?,
        counts(&table, "n_validation_rows", each().map(|m| m.metrics.n_validation_rows))?,
        counts(&table, "artifact_bytes", each().map(|m| m.metrics.artifact_bytes))?,
        numbers(each().map(|m| m.metrics.latency_p50_us)),
        numbers(each().map(|m| m.metrics.latency_p99_us)),
        numbers(each().map(|m| m.metrics.parity_max_abs)),
        texts(each().map(|m| m.provenance.blueprint_version.as_str())),
        texts(each().map(|m| m.provenance.training_set_id.as_str())),
        features::numbers_by_name(&table, each().map(|m| m.provenance.table_versions.as_slice()))?,
        texts(each().map(|m| m.provenance.parameters.as_str())),
        Arc::new(Int64Array::from_iter_values(
            each().map(|m| m.provenance.seed.cast_signed()),
        )),
        optional_texts(intervals.iter().map(Option::as_deref)),
        optional_texts(each().map(|_| card_json.as_deref())),
        optional_texts(each().map(|_| card_markdown.as_deref())),
        optional_texts(uncertainties.iter().map(Option::as_deref)),
    ];
    batch(table, columns)
}

/// The rows as models.
pub fn models_from_batch(batch: &RecordBatch) -> Result<Vec<ModelRecord>, LakeError> {
    Cells::new(TableName::Models, batch)?.rows(|cells, row| {
        Ok(ModelRecord {
            strategy: cells.parsed("strategy", row)?,
            version: ModelVersion(cells.ordinal("version", row)?),
            stage: cells.word("stage", row, ModelStage::parse)?,
            stage_reason: cells.text("stage_reason", row)?.to_owned(),
            stage_changed_at: cells.instant("stage_changed_at", row)?,
            registered_at: cells.instant("registered_at", row)?,
            target: cells.json("target", row)?,
            action_is_feature: cells.flag("action_is_feature", row)?,
            encoding: cells.json("encoding", row)?,
            calibration: cells.json("calibration", row)?,
            prediction_interval: cells.optional_json("prediction_interval", row)?,
            uncertainty: cells.optional_json("uncertainty", row)?,
            artifact: unpacked(cells.bytes("artifact", row)?)
                .map_err(|error| cells.value("artifact", &format!("cannot be unpacked: {error}")))?,
            metrics: ModelMetrics {
                metric: cells.text("metric", row)?.to_owned(),
                value: cells.number("metric_value", row)?,
                baseline: cells.optional_number("baseline_value", row)?,
                n_train_rows: cells.unsigned("n_train_rows", row)?,
                n_validation_rows: cells.unsigned("n_validation_rows", row)?,
                artifact_bytes: cells.unsigned("artifact_bytes", row)?,
                latency_p50_us: cells.number("latency_p50_us", row)?,
                latency_p99_us: cells.number("latency_p99_us", row)?,
                parity_max_abs: cells.number("parity_max_abs", row)?,
            },
            provenance: Provenance {
                blueprint_version: cells.parsed("blueprint_version", row)?,
                training_set_id: cells.parsed("training_set_id", row)?,
                table_versions: cells.numbers_by_name("table_versions", row)?,
                parameters: cells.text("parameters", row)?.to_owned(),
                seed: cells.count("seed", row)?.cast_unsigned(),
            },
        })
    })
}

/// The card of each row; `None` for models from before there were cards.
pub fn cards_from_batch(batch: &RecordBatch) -> Result<Vec<Option<ModelCard>>, LakeError> {
    Cells::new(TableName::Models, batch)?.rows(|cells, row| cells.optional_json("card", row))
}
