//! Owns the file operations the journal needs, and their real form on a local file system.
//!
//! The trait exists so that tests can lose power, fill the disk and fail an fsync at will
//! ([`FaultDisk`](crate::FaultDisk)). Its contract is that of POSIX and no more: what was written is visible to the
//! next process at once, yet survives a power loss only once the file is synced; a file that was created, renamed or
//! removed stays so only once its folder is synced.
//!
//! Local Unix file systems only: network file systems do not promise what fsync promises here.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;

/// The most room that is set aside for one file, so that a nearly full disk is not filled up by a hint.
#[cfg(target_os = "linux")]
const MAX_RESERVED_BYTES: u64 = 64 << 20;

/// The folder-level operations of a disk.
pub trait Disk: Send + Sync + 'static {
    /// Creates `folder` and its missing parents; they survive a power loss once this returns. An existing folder is fine.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names of all entries of `folder`, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Takes an exclusive lock that lasts until the answer is dropped or the process ends.
    /// [`io::ErrorKind::WouldBlock`] when somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// Creates a new, empty file; [`io::ErrorKind::AlreadyExists`] when there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file, to append, truncate or sync it.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Adds to the first bytes of a file those that follow, `most` of them at most, and says how many: 0 at the file's end. For files
    /// that are not written to any more, and hardly read again.
    fn read_on(&self, path: &Path, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize>;

    /// Renames within one folder, replacing `to` in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the creations, renames and removals in `folder` survive a power loss.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file. Methods take `&self`, so that one thread can sync while another appends.
pub trait DiskFile: Send + Sync {
    /// Appends all of `bytes`, in one write where the operating system allows. After an error any part of `bytes`
    /// may stand at the end of the file.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `len` bytes; the next append goes there.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the content and length survive a power loss.
    fn sync(&self) -> io::Result<()>;

    /// Says that the file is likely to grow to `n_bytes`, which keep its length as it is. A hint: a disk that cannot set
    /// room aside does nothing.
    fn reserve(&self, _n_bytes: u64) {}

    /// Says that the file stays `n_bytes` long, as it is, so that room beyond can go to others. A hint as well.
    fn finish(&self, _n_bytes: u64) {}
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        // A relative path of one part has the parent "", which means the working folder.
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.create_folder(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            other => other?,
        }
        self.sync_folder(parent)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_on(&self, path: &Path, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let mut file = File::open(path)?;
        let start = bytes.len() as u64;
        file.seek(SeekFrom::Start(start))?;
        let n_bytes = (&mut file).take(most as u64).read_to_end(bytes)?;
        give_back(&file, start, n_bytes);
        Ok(n_bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Lets the operating system forget what was read of a file that is likely to be removed next: piece by piece here, and not all at once
/// then, which would keep a core busy for milliseconds.
#[cfg(target_os = "linux")]
fn give_back(file: &File, start: u64, n_bytes: usize) {
    if let (Ok(start), Ok(n_bytes)) = (libc::off_t::try_from(start), libc::off_t::try_from(n_bytes)) {
        // SAFETY: the call takes numbers, touches no memory, and the file is open as long as it is borrowed.
        let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), start, n_bytes, libc::POSIX_FADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn give_back(_file: &File, _start: u64, _n_bytes: usize) {}

impl DiskFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    // Without it, a sync looks for free blocks while it holds what an append needs too, and every append waits for that:
    // several milliseconds where others write to the same disk.
    #[cfg(target_os = "linux")]
    fn reserve(&self, n_bytes: u64) {
        let n_bytes = libc::off_t::try_from(n_bytes.min(MAX_RESERVED_BYTES)).unwrap_or(0);
        // SAFETY: the call takes numbers, touches no memory, and the file is open as long as it is borrowed.
        let _ = unsafe { libc::fallocate(self.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 0, n_bytes) };
    }

    #[cfg(target_os = "linux")]
    fn finish(&self, n_bytes: u64) {
        // To the length that it has: what changes is the room beyond.
        let _ = self.set_len(n_bytes);
    }
}

/// Replaces or creates `path` so that it holds either its old content or all of `bytes`, whatever happens, and
/// holds `bytes` for good once this returns. Leaves at worst a `.tmp` file beside it.
pub(crate) fn write_durably(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("tmp");
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    file.append(bytes)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file; one that is already gone is fine.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_created_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b/c");
        OsDisk.create_folder(&folder).unwrap();
        OsDisk.create_folder(&folder).unwrap();
        assert!(folder.is_dir());
    }

    #[test]
    fn a_lock_is_exclusive_until_it_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        let held = OsDisk.lock(&path).unwrap();
        assert_eq!(OsDisk.lock(&path).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(OsDisk.lock(&path).is_ok());
    }

    #[test]
    fn a_file_is_read_on_to_its_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        OsDisk.create(&path).unwrap().append(b"seven bytes and more").unwrap();
        let mut bytes = Vec::new();
        let n_read = [7, 100, 100].map(|most| OsDisk.read_on(&path, &mut bytes, most).unwrap());
        assert_eq!(
            (n_read, bytes.as_slice()),
            ([7, 13, 0], b"seven bytes and more".as_slice())
        );
    }

    #[test]
    fn appends_continue_where_a_truncation_left_off() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let file = OsDisk.create(&path).unwrap();
        file.append(b"kept, torn").unwrap();
        file.truncate(6).unwrap();
        file.append(b"whole").unwrap();
        assert_eq!(OsDisk.read(&path).unwrap(), b"kept, whole");
        assert_eq!(OsDisk.create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn room_that_is_reserved_is_not_content_and_what_is_left_of_it_is_given_back() {
        use std::os::unix::fs::MetadataExt as _;

        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let file = OsDisk.create(&path).unwrap();
        file.reserve(1 << 20);
        file.append(b"first, ").unwrap();
        file.append(b"second").unwrap();
        assert_eq!(OsDisk.read(&path).unwrap(), b"first, second");
        file.finish(13);
        assert_eq!(OsDisk.read(&path).unwrap(), b"first, second");
        let n_allocated_bytes = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(n_allocated_bytes < 1 << 20, "{n_allocated_bytes}");
    }

    #[test]
    fn a_durable_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity");
        std::fs::write(root.path().join("identity.tmp"), "of a write that was interrupted").unwrap();
        write_durably(&OsDisk, &path, b"a longer first content").unwrap();
        write_durably(&OsDisk, &path, b"second").unwrap();
        assert_eq!(OsDisk.read(&path).unwrap(), b"second");
        assert_eq!(OsDisk.list(root.path()).unwrap(), ["identity"]);
    }
}
