//! Rows of the `blueprints` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::AppliedBlueprint;

use super::cells::{Cells, batch, instants, optional_smalls, texts, to_json};
use crate::{LakeError, TableName};

/// The applications as rows.
pub fn blueprints_to_batch(applied: &[AppliedBlueprint]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Blueprints;
    let each = || applied.iter();
    let json = each()
        .map(|row| to_json(&table, "blueprint", &row.blueprint))
        .collect::<Result<Vec<_>, _>>()?;
    let columns = vec![
        texts(each().map(|row| row.blueprint.name.as_str())),
        texts(each().map(|row| row.version.as_str())),
        optional_smalls(&table, "sequence", each().map(|row| Some(row.sequence)))?,
        instants(each().map(|row| row.applied_at)),
        texts(json.iter().map(String::as_str)),
        texts(each().map(|row| row.source.as_str())),
    ];
    batch(table, columns)
}

/// The rows as applications.
pub fn blueprints_from_batch(batch: &RecordBatch) -> Result<Vec<AppliedBlueprint>, LakeError> {
    Cells::new(TableName::Blueprints, batch)?.rows(|cells, row| {
        Ok(AppliedBlueprint {
            blueprint: cells.json("blueprint", row)?,
            version: cells.parsed("version", row)?,
            sequence: cells.ordinal("sequence", row)?,
            source: cells.text("source", row)?.to_owned(),
            applied_at: cells.instant("applied_at", row)?,
        })
    })
}
