//! Owns the way from the journals to the lake: the writer task that appends what is sealed, each segment exactly once.
//!
//! ```text
//! seal ─► read ─► decode ─► lake.append(app id = journal id, version = segment) ─► release
//! ```
//!
//! A segment is one commit, and the commit carries the journal's id and the segment's number. If the process dies after
//! the commit and before the release, the segment is found at the next start, the lake answers that it has it, and it is
//! only released. Segments go in order, because the lake takes a lower number for a repetition; so a segment that cannot
//! be read stops its journal (until a restart repairs it) rather than being passed by.
//!
//! What cannot be decoded (written by a newer version, say) is set aside in a file of its own, logged and counted; see
//! [`aside`](crate::aside). When the lake is away, segments stay in the journal, the writer waits twice as long after each
//! failure, up to [`MAX_BACKOFF`], and the lag grows in `/metrics`; a full journal then refuses requests.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use lakeloop_journal::{JournalError, SegmentNumber};
use lakeloop_lake::{Append, Lake, LakeError, TableName, WriterSequence, rows};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::aside;
use crate::clock::Clock;
use crate::journal::{Journals, Ledger};
use crate::problem::Chain;
use crate::record::{Undecodable, decode_decision, decode_outcome};
use crate::telemetry::{Book, Telemetry};

/// The longest wait between two attempts while the lake is away.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Flushes that may wait for their turn at once.
const MAX_REQUESTS: usize = 64;

/// What a flush moved to the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Flushed {
    /// Rows of `decisions`.
    pub decisions: u64,
    /// Rows of `outcomes`.
    pub outcomes: u64,
}

/// Why a flush did not move everything; what it did not move is still in the journal.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The journal could not be sealed, read or released.
    #[error("the journal of {book} could not be flushed")]
    Journal {
        /// `decisions` or `outcomes`.
        book: &'static str,
        /// What the journal said.
        source: JournalError,
    },
    /// The lake did not take a segment.
    #[error("the lake did not take segment {segment} of {book}")]
    Lake {
        /// `decisions` or `outcomes`.
        book: &'static str,
        /// The segment.
        segment: SegmentNumber,
        /// What the lake said.
        source: Box<LakeError>,
    },
    /// Records that cannot be decoded could not be set aside.
    #[error("records of segment {segment} of {book} could not be set aside")]
    Aside {
        /// `decisions` or `outcomes`.
        book: &'static str,
        /// The segment.
        segment: SegmentNumber,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The thread that did blocking work ended.
    #[error("a flush was interrupted")]
    Interrupted(#[from] JoinError),
    /// The server is shutting down.
    #[error("the server is shutting down; what is left is flushed at the next start")]
    Stopped,
}

/// Asks the writer task to flush now.
#[derive(Clone)]
pub(crate) struct FlushRequests {
    sender: mpsc::Sender<oneshot::Sender<Result<Flushed, FlushError>>>,
}

impl FlushRequests {
    /// Moves everything that was appended before this call to the lake.
    pub(crate) async fn flush(&self) -> Result<Flushed, FlushError> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(reply).await.map_err(|_| FlushError::Stopped)?;
        answer.await.map_err(|_| FlushError::Stopped)?
    }
}

/// The sole writer of `decisions` and `outcomes` in this process.
pub(crate) struct Writer {
    pub(crate) lake: Lake,
    pub(crate) journals: Arc<Journals>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
}

impl Writer {
    /// Starts the task: it flushes what was left at once, then after every interval, when a journal holds many rows,
    /// and when asked. It ends, without a last flush, when `stop` is cancelled.
    pub(crate) fn start(self, stop: CancellationToken) -> FlushRequests {
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        tokio::spawn(self.run(requests, stop));
        FlushRequests { sender }
    }

    async fn run(
        self,
        mut requests: mpsc::Receiver<oneshot::Sender<Result<Flushed, FlushError>>>,
        stop: CancellationToken,
    ) {
        self.restore_aside().await;
        let mut n_failures = 0;
        let mut wait = Duration::ZERO;
        loop {
            let reply = tokio::select! {
                () = stop.cancelled() => return,
                request = requests.recv() => match request {
                    Some(reply) => Some(reply),
                    None => return,
                },
                () = self.journals.flush_soon.notified(), if n_failures == 0 => None,
                () = tokio::time::sleep(wait) => None,
            };
            let result = self.flush().await;
            n_failures = if result.is_ok() { 0 } else { n_failures + 1 };
            wait = backoff(self.interval, n_failures);
            if let Err(error) = &result {
                self.telemetry.flush_failures.increment(1);
                tracing::error!(cause = %Chain(error), n_failures, retry_in = ?wait, "a flush to the lake failed");
            }
            if let Some(reply) = reply {
                // Whoever asked may have gone.
                let _ = reply.send(result);
            }
        }
    }

    /// Flushes both journals; a failure of one does not keep the other waiting.
    async fn flush(&self) -> Result<Flushed, FlushError> {
        let decisions = self.flush_ledger(&self.journals.decisions).await;
        let outcomes = self.flush_ledger(&self.journals.outcomes).await;
        Ok(Flushed {
            decisions: decisions?,
            outcomes: outcomes?,
        })
    }

    async fn flush_ledger(&self, ledger: &Ledger) -> Result<u64, FlushError> {
        let begun_at = (self.clock)();
        ledger.taken();
        let journal = ledger.journal.clone();
        // A journal that cannot be sealed may still hold older segments that the lake can take.
        let sealed = tokio::task::spawn_blocking(move || journal.seal()).await?;
        let mut n_rows = 0;
        for segment in ledger.journal.sealed() {
            n_rows += self.flush_segment(ledger, segment).await?;
        }
        sealed.map_err(|source| journal_error(ledger, source))?;
        ledger.flushed(begun_at);
        Ok(n_rows)
    }

    async fn flush_segment(&self, ledger: &Ledger, segment: SegmentNumber) -> Result<u64, FlushError> {
        let book = ledger.book;
        let journal = ledger.journal.clone();
        let read = tokio::task::spawn_blocking(move || {
            let payloads = journal.read(segment)?;
            Ok::<_, JournalError>(Decoded::new(book, payloads))
        });
        let decoded = read.await?.map_err(|source| journal_error(ledger, source))?;
        if let Some(cause) = &decoded.cause {
            let n_records = decoded.undecodable.len() as u64;
            let path = self
                .journals
                .aside
                .join(aside::file_name(book, ledger.journal.id(), segment.get()));
            tracing::error!(
                book = book.as_str(),
                %segment,
                n_records,
                path = %path.display(),
                cause = %Chain(cause),
                "journal records cannot be decoded; they are set aside and tried again at the next start"
            );
            let undecodable = decoded.undecodable;
            let stored = tokio::task::spawn_blocking(move || aside::store(&path, &undecodable)).await?;
            stored.map_err(|source| FlushError::Aside {
                book: book.as_str(),
                segment,
                source,
            })?;
            self.telemetry.undecodable(book, n_records);
        }
        let mut n_rows = 0;
        if let Some(batch) = decoded.batch {
            n_rows = batch.num_rows() as u64;
            let writer = WriterSequence {
                app_id: ledger.journal.id().to_owned(),
                version: i64::try_from(segment.get()).unwrap_or(i64::MAX),
            };
            let appended = self.lake.append(&table(book), vec![batch], Some(writer)).await;
            let appended = appended.map_err(|source| FlushError::Lake {
                book: book.as_str(),
                segment,
                source: Box::new(source),
            })?;
            match appended {
                Append::Committed { .. } => self.telemetry.flushed(book, n_rows),
                Append::AlreadyCommitted => {
                    tracing::info!(book = book.as_str(), %segment, "the lake has this segment already; it is released");
                    n_rows = 0;
                }
            }
        }
        let journal = ledger.journal.clone();
        let released = tokio::task::spawn_blocking(move || journal.release(segment)).await?;
        released.map_err(|source| journal_error(ledger, source))?;
        Ok(n_rows)
    }

    /// Tries once more what an earlier start had set aside, as this version may know more.
    async fn restore_aside(&self) {
        for (book, path) in aside::files(&self.journals.aside) {
            if let Err(error) = self.restore_file(book, &path).await {
                tracing::error!(path = %path.display(), cause = %Chain(error.as_ref()), "records are still set aside");
            }
        }
    }

    async fn restore_file(
        &self,
        book: Book,
        path: &std::path::Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let decoded = Decoded::new(book, aside::load(path)?);
        if let Some(cause) = decoded.cause {
            return Err(cause.into());
        }
        if let Some(batch) = decoded.batch {
            let writer = WriterSequence {
                app_id: aside::app_id(path),
                version: 0,
            };
            let n_rows = batch.num_rows() as u64;
            if let Append::Committed { .. } = self.lake.append(&table(book), vec![batch], Some(writer)).await? {
                self.telemetry.flushed(book, n_rows);
                tracing::info!(
                    book = book.as_str(),
                    n_rows,
                    "records that were set aside are in the lake now"
                );
            }
        }
        std::fs::remove_file(path)?;
        Ok(())
    }
}

fn journal_error(ledger: &Ledger, source: JournalError) -> FlushError {
    FlushError::Journal {
        book: ledger.book.as_str(),
        source,
    }
}

fn table(book: Book) -> TableName {
    match book {
        Book::Decisions => TableName::Decisions,
        Book::Outcomes => TableName::Outcomes,
    }
}

/// The wait before the next attempt: the interval, doubled for each failure in a row.
fn backoff(interval: Duration, n_failures: u32) -> Duration {
    let doubled = interval.saturating_mul(1_u32 << n_failures.min(16));
    if n_failures == 0 {
        interval
    } else {
        doubled.min(MAX_BACKOFF.max(interval))
    }
}

/// What the payloads of a segment are: rows for the lake, and what is none.
struct Decoded {
    /// The rows; `None` when there are none.
    batch: Option<RecordBatch>,
    /// Payloads that could not be decoded.
    undecodable: Vec<Vec<u8>>,
    /// Why the first of them could not.
    cause: Option<NotARow>,
}

/// Why a record is no row.
#[derive(Debug, thiserror::Error)]
enum NotARow {
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error("the record does not fit its table")]
    Unfit(#[from] LakeError),
}

impl Decoded {
    fn new(book: Book, payloads: Vec<Vec<u8>>) -> Self {
        match book {
            Book::Decisions => Self::from(payloads, decode_decision, rows::decisions_to_batch),
            Book::Outcomes => Self::from(payloads, decode_outcome, rows::outcomes_to_batch),
        }
    }

    fn from<R>(
        payloads: Vec<Vec<u8>>,
        decode: impl Fn(&[u8]) -> Result<R, Undecodable>,
        to_batch: impl Fn(&[R]) -> Result<RecordBatch, LakeError>,
    ) -> Self {
        let mut records = Vec::with_capacity(payloads.len());
        let mut undecodable = Vec::new();
        let mut cause: Option<NotARow> = None;
        let mut decodable = Vec::with_capacity(payloads.len());
        for payload in payloads {
            match decode(&payload) {
                Ok(record) => {
                    records.push(record);
                    decodable.push(payload);
                }
                Err(error) => {
                    cause.get_or_insert(error.into());
                    undecodable.push(payload);
                }
            }
        }
        let batch = match records.is_empty() {
            true => None,
            false => match to_batch(&records) {
                Ok(batch) => Some(batch),
                Err(error) => {
                    cause.get_or_insert(error.into());
                    undecodable.append(&mut decodable);
                    None
                }
            },
        };
        Self {
            batch,
            undecodable,
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let interval = Duration::from_secs(2);
        let waits: Vec<u64> = (0..8).map(|n| backoff(interval, n).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        let long = Duration::from_secs(600);
        assert_eq!(backoff(long, 3), long, "never sooner than the interval");
    }
}
