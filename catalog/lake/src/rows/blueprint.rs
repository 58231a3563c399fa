//! Rows of the `blueprints` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::AppliedBlueprint;

use super::cells::{Cells, batch, instants, jsons, optional_smalls, optional_texts, texts};
use crate::{LakeError, TableName};

/// One application of a blueprint: one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// What was applied.
    pub applied: AppliedBlueprint,
    /// Why, where somebody had to say: a gate that was overruled, or a rollback. `None` for other applications, and for
    /// those from before there were reasons.
    pub reason: Option<String>,
}

/// Applications that nobody had to give a reason for, as rows.
pub fn blueprints_to_batch(applied: &[AppliedBlueprint]) -> Result<RecordBatch, LakeError> {
    let without_reason = |applied: &AppliedBlueprint| Application {
        applied: applied.clone(),
        reason: None,
    };
    applications_to_batch(&applied.iter().map(without_reason).collect::<Vec<_>>())
}

/// The applications as rows.
pub fn applications_to_batch(applications: &[Application]) -> Result<RecordBatch, LakeError> {
    let table = TableName::Blueprints;
    let each = || applications.iter().map(|application| &application.applied);
    let json = jsons(&table, "blueprint", each().map(|row| &row.blueprint))?;
    let columns = vec![
        texts(each().map(|row| row.blueprint.name.as_str())),
        texts(each().map(|row| row.version.as_str())),
        optional_smalls(&table, "sequence", each().map(|row| Some(row.sequence)))?,
        instants(each().map(|row| row.applied_at)),
        texts(json.iter().map(String::as_str)),
        texts(each().map(|row| row.source.as_str())),
        optional_texts(applications.iter().map(|application| application.reason.as_deref())),
    ];
    batch(table, columns)
}

/// The rows as what was applied.
pub fn blueprints_from_batch(batch: &RecordBatch) -> Result<Vec<AppliedBlueprint>, LakeError> {
    let applications = applications_from_batch(batch)?;
    Ok(applications
        .into_iter()
        .map(|application| application.applied)
        .collect())
}

/// The rows as applications.
pub fn applications_from_batch(batch: &RecordBatch) -> Result<Vec<Application>, LakeError> {
    Cells::new(TableName::Blueprints, batch)?.rows(|cells, row| {
        Ok(Application {
            applied: AppliedBlueprint {
                blueprint: cells.json("blueprint", row)?,
                version: cells.parsed("version", row)?,
                sequence: cells.ordinal("sequence", row)?,
                source: cells.text("source", row)?.to_owned(),
                applied_at: cells.instant("applied_at", row)?,
            },
            reason: cells.optional_text("reason", row)?.map(str::to_owned),
        })
    })
}
