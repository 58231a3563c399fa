//! The identity of an import: the same file with the same mapping is the same import, whenever and wherever it is run.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::ImportError;
use crate::mapping::Mapping;

/// The application id under which the chunks of an import are committed: `import-` and 16 hexadecimal digits of a
/// SHA-256 over the bytes of the file and the meaning of the mapping. Comments and layout of the mapping do not count.
pub(crate) fn application_id(file: &Path, mapping: &Mapping) -> Result<String, ImportError> {
    let of_file = file_digest(file).map_err(|source| ImportError::Read {
        file: file.to_owned(),
        source,
    })?;
    let digest = Sha256::new()
        .chain_update(of_file)
        .chain_update(mapping.canonical())
        .finalize();
    Ok(format!("import-{}", hex(&digest[..8])))
}

fn file_digest(file: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(file)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            n_bytes => digest.update(&buffer[..n_bytes]),
        }
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file as it was when the import began: the two passes must see the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: PathBuf,
    n_bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn of(file: &Path) -> Result<Self, ImportError> {
        let read = |source| ImportError::Read {
            file: file.to_owned(),
            source,
        };
        let metadata: Metadata = std::fs::metadata(file).map_err(read)?;
        if !metadata.is_file() {
            return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
        }
        Ok(Self {
            file: file.to_owned(),
            n_bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// Fails when the file has changed since.
    pub(crate) fn check(&self) -> Result<(), ImportError> {
        if Self::of(&self.file)? == *self {
            Ok(())
        } else {
            Err(ImportError::Changed {
                file: self.file.clone(),
            })
        }
    }
}
