//! Why a log cannot be read: finds the file that is broken or missing, so that the error can name it.

use deltalake::kernel::Version;
use deltalake::logstore::get_actions;
use deltalake::{DeltaTable, DeltaTableError};

use crate::log::{commit_path, known_versions, location};
use crate::{LakeError, TableName};

/// Turns a failure of loading a log into an error that names the cause. Reads the whole log, so only for failures.
pub(crate) async fn explain(name: &TableName, table: &DeltaTable, source: DeltaTableError) -> LakeError {
    let root = location(table);
    match find(table).await {
        Ok(Some(damage)) => LakeError::Damaged {
            table: name.clone(),
            path: format!("{}/{}", root.trim_end_matches('/'), damage.file),
            found: damage.found,
            source: Box::new(source),
        },
        Ok(None) => LakeError::storage("read the table's log", root, source),
        Err(reading) => LakeError::storage("read the table's log", root, reading),
    }
}

struct Damage {
    file: String,
    found: String,
}

/// The first commit that is missing between others, or that does not parse.
async fn find(table: &DeltaTable) -> Result<Option<Damage>, DeltaTableError> {
    let versions = known_versions(table).await?;
    for (idx, &version) in versions.iter().enumerate() {
        let expected: Version = versions[0] + idx as Version;
        if version != expected {
            let found = format!("version {expected} is missing");
            return Ok(Some(Damage {
                file: commit_path(expected),
                found,
            }));
        }
        let Some(bytes) = table.log_store().read_commit_entry(version).await? else {
            continue;
        };
        if let Err(error) = get_actions(version, &bytes) {
            let found = match error {
                DeltaTableError::InvalidJsonLog { json_err, .. } => {
                    format!("version {version} is no log entry ({json_err})")
                }
                other => format!("version {version} cannot be parsed ({other})"),
            };
            return Ok(Some(Damage {
                file: commit_path(version),
                found,
            }));
        }
    }
    Ok(None)
}
