//! Owns noticing that files have changed: by what the file system says about them, without reading them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What some files were like: for each, its device, inode, size and times of change, or nothing where there is none.
///
/// A file that is replaced by renaming has another inode, so a change is seen even when size and time stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<[i64; 7]>>);

impl Stamp {
    /// Looks at files; links are followed.
    pub(crate) fn of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let look = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some([
                found.dev() as i64,
                found.ino() as i64,
                found.size() as i64,
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ])
        };
        Self(paths.into_iter().map(look).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_that_come_change_are_replaced_or_go_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let stamp = || Stamp::of([first.as_path(), second.as_path()]);
        let absent = stamp();
        assert_eq!(stamp(), absent);
        fs::write(&first, "one").unwrap();
        let there = stamp();
        assert_ne!(there, absent);
        assert_eq!(stamp(), there);
        fs::write(&first, "longer").unwrap();
        let changed = stamp();
        assert_ne!(changed, there);
        fs::write(&second, "longer").unwrap();
        fs::rename(&second, &first).unwrap();
        assert_ne!(stamp(), changed);
        fs::remove_file(&first).unwrap();
        assert_eq!(stamp(), absent);
    }
}
