//! Where snapshots lie: `<root>/<view>/<table version>.snapshot`, one folder for each view.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use lakeloop_domain::FeatureViewName;

use crate::SnapshotError;

const EXTENSION: &str = "snapshot";

/// Begins the names of files that are not finished.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// A snapshot as it lies on the disk, not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version of the table that it is of.
    pub table_version: i64,
    /// The file.
    pub path: PathBuf,
}

/// The folder of a view's snapshots.
pub fn folder_of(root: &Path, view: &FeatureViewName) -> PathBuf {
    root.join(view.as_str())
}

pub(crate) fn path_of(folder: &Path, table_version: i64) -> PathBuf {
    folder.join(format!("{table_version}.{EXTENSION}"))
}

/// The snapshot of a view with the highest table version; `None` when there is none.
pub fn newest(root: &Path, view: &FeatureViewName) -> Result<Option<Stored>, SnapshotError> {
    let stored = all(&folder_of(root, view))?;
    Ok(stored.into_iter().max_by_key(|stored| stored.table_version))
}

/// Removes a view's snapshots of lower table versions, and what writers that were killed left. A server that has one
/// of them open keeps it.
///
/// Nobody else may be writing in the folder: see [`FolderLock`].
pub fn remove_older(root: &Path, view: &FeatureViewName, than: i64) -> Result<(), SnapshotError> {
    let folder = folder_of(root, view);
    let older = all(&folder)?.into_iter().filter(|stored| stored.table_version < than);
    let unfinished = names(&folder)?.into_iter().filter(|name| name.starts_with(UNFINISHED));
    for path in older
        .map(|stored| stored.path)
        .chain(unfinished.map(|name| folder.join(name)))
    {
        std::fs::remove_file(&path).map_err(SnapshotError::disk("remove", &path))?;
    }
    Ok(())
}

/// The right to build snapshots below a folder, for as long as it is there.
#[derive(Debug)]
pub struct FolderLock {
    /// The operating system takes the lock back when the file is closed, also when the process is killed.
    _file: File,
}

impl FolderLock {
    /// Takes the right; `None` when another process, or another lock of this one, has it. Makes the folder where it is
    /// absent.
    pub fn try_take(root: &Path) -> Result<Option<Self>, SnapshotError> {
        let path = root.join(".lock");
        std::fs::create_dir_all(root).map_err(SnapshotError::disk("make the folder", root))?;
        let file = File::create(&path).map_err(SnapshotError::disk("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(SnapshotError::disk("lock", &path)(source)),
        }
    }
}

fn all(folder: &Path) -> Result<Vec<Stored>, SnapshotError> {
    let stored = names(folder)?.into_iter().filter_map(|name| {
        let table_version = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()?;
        Some(Stored {
            table_version,
            path: folder.join(&name),
        })
    });
    Ok(stored.collect())
}

fn names(folder: &Path) -> Result<Vec<String>, SnapshotError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(SnapshotError::disk("list", folder)(source)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(SnapshotError::disk("list", folder))
}
