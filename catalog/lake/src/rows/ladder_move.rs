//! Rows of the `ladder_moves` table.

use arrow::record_batch::RecordBatch;
use lakeloop_domain::{LadderCounts, LadderMove, LadderStep};

use super::cells::{Cells, batch, counts, instants, optional_smalls, texts};
use crate::{LakeError, TableName};

/// The moves as rows.
pub fn ladder_moves_to_batch(moves: &[LadderMove]) -> Result<RecordBatch, LakeError> {
    let table = TableName::LadderMoves;
    let each = || moves.iter();
    let arrays = vec![
        texts(each().map(|one| one.strategy.as_str())),
        optional_smalls(&table, "sequence", each().map(|one| Some(one.sequence)))?,
        texts(each().map(|one| one.from.as_str())),
        texts(each().map(|one| one.to.as_str())),
        instants(each().map(|one| one.moved_at)),
        texts(each().map(|one| one.moved_by.as_str())),
        texts(each().map(|one| one.reason.as_str())),
        counts(&table, "n_with_rule", each().map(|one| one.counts.n_with_rule))?,
        counts(
            &table,
            "n_labelled_default",
            each().map(|one| one.counts.n_labelled_default),
        )?,
        counts(
            &table,
            "n_labelled_apprentice",
            each().map(|one| one.counts.n_labelled_apprentice),
        )?,
        counts(
            &table,
            "n_labelled_explored",
            each().map(|one| one.counts.n_labelled_explored),
        )?,
    ];
    batch(table, arrays)
}

/// The rows as moves.
pub fn ladder_moves_from_batch(batch: &RecordBatch) -> Result<Vec<LadderMove>, LakeError> {
    Cells::new(TableName::LadderMoves, batch)?.rows(|cells, row| {
        Ok(LadderMove {
            strategy: cells.parsed("strategy", row)?,
            sequence: cells.ordinal("sequence", row)?,
            from: cells.word("from_step", row, LadderStep::parse)?,
            to: cells.word("to_step", row, LadderStep::parse)?,
            moved_at: cells.instant("moved_at", row)?,
            moved_by: cells.text("moved_by", row)?.to_owned(),
            reason: cells.text("reason", row)?.to_owned(),
            counts: LadderCounts {
                n_with_rule: cells.unsigned("n_with_rule", row)?,
                n_labelled_default: cells.unsigned("n_labelled_default", row)?,
                n_labelled_apprentice: cells.unsigned("n_labelled_apprentice", row)?,
                n_labelled_explored: cells.unsigned("n_labelled_explored", row)?,
            },
        })
    })
}
