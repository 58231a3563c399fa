//! Owns the server's two journals: where a decision or an outcome is kept between its acknowledgement and the lake.
//!
//! ```text
//! request ──► append ──► (fsync) ──► answer
//!                │
//!                └─► segment ──► flush: lake table ──► release
//! ```
//!
//! A decision is answered once it is written (it survives the end of the process) or, with `decision_ack = "synced"`,
//! once it is fsynced (it survives a power loss); an outcome in the same way by `outcome_ack`. The bytes of a record are
//! those of the `record` module; the lake is the business of the `flush` module.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lakeloop_config::{Ack, JournalSettings};
use lakeloop_domain::Micros;
use lakeloop_journal::{Disk, Journal, JournalError, JournalOptions, JournalStatus, Position};
use tokio::sync::Notify;

use crate::request;
use crate::telemetry::Book;
use crate::traces::Step;

/// One journal with its acknowledgement mode, and the count of records that wait for the lake.
pub(crate) struct Ledger {
    /// What it holds.
    pub(crate) book: Book,
    /// The journal.
    pub(crate) journal: Journal,
    ack: Ack,
    n_waiting: AtomicU64,
    /// When the flush began that last left nothing behind.
    flushed_at: AtomicI64,
    flush_rows: u64,
    flush_soon: Arc<Notify>,
}

impl Ledger {
    fn open(
        book: Book,
        settings: &JournalSettings,
        disk: Arc<dyn Disk>,
        flush_soon: Arc<Notify>,
        now: Micros,
    ) -> Result<Self, JournalError> {
        let ack = match book {
            Book::Decisions => settings.decision_ack,
            Book::Outcomes => settings.outcome_ack,
        };
        let options = JournalOptions {
            segment_bytes: settings.segment_bytes,
            max_bytes: settings.max_bytes,
            fsync_interval: settings.decision_fsync,
        };
        let (journal, recovery) = Journal::open(&settings.dir.join(book.as_str()), options, disk)?;
        for damage in &recovery.damage {
            tracing::error!(
                book = book.as_str(),
                segment = %damage.segment,
                offset = damage.offset,
                n_bytes = damage.n_bytes,
                moved_to = %damage.moved_to.display(),
                "damaged bytes of the journal were set aside; every intact record is kept"
            );
        }
        if recovery.n_records > 0 {
            tracing::info!(
                book = book.as_str(),
                n_records = recovery.n_records,
                "the journal holds records that the lake has not confirmed yet"
            );
        }
        Ok(Self {
            book,
            journal,
            ack,
            n_waiting: AtomicU64::new(0),
            flushed_at: AtomicI64::new(now),
            flush_rows: settings.flush_rows,
            flush_soon,
        })
    }

    /// Appends records in one write. They survive the end of this process, but not yet a power loss.
    pub(crate) fn append<'a>(
        &self,
        payloads: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Position, JournalError> {
        let n_records = payloads.len() as u64;
        let position = self.journal.append_many(payloads)?;
        let before = self.n_waiting.fetch_add(n_records, Ordering::Relaxed);
        // Exactly one appender crosses the line, so the flush is woken once.
        if before < self.flush_rows && before + n_records >= self.flush_rows {
            self.flush_soon.notify_one();
        }
        Ok(position)
    }

    /// Waits until a position is as durable as the settings ask for.
    pub(crate) async fn acknowledged(&self, position: Position) -> Result<(), JournalError> {
        match self.ack {
            Ack::Written => Ok(()),
            Ack::Synced => {
                let _syncing = request::step(Step::Sync);
                self.journal.synced(position).await
            }
        }
    }

    /// Begins the count of waiting records anew: a flush takes all that were appended before.
    pub(crate) fn taken(&self) {
        self.n_waiting.store(0, Ordering::Relaxed);
    }

    /// Remembers that the lake has everything that was appended before this instant.
    pub(crate) fn flushed(&self, begun_at: Micros) {
        self.flushed_at.store(begun_at, Ordering::Relaxed);
    }

    /// How long the lake has lacked something that this journal holds, in seconds; 0 when it lacks nothing.
    pub(crate) fn lag_seconds(&self, status: &JournalStatus, now: Micros) -> f64 {
        if status.n_segments == 0 {
            return 0.0;
        }
        let lag_us = now.saturating_sub(self.flushed_at.load(Ordering::Relaxed));
        lag_us.max(0) as f64 / 1e6
    }

    /// Why records are refused now, if they are.
    pub(crate) fn refusal(&self) -> Option<String> {
        let JournalStatus {
            n_bytes,
            max_bytes,
            poisoned,
            ..
        } = self.journal.status();
        match poisoned {
            Some(reason) => Some(format!(
                "the journal of {} needs a restart: {reason}",
                self.book.as_str()
            )),
            None if n_bytes >= max_bytes => Some(format!("the journal of {} is full", self.book.as_str())),
            None => None,
        }
    }
}

/// Both journals of a home.
pub(crate) struct Journals {
    pub(crate) decisions: Ledger,
    pub(crate) outcomes: Ledger,
    /// Where records that this version cannot decode are kept.
    pub(crate) aside: PathBuf,
    /// Wakes the flush before its interval is over.
    pub(crate) flush_soon: Arc<Notify>,
}

impl Journals {
    /// Opens both and reports what was damaged. The folders are locked until [`close`](Self::close) or drop.
    pub(crate) fn open(settings: &JournalSettings, disk: &Arc<dyn Disk>, now: Micros) -> Result<Self, JournalError> {
        let flush_soon = Arc::new(Notify::new());
        let open = |book| Ledger::open(book, settings, Arc::clone(disk), Arc::clone(&flush_soon), now);
        Ok(Self {
            decisions: open(Book::Decisions)?,
            outcomes: open(Book::Outcomes)?,
            aside: settings.dir.join("aside"),
            flush_soon,
        })
    }

    /// Both ledgers.
    pub(crate) fn ledgers(&self) -> [&Ledger; 2] {
        [&self.decisions, &self.outcomes]
    }

    /// Syncs what is written and gives the folders free. Requests that still come are refused.
    pub(crate) fn close(&self) -> Result<(), JournalError> {
        let decisions = self.decisions.journal.clone().close();
        self.outcomes.journal.clone().close()?;
        decisions
    }
}
