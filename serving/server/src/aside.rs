//! Owns the files of journal records that could not be decoded: `aside/<journal>-<journal id>-<segment>.records`.
//!
//! A record that this version cannot decode is neither dropped nor does it hold the rest of its segment back: its bytes
//! are kept in a file, durably, before the segment is released. Each start tries these files again, and one that can
//! be read whole is appended to the lake and removed. The file's name is its application id there, apart from that of
//! the journal, so that a late append is not taken for a repetition and a repeated one is.
//!
//! A file is a sequence of records, each a length (u32, little endian) and that many bytes. It is written under another
//! name first and renamed when it is durable, so that a file with the right name is always whole.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use lakeloop_journal::SegmentNumber;
use lakeloop_lake::{Append, WriterSequence};

use crate::flush::{FlushError, Writer, table};
use crate::journal::Ledger;
use crate::problem::Chain;
use crate::rows::{Rows, Stray};
use crate::telemetry::Book;

const EXTENSION: &str = "records";

/// The name of the file for the records of one segment.
fn file_name(book: Book, journal_id: &str, segment: u64) -> String {
    format!("{}-{journal_id}-{segment}.{EXTENSION}", book.as_str())
}

/// The application id under which the file's records are appended.
fn app_id(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("aside/{stem}")
}

/// Keeps records for good. A file of the same name is replaced: it is from an earlier attempt on the same segment.
fn store(path: &Path, records: &[impl AsRef<[u8]>]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("unfinished");
    let mut bytes = Vec::new();
    for record in records {
        let record = record.as_ref();
        let len = u32::try_from(record.len()).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(record);
    }
    let mut file = File::create(&unfinished)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

/// The records of a file.
fn load(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path)?;
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        let (record, after) = after.split_at_checked(len).ok_or(ErrorKind::UnexpectedEof)?;
        records.push(record.to_vec());
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(records),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// The files of a folder, which need not exist, with the journal that each is from.
fn files(folder: &Path) -> Vec<(Book, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<(Book, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let book = [Book::Decisions, Book::Outcomes]
                .into_iter()
                .find(|book| name.starts_with(book.as_str()))?;
            name.ends_with(EXTENSION).then_some((book, path))
        })
        .collect();
    files.sort_by(|a, b| a.1.cmp(&b.1));
    files
}

impl Writer {
    /// Keeps the records of a segment that are no rows in a file of their own.
    pub(crate) fn set_aside<'r>(
        &self,
        ledger: &Ledger,
        segment: SegmentNumber,
        strays: impl Iterator<Item = &'r Stray<'r>> + Clone,
    ) -> Result<(), FlushError> {
        let Some(first) = strays.clone().next() else {
            return Ok(());
        };
        let book = ledger.book;
        let name = file_name(book, ledger.journal.id(), segment.get());
        let path = self.journals.aside.join(name);
        let records: Vec<&[u8]> = strays.map(|stray| stray.record).collect();
        let n_records = records.len() as u64;
        tracing::error!(
            book = book.as_str(),
            %segment,
            n_records,
            path = %path.display(),
            cause = %Chain(&first.cause),
            "journal records cannot be decoded; they are set aside and tried again at the next start"
        );
        store(&path, &records).map_err(|source| FlushError::Aside {
            book: book.as_str(),
            segment,
            source,
        })?;
        self.telemetry.undecodable(book, n_records);
        Ok(())
    }

    /// Tries once more what an earlier start had set aside, as this version may know more.
    pub(crate) async fn restore_aside(&self) {
        for (book, path) in files(&self.journals.aside) {
            if let Err(error) = self.restore_file(book, &path).await {
                tracing::error!(path = %path.display(), cause = %Chain(error.as_ref()), "records are still set aside");
            }
        }
    }

    async fn restore_file(&self, book: Book, path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        let records = load(path)?;
        let mut rows = Rows::new(book, records.iter().map(|record| (0, record.as_slice())));
        let batches = rows.by_ref().collect::<Result<Vec<_>, _>>()?;
        if let Some(stray) = rows.strays.pop() {
            return Err(stray.cause.into());
        }
        if !batches.is_empty() {
            let writer = WriterSequence {
                app_id: app_id(path),
                version: 0,
            };
            let n_rows = rows.n_rows;
            if let Append::Committed { .. } = self.lake.append(&table(book), batches, Some(writer)).await? {
                self.telemetry.flushed(book, n_rows);
                tracing::info!(
                    book = book.as_str(),
                    n_rows,
                    "records that were set aside are in the lake now"
                );
            }
        }
        fs::remove_file(path)?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_half_a_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("aside");
        assert!(files(&folder).is_empty());
        let path = folder.join(file_name(Book::Outcomes, "0af1", 7));
        let records = vec![vec![1, 2, 3], Vec::new(), vec![9; 1000]];
        store(&path, &records).unwrap();
        assert_eq!(load(&path).unwrap(), records);
        assert_eq!(files(&folder), [(Book::Outcomes, path.clone())]);
        assert_eq!(app_id(&path), "aside/outcomes-0af1-7");

        let bytes = fs::read(&path).unwrap();
        for len in [2, 5, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            assert!(load(&path).is_err(), "cut to {len} bytes");
        }
    }
}
