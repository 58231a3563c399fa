//! Owns a disk in memory that fails on demand: it fills up, fails any operation, loses power at any operation, and
//! shows what a process or power loss leaves behind.
//!
//! It keeps two views, the one that processes see and the one that is durable, and moves content from the first to
//! the second only on a sync, as [`Disk`] promises and no sooner. It is meant for tests, here and in crates that use
//! a journal; all content is in memory and a sync costs what was written since the last.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

mod world;

use world::{Content, Failure, World};

/// A disk in memory. Clones share it.
#[derive(Clone, Default)]
pub struct FaultDisk {
    world: Arc<Mutex<World>>,
}

/// The operations that change a disk, each of which can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Disk::create`]
    Create,
    /// [`DiskFile::append`]
    Append,
    /// [`DiskFile::truncate`]
    Truncate,
    /// [`DiskFile::sync`]
    Sync,
    /// [`Disk::sync_folder`]
    SyncFolder,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove`]
    Remove,
}

/// How the processes that use a disk come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: everything it wrote stays.
    Process,
    /// The power is lost, and with it everything that was not synced.
    Power,
    /// The power is lost, and of what was not synced some stays, in any order and also torn: what, the seed decides.
    PowerKeepingSome {
        /// Equal seeds keep equal things.
        seed: u64,
    },
}

impl FaultDisk {
    /// An empty disk without a limit or a fault.
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    /// Limits the bytes of all files together. An append beyond writes what fits and fails with
    /// [`io::ErrorKind::StorageFull`]. `None` lifts the limit.
    pub fn limit(&self, n_bytes: Option<u64>) {
        self.world().capacity = n_bytes;
    }

    /// Lets `n_before` operations of this kind succeed from now on and the next one fail. A failing append writes
    /// half of its bytes; after a failing [`Operation::Sync`] later syncs of that file succeed and do nothing, as
    /// they may on Linux.
    pub fn fail_after(&self, operation: Operation, n_before: u64, kind: io::ErrorKind) {
        self.world().failures.push(Failure {
            operation,
            n_before,
            kind,
        });
    }

    /// Cuts the power at the operation that changes the disk after `n_operations` more of any kind: it and all
    /// later ones fail, reads too.
    pub fn cut_power_after(&self, n_operations: u64) {
        let mut world = self.world();
        world.power_ends_at = Some(world.n_operations + n_operations);
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.world().is_off
    }

    /// How many operations that change a disk were attempted so far.
    pub fn n_operations(&self) -> u64 {
        self.world().n_operations
    }

    /// How many times a file, not a folder, was synced so far.
    pub fn n_syncs(&self) -> u64 {
        self.world().n_syncs
    }

    /// The disk as the next process finds it after a crash, without faults, limits or locks. What a killed process
    /// wrote and did not sync is still not durable there. This disk is off from now on, so that what still runs on
    /// it cannot reach the new one.
    pub fn after(&self, crash: Crash) -> FaultDisk {
        let mut world = self.world();
        world.is_off = true;
        let next = world.after(crash);
        FaultDisk {
            world: Arc::new(Mutex::new(next)),
        }
    }

    /// Replaces the content of a file, durably, as a failing medium would. The file must exist.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world();
        let file = world.file_at(path)?;
        world.files[file] = Content::durable(bytes.to_vec());
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(FaultFile {
            disk: self.clone(),
            file,
        })
    }
}

impl Disk for FaultDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check_power()?;
        world.folders.extend(folder.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let world = self.world();
        world.check_power()?;
        let paths = world.entries.keys().chain(&world.folders);
        let names = paths
            .filter(|path| path.parent() == Some(folder))
            .filter_map(|path| path.file_name());
        Ok(names.map(OsString::from).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut world = self.world();
        world.check_power()?;
        if !world.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(FaultLock {
            disk: self.clone(),
            path: path.to_path_buf(),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.begin(Operation::Create)?;
        if world.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|folder| world.folders.contains(folder)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = world.files.len();
        world.files.push(Content::default());
        world.entries.insert(path.to_path_buf(), file);
        Ok(self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.world();
        world.check_power()?;
        Ok(self.file(world.file_at(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let world = self.world();
        world.check_power()?;
        Ok(world.files[world.file_at(path)?].bytes.clone())
    }

    fn read_on(&self, path: &Path, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let whole = self.read(path)?;
        let rest = whole.get(bytes.len()..).unwrap_or_default();
        let read = &rest[..most.min(rest.len())];
        bytes.extend_from_slice(read);
        Ok(read.len())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin(Operation::Rename)?;
        let file = world.file_at(from)?;
        world.entries.remove(from);
        world.entries.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin(Operation::Remove)?;
        world.file_at(path)?;
        world.entries.remove(path);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.begin(Operation::SyncFolder)?;
        let World {
            entries,
            durable_entries,
            ..
        } = &mut *world;
        let is_inside = |path: &Path| path.parent() == Some(folder);
        durable_entries.retain(|path, _| !is_inside(path));
        durable_entries.extend(
            entries
                .iter()
                .filter(|(path, _)| is_inside(path))
                .map(|(path, file)| (path.clone(), *file)),
        );
        Ok(())
    }
}

struct FaultFile {
    disk: FaultDisk,
    file: usize,
}

impl DiskFile for FaultFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        world.check_power()?;
        let begun = world.begin(Operation::Append);
        let n_free = world
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(world.n_bytes()));
        let n_fitting = bytes.len().min(usize::try_from(n_free).unwrap_or(usize::MAX));
        let n_written = if begun.is_ok() {
            n_fitting
        } else {
            n_fitting.min(bytes.len() / 2)
        };
        world.files[self.file].bytes.extend_from_slice(&bytes[..n_written]);
        begun?;
        if n_written < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.begin(Operation::Truncate)?;
        let content = &mut world.files[self.file];
        content.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        content.n_unchanged = content.n_unchanged.min(content.bytes.len());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let begun = world.begin(Operation::Sync);
        world.n_syncs += 1;
        let content = &mut world.files[self.file];
        content.is_stuck |= begun.is_err();
        if !content.is_stuck {
            content.durable.truncate(content.n_unchanged);
            content.durable.extend_from_slice(&content.bytes[content.n_unchanged..]);
            content.n_unchanged = content.bytes.len();
        }
        begun
    }
}

struct FaultLock {
    disk: FaultDisk,
    path: PathBuf,
}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.disk.world().locks.remove(&self.path);
    }
}
