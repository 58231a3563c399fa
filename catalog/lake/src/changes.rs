//! What was committed to a table after a version: the files that are new, and whether any row went away.
//!
//! Whoever keeps something that was made from a table brings it up to date from this, at a cost that grows with what
//! was committed and not with the table.

use std::collections::BTreeMap;

use deltalake::DeltaTable;
use deltalake::kernel::{Action, Version};
use deltalake::logstore::get_actions;

use crate::lake::signed;
use crate::log::location;
use crate::{Lake, LakeError, TableName};

/// More commits than these are not read one by one; a look at the whole table is cheaper.
const MAX_COMMITS: u64 = 10_000;

/// What was committed after a version.
#[derive(Debug, Clone)]
pub enum Changes {
    /// Files came, and rows stayed.
    Appended(NewFiles),
    /// Rows may have gone or changed: a commit replaced files for another reason than merging them.
    Rewritten(NewFiles),
    /// It cannot be told: the commits are too many, or are not in the log any more.
    Unknown,
}

/// Files that are part of a table since a version.
#[derive(Debug, Clone)]
pub struct NewFiles {
    /// The table, at the version up to which was looked.
    pub table: DeltaTable,
    /// That version.
    pub version: i64,
    /// The files, by their paths below the table, that hold every row that came after the version asked about; with
    /// merged files among them, also older rows. Each is part of the table.
    pub paths: Vec<String>,
}

/// A file that a commit added.
struct Added {
    has_new_rows: bool,
    is_part: bool,
}

impl Lake {
    /// What was committed to a table that must exist after `since`, up to its newest version. Reads each commit once.
    pub async fn changes(&self, table: &TableName, since: i64) -> Result<Changes, LakeError> {
        let state = self.newest(table).await?;
        let newest = state.version().unwrap_or_default();
        let Some(first) = Version::try_from(since).ok().map(|since| since + 1) else {
            return Ok(Changes::Unknown);
        };
        if first > newest + 1 || newest + 1 - first > MAX_COMMITS {
            return Ok(Changes::Unknown);
        }
        let failed = |source| LakeError::storage("read the latest commits", location(&state), source);
        let mut added: BTreeMap<String, Added> = BTreeMap::new();
        let mut is_rewritten = false;
        for version in first..=newest {
            let commit = state.log_store().read_commit_entry(version).await.map_err(failed)?;
            let Some(commit) = commit else {
                return Ok(Changes::Unknown);
            };
            for action in get_actions(version, &commit).map_err(failed)? {
                match action {
                    Action::Add(add) => {
                        let file = Added {
                            has_new_rows: add.data_change,
                            is_part: true,
                        };
                        added.insert(add.path, file);
                    }
                    Action::Remove(remove) => {
                        is_rewritten |= remove.data_change;
                        if let Some(file) = added.get_mut(&remove.path) {
                            file.is_part = false;
                        }
                    }
                    _ => {}
                }
            }
        }
        // New rows whose file was merged away are in one of the merged files.
        let needs_merged = added.values().any(|file| file.has_new_rows && !file.is_part);
        let paths = added
            .into_iter()
            .filter(|(_, file)| file.is_part && (file.has_new_rows || needs_merged))
            .map(|(path, _)| path)
            .collect();
        let files = NewFiles {
            table: state,
            version: signed(newest),
            paths,
        };
        Ok(match is_rewritten {
            true => Changes::Rewritten(files),
            false => Changes::Appended(files),
        })
    }
}
