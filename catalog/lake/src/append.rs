//! Appends rows, each batch once: a repeated one is recognised by its writer's sequence and answered, not written.
//!
//! A writer that may have to repeat itself (the flush of a journal after a crash) names itself and counts its batches.
//! Name and count are committed in the same file as the rows, as Delta's application transaction, so either both are
//! in the table or neither is. Batches of one writer must come in order: a count at or below the committed one is
//! taken for a repetition.

use arrow::record_batch::RecordBatch;
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::stream;

use crate::conform::{Extra, conform};
use crate::files::Effort;
use crate::lake::{release, signed};
use crate::log::{Change, MAX_ATTEMPTS};
use crate::{Lake, LakeError, TableName, files};

/// Which writer appends, and which of its batches it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSequence {
    /// Names the writer for ever, such as `journal/decisions`.
    pub app_id: String,
    /// Counts its batches upward.
    pub version: i64,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Append {
    /// The rows are in the table since this version, durably.
    Committed {
        /// The version.
        version: i64,
    },
    /// The writer's sequence had been committed before, with this or a later version; nothing was written.
    AlreadyCommitted,
}

impl Lake {
    /// Appends batches as one file in one commit.
    ///
    /// Columns are matched by name; a table from before some of them gets these first. A batch that does not fit is refused before anything is written. With no rows at
    /// all, the writer's sequence is still committed. When this returns, the rows outlast a power failure. The cost does
    /// not grow with the table. Errors leave the table as it was; what could not be told apart from a
    /// success (a store that broke off) is resolved by appending again with the same sequence.
    pub async fn append(
        &self,
        table: &TableName,
        batches: Vec<RecordBatch>,
        writer: Option<WriterSequence>,
    ) -> Result<Append, LakeError> {
        self.append_rows(table, batches.into_iter().map(Ok), writer, files::Encode::Here)
            .await
    }

    /// [`append`](Self::append) for rows that are put together while they are written. They are not asked for when the
    /// writer's sequence had been committed before; when one cannot be made, nothing is appended.
    pub async fn append_rows(
        &self,
        table: &TableName,
        rows: impl Iterator<Item = Result<RecordBatch, LakeError>> + Send,
        writer: Option<WriterSequence>,
        encode: files::Encode<'_>,
    ) -> Result<Append, LakeError> {
        let (handle, schema) = {
            let mut log = self.existing(table).await?;
            if let Some(writer) = &writer
                && log
                    .sequence(&writer.app_id)
                    .await?
                    .is_some_and(|committed| committed >= writer.version)
            {
                return Ok(Append::AlreadyCommitted);
            }
            log.add_columns().await?;
            (log.handle().clone(), log.schema().clone())
        };
        let conforming = rows.map(|batch| conform(table, &schema, &batch?, Extra::Refuse));
        let adds = files::write(table, &handle, effort(table), encode, stream::iter(conforming)).await?;
        if adds.is_empty() && writer.is_none() {
            return Ok(Append::Committed {
                version: signed(self.existing(table).await?.tip()),
            });
        }
        let written = self.commit_append(table, &adds, writer.as_ref()).await;
        // After another error the files may belong to a commit whose answer was lost, so they stay.
        if matches!(
            written,
            Ok(Append::AlreadyCommitted) | Err(LakeError::Contended { .. } | LakeError::SchemaDiffers { .. })
        ) {
            files::discard(table, &handle, adds).await;
        }
        written
    }

    async fn commit_append(
        &self,
        table: &TableName,
        adds: &[Add],
        writer: Option<&WriterSequence>,
    ) -> Result<Append, LakeError> {
        let change = appending(adds.to_vec(), writer);
        let mut log = self.existing(table).await?;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(writer) = writer
                && log
                    .sequence(&writer.app_id)
                    .await?
                    .is_some_and(|committed| committed >= writer.version)
            {
                return Ok(Append::AlreadyCommitted);
            }
            if let Some(version) = log.commit(&change).await? {
                release(log).await;
                return Ok(Append::Committed {
                    version: signed(version),
                });
            }
            log.refresh().await?;
        }
        Err(LakeError::Contended {
            table: table.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }

    /// The last batch that a writer committed; `None` when it committed none.
    pub async fn last_sequence(&self, table: &TableName, app_id: &str) -> Result<Option<i64>, LakeError> {
        let mut log = self.existing(table).await?;
        log.refresh().await?;
        log.sequence(app_id).await
    }
}

/// Decisions and outcomes come by the thousand while requests are answered; other rows come from jobs.
fn effort(table: &TableName) -> Effort {
    match table {
        TableName::Decisions | TableName::Outcomes => Effort::Quick,
        _ => Effort::Small,
    }
}

/// The change that adds files and nothing else.
pub(crate) fn appending(adds: Vec<Add>, writer: Option<&WriterSequence>) -> Change {
    Change {
        actions: adds.into_iter().map(Action::Add).collect(),
        operation: DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: None,
            predicate: None,
        },
        is_blind_append: true,
        transaction: writer.map(|writer| Transaction::new(&writer.app_id, writer.version)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::rows::outcomes_to_batch;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[allow(clippy::unwrap_used)]
    async fn appending_reads_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), HashMap::new())
            .await
            .unwrap();
        for batch in 1..=30 {
            let writer = WriterSequence {
                app_id: "journal".to_owned(),
                version: batch,
            };
            let rows = vec![outcomes_to_batch(&[]).unwrap()];
            let _ = lake.append(&TableName::Outcomes, rows, Some(writer)).await.unwrap();
        }
        let log = lake.existing(&TableName::Outcomes).await.unwrap();
        assert_eq!((log.tip(), log.handle().version()), (30, Some(0)));
    }
}
