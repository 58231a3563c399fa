//! Read, judge, append: changes whose right to happen depends on what the table holds.
//!
//! The judgement is a pure function of the rows at one version, and its rows are committed as exactly the next version.
//! When another commit comes first, the rows are read and judged again, so that of any number of concurrent
//! callers each sees what those before it did.

use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use futures::stream;

use crate::append::appending;
use crate::conform::{Extra, conform};
use crate::lake::release;
use crate::log::MAX_ATTEMPTS;
use crate::{Lake, LakeError, TableName, files, scan};

/// What a judgement came to.
pub(crate) enum Judged<T> {
    /// Nothing is to be written.
    Answer(T),
    /// These rows are to be appended; the answer once they are.
    Append(RecordBatch, T),
}

impl Lake {
    /// Reads the rows that the filter keeps, judges them, and appends what the judgement wants.
    pub(crate) async fn judge<T>(
        &self,
        table: &TableName,
        filter: Option<Expr>,
        judgement: impl Fn(&[RecordBatch]) -> Result<Judged<T>, LakeError>,
    ) -> Result<T, LakeError> {
        for _ in 0..MAX_ATTEMPTS {
            let (state, tip) = {
                let mut log = self.existing(table).await?;
                log.refresh().await?;
                (log.state().await?.clone(), log.tip())
            };
            let rows = scan::rows(table, &state, filter.clone()).await?;
            let (batch, answer) = match judgement(&rows)? {
                Judged::Answer(answer) => return Ok(answer),
                Judged::Append(batch, answer) => (batch, answer),
            };
            let batch = conform(table, &scan::columns_of(table, &state)?, &batch, Extra::Refuse)?;
            let adds = files::write(
                table,
                &state,
                files::Effort::Small,
                files::Encode::Here,
                stream::iter([Ok(batch)]),
            )
            .await?;
            let mut log = self.existing(table).await?;
            if log.tip() == tip && log.commit(&appending(adds.clone(), None)).await?.is_some() {
                release(log).await;
                return Ok(answer);
            }
            drop(log);
            files::discard(table, &state, adds).await;
        }
        Err(LakeError::Contended {
            table: table.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }
}
