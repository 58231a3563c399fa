//! Adds the columns that a table from an earlier version lacks, so that an old lake goes on being written.
//!
//! What is added may be null and goes to the end, as one commit that changes nothing but the table's schema: no file is
//! touched, and every reader finds null in the earlier rows. Of several processes that open an old lake at once one makes
//! the commit, and the others find it made. A process of the earlier version that still runs stops at its next commit,
//! because it knows the table no more; what it has acknowledged stays in its journal.

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::{Action, MetadataExt as _, StructField};
use deltalake::protocol::DeltaOperation;

use crate::log::{Change, MAX_ATTEMPTS, TableLog, location};
use crate::{LakeError, tables};

impl TableLog {
    /// Adds the columns that the table lacks; costs nothing where it lacks none.
    pub(crate) async fn add_columns(&mut self) -> Result<(), LakeError> {
        let Some(expected) = tables::schema(self.name()) else {
            return Ok(());
        };
        for _ in 0..MAX_ATTEMPTS {
            let absent = &expected.fields()[self.schema().fields().len().min(expected.fields().len())..];
            if absent.is_empty() {
                return Ok(());
            }
            let fields = absent
                .iter()
                .map(|field| field.as_ref().try_into_kernel())
                .collect::<Result<Vec<StructField>, _>>()
                .map_err(|source| LakeError::Arrow {
                    table: self.name().clone(),
                    source,
                })?;
            let change = self.adding(fields).await?;
            let is_added = self.commit(&change).await?.is_some();
            // Either way the schema is another one now: by this commit, or perhaps by whoever was quicker.
            self.refresh_all().await?;
            if is_added {
                let added: Vec<&str> = absent.iter().map(|field| field.name().as_str()).collect();
                tracing::info!(table = %self.name(), columns = added.join(", "), "columns were added to the table");
            }
        }
        Err(LakeError::Contended {
            table: self.name().clone(),
            attempts: MAX_ATTEMPTS,
        })
    }

    /// The change that adds columns and nothing else.
    async fn adding(&mut self, fields: Vec<StructField>) -> Result<Change, LakeError> {
        let table = self.state().await?;
        let failed = |source| LakeError::storage("add columns", location(table), source);
        let state = table.snapshot().map_err(failed)?;
        let there = state.schema();
        let all = there.fields().cloned().chain(fields.iter().cloned());
        let schema = deltalake::kernel::StructType::try_new(all)
            .map_err(|source| failed(deltalake::DeltaTableError::generic(source)))?;
        let metadata = state.metadata().clone().with_schema(&schema);
        let metadata = metadata.map_err(|source| failed(deltalake::DeltaTableError::generic(source)))?;
        Ok(Change {
            actions: vec![Action::Metadata(metadata)],
            operation: DeltaOperation::AddColumn { fields },
            is_blind_append: false,
            transaction: None,
        })
    }
}
