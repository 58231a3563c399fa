//! Owns the way from the journals to the lake: the writer task that appends what is sealed, each segment exactly once.
//!
//! ```text
//! seal ─► read ─► rows ─► lake.append(app id = journal id, version = last segment) ─► release
//! ```
//!
//! The segments that are sealed go into one commit, or into a few when they are large, and the commit carries the
//! journal's id and the number of the last one. If the process dies after the commit and before a release, the segment is
//! found at the next start; the lake says up to which number it has them, and those are only released. Segments go in
//! order, because the lake takes a lower number for a repetition; so a segment that cannot be read stops its journal
//! (until a restart repairs it) rather than being passed by.
//!
//! It runs on a thread of its own; reading segments and its arithmetic go to the [`background`]: requests go first.
//!
//! What cannot be decoded (written by a newer version, say) is set aside in a file of its own, logged and counted; see
//! [`aside`](crate::aside). When the lake is away, segments stay in the journal, the writer waits twice as long after each
//! failure, up to [`MAX_BACKOFF`], and the lag grows in `/metrics`; a full journal then refuses requests.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use lakeloop_journal::{JournalError, Reading, Records, SegmentNumber};
use lakeloop_lake::{Append, Encode, Lake, LakeError, TableName, WriterSequence};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::background::{self, Background, BackgroundError, Work};
use crate::clock::Clock;
use crate::journal::{Journals, Ledger};
use crate::problem::Chain;
use crate::rows::Rows;
use crate::telemetry::{Book, Telemetry};

/// The longest wait between two attempts while the lake is away.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Segments are gathered for one commit until they hold so many bytes. They are in memory meanwhile.
const COMMIT_BYTES: usize = 64 << 20;

/// Flushes that may wait for their turn at once.
const MAX_REQUESTS: usize = 64;

/// What a flush moved to the lake. Rows that another flush had moved by then are in the lake, and not counted here.
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
    /// The thread that flushes did not come to its end.
    #[error("a flush was interrupted")]
    Interrupted(#[from] BackgroundError),
    /// The server is shutting down.
    #[error("the server is shutting down; what is left is flushed at the next start")]
    Stopped,
}

/// What a flush moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What is sealed: at the start, all that an earlier process left.
    Sealed,
    /// Everything that was appended so far.
    All,
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
        tokio::spawn(Arc::new(self).run(requests, stop));
        FlushRequests { sender }
    }

    async fn run(
        self: Arc<Self>,
        mut requests: mpsc::Receiver<oneshot::Sender<Result<Flushed, FlushError>>>,
        stop: CancellationToken,
    ) {
        self.restore_aside().await;
        let mut n_failures = 0;
        let mut wait = self.interval;
        if let Err(error) = self.flush_in_background(Extent::Sealed).await {
            tracing::error!(cause = %Chain(&error), "what was left in the journals could not be flushed yet");
            self.telemetry.flush_failures.increment(1);
            n_failures = 1;
        }
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
            let result = self.flush_in_background(Extent::All).await;
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

    async fn flush_in_background(self: &Arc<Self>, extent: Extent) -> Result<Flushed, FlushError> {
        let writer = Arc::clone(self);
        let flushed = background::run(async move { writer.flush(extent).await }).await;
        flushed.map_err(FlushError::from).flatten()
    }

    /// Flushes both journals; a failure of one does not keep the other waiting. It blocks the thread it runs on.
    async fn flush(&self, extent: Extent) -> Result<Flushed, FlushError> {
        let ledgers = self.journals.ledgers();
        let background = Background::of_flush(ledgers.map(|ledger| ledger.journal.status().n_bytes).into_iter().sum());
        let decisions = self.flush_ledger(&self.journals.decisions, extent, &background).await;
        let outcomes = self.flush_ledger(&self.journals.outcomes, extent, &background).await;
        Ok(Flushed {
            decisions: decisions?,
            outcomes: outcomes?,
        })
    }

    async fn flush_ledger(&self, ledger: &Ledger, extent: Extent, background: &Background) -> Result<u64, FlushError> {
        let begun_at = (self.clock)();
        // A journal that cannot be sealed may still hold older segments that the lake can take.
        let sealed = match extent {
            Extent::Sealed => Ok(None),
            Extent::All => {
                ledger.taken();
                ledger.journal.seal()
            }
        };
        let segments = ledger.journal.sealed();
        let mut n_rows = 0;
        if let Some(first) = segments.first() {
            let committed = self.lake.last_sequence(&table(ledger.book), ledger.journal.id()).await;
            let committed = committed.map_err(|source| lake_error(ledger, *first, source))?;
            let mut group = Group::default();
            for segment in segments {
                // What the lake has already goes apart from what it has not.
                let is_repeat = committed.is_some_and(|committed| sequence(segment) <= committed);
                if group.n_bytes >= COMMIT_BYTES || (!is_repeat && group.is_repeat) {
                    n_rows += self.flush_group(ledger, std::mem::take(&mut group), background).await?;
                }
                match read(ledger, segment, background).await {
                    Ok(records) => {
                        group.n_bytes += records.n_bytes();
                        group.is_repeat = is_repeat;
                        group.segments.push((segment, records));
                    }
                    Err(source) => {
                        self.flush_group(ledger, group, background).await?;
                        return Err(journal_error(ledger, source));
                    }
                }
            }
            n_rows += self.flush_group(ledger, group, background).await?;
        }
        sealed.map_err(|source| journal_error(ledger, source))?;
        if extent == Extent::All {
            ledger.flushed(begun_at);
        }
        Ok(n_rows)
    }

    /// Appends the segments in one commit under the number of the last, and releases them.
    async fn flush_group(&self, ledger: &Ledger, group: Group, background: &Background) -> Result<u64, FlushError> {
        let Some((last, _)) = group.segments.last() else {
            return Ok(0);
        };
        let writer = WriterSequence {
            app_id: ledger.journal.id().to_owned(),
            version: sequence(*last),
        };
        let mut rows = group.rows(ledger.book);
        let appended = self
            .lake
            .append_rows(
                &table(ledger.book),
                &mut rows,
                Some(writer),
                Encode::By(&|work: Work<'_>| background.give_way(work)),
            )
            .await;
        let n_rows = match appended.map_err(|source| lake_error(ledger, *last, source))? {
            Append::Committed { .. } => {
                self.telemetry.flushed(ledger.book, rows.n_rows);
                rows.n_rows
            }
            Append::AlreadyCommitted => {
                let book = ledger.book.as_str();
                tracing::info!(book, segment = %last, "the lake has this segment already; it is released");
                // What cannot be decoded may not have been set aside then.
                rows.by_ref().for_each(drop);
                0
            }
        };
        for (source_idx, (segment, _)) in group.segments.iter().enumerate() {
            self.set_aside(
                ledger,
                *segment,
                rows.strays.iter().filter(|stray| stray.source_idx == source_idx),
            )?;
            ledger
                .journal
                .release(*segment)
                .map_err(|source| journal_error(ledger, source))?;
        }
        drop(rows);
        // Tens of megabytes go back to the operating system.
        drop(background.on_idle_cores(Box::pin(async { drop(group) })));
        Ok(n_rows)
    }
}

/// The records of a segment, read where requests go first.
async fn read(ledger: &Ledger, segment: SegmentNumber, background: &Background) -> Result<Records, JournalError> {
    // Here, because it takes a lock that appends take too: a thread on idle cores may hold one for long.
    let reading = ledger.journal.reading(segment)?;
    let mut found = None;
    if let Some(rest) = background.on_idle_cores(Box::pin(async { found = Some(to_end(reading).await) })) {
        rest.await;
    }
    // Without a thread for it, it is read here.
    found.unwrap_or_else(|| ledger.journal.read(segment))
}

async fn to_end(mut reading: Reading<'_>) -> Result<Records, JournalError> {
    loop {
        match reading.go_on()? {
            ControlFlow::Continue(rest) => reading = rest,
            ControlFlow::Break(records) => return Ok(records),
        }
        tokio::task::yield_now().await;
    }
}

/// Segments that go to the lake in one commit, the oldest first.
#[derive(Default)]
struct Group {
    segments: Vec<(SegmentNumber, Records)>,
    n_bytes: usize,
    /// Whether the lake has them already.
    is_repeat: bool,
}

impl Group {
    fn rows(&self, book: Book) -> Rows<'_> {
        let segments = self.segments.iter().enumerate();
        Rows::new(
            book,
            segments.flat_map(|(source_idx, (_, records))| records.iter().map(move |record| (source_idx, record))),
        )
    }
}

/// A segment's number as the version of its writer.
fn sequence(segment: SegmentNumber) -> i64 {
    i64::try_from(segment.get()).unwrap_or(i64::MAX)
}

fn lake_error(ledger: &Ledger, segment: SegmentNumber, source: LakeError) -> FlushError {
    FlushError::Lake {
        book: ledger.book.as_str(),
        segment,
        source: Box::new(source),
    }
}

fn journal_error(ledger: &Ledger, source: JournalError) -> FlushError {
    FlushError::Journal {
        book: ledger.book.as_str(),
        source,
    }
}

/// The table that a journal's rows go to.
pub(crate) fn table(book: Book) -> TableName {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use lakeloop_config::Settings;
    use lakeloop_journal::OsDisk;

    use super::*;
    use crate::record::{EntryValue, OutcomeEntry};

    fn append_outcome(writer: &Writer, outcome_id: &str) {
        let entry = OutcomeEntry {
            outcome_id,
            decision_id: None,
            strategy: Some("menu"),
            unit: Some("ada"),
            event: "ordered",
            value: EntryValue::Number(1.0),
            event_time: 0,
            received_at: 0,
            candidate: None,
        };
        let mut record = Vec::new();
        entry.write(&mut record).unwrap();
        writer
            .journals
            .outcomes
            .append([record.as_slice()].into_iter())
            .unwrap();
    }

    /// An early version had the flush at the start take whatever was appended by then. Under load it came late, and took a
    /// row from whoever counted the rows of the next flush.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_flush_at_the_start_takes_what_an_earlier_process_left() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::load_with(folder.path(), []).unwrap();
        let lake = Lake::open(&settings.lake.location, HashMap::new()).await.unwrap();
        let writer = || Writer {
            lake: lake.clone(),
            journals: Arc::new(Journals::open(&settings.journal, &(Arc::new(OsDisk) as _), 0).unwrap()),
            telemetry: Arc::new(Telemetry::new(1).unwrap()),
            clock: Arc::new(|| 0),
            interval: settings.journal.flush_interval,
        };
        let outcomes = |n| Flushed {
            decisions: 0,
            outcomes: n,
        };
        let first = writer();
        append_outcome(&first, "1");
        assert_eq!(first.flush(Extent::Sealed).await.unwrap(), outcomes(0));
        first.journals.close().unwrap();
        drop(first);

        let second = writer();
        append_outcome(&second, "2");
        assert_eq!(
            second.flush(Extent::Sealed).await.unwrap(),
            outcomes(1),
            "what was left"
        );
        assert_eq!(second.flush(Extent::All).await.unwrap(), outcomes(1), "what came since");
        assert_eq!(second.flush(Extent::All).await.unwrap(), outcomes(0), "each row once");
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let interval = Duration::from_secs(2);
        let waits: Vec<u64> = (0..8).map(|n| backoff(interval, n).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        let long = Duration::from_secs(600);
        assert_eq!(backoff(long, 3), long, "never sooner than the interval");
    }
}
