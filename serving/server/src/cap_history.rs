//! Owns what was taken before: caps that come into force begin to count from what the lake and the journal hold.
//!
//! At a start, the sealed segments of the journal are read besides the table, before anything is answered. Caps that come with
//! a blueprint while the server runs wait until every request that began before has ended, have the journal moved to the
//! lake, and read the table. Until then they block everything but the default. A lake that cannot be read is asked again.
//!
//! Decisions of all servers of the lake count, for each has its part of a limit and more than that is none's; imported ones
//! do not, which were taken under other rules. The share of traffic begins anew: of what is decided from now on it is kept all
//! the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::{ident, lit};
use lakeloop_decide::caps::{Counters, Share};
use lakeloop_domain::{Choice, DecisionReason, DecisionRecord, Micros};
use lakeloop_lake::Lake;
use lakeloop_sql::Pins;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::caps::{CapState, Taking};
use crate::flush::FlushRequests;
use crate::journal::Ledger;
use crate::problem::Chain;
use crate::record::decode_decision;
use crate::restore::RestoreError;
use crate::state::Strategies;

/// How long to wait for requests under way, or for a lake that could not be read.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Fills the counters of caps that do not know yet what was taken.
#[derive(Clone)]
pub(crate) struct CapHistory {
    pub(crate) lake: Lake,
    pub(crate) strategies: Arc<ArcSwap<Strategies>>,
    /// Which of the servers that share the caps this one is.
    pub(crate) server: Share,
    pub(crate) max_entries: usize,
    /// Requests that began so long ago have ended.
    pub(crate) request_timeout: Duration,
    /// Wakes it when new caps are in force.
    pub(crate) news: Arc<Notify>,
}

impl CapHistory {
    /// Fills all counters at a start. Nothing else may run on the ledger meanwhile.
    pub(crate) async fn restore(&self, ledger: &Ledger) -> Result<(), RestoreError> {
        let unknown = self.unknown();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut journalled = Vec::new();
        for segment in ledger.journal.sealed() {
            let records = ledger.journal.read(segment)?;
            // What cannot be decoded is reported by the flush.
            journalled.extend(records.iter().filter_map(|payload| decode_decision(payload).ok()));
        }
        for (strategy, caps) in unknown {
            let own = journalled
                .iter()
                .filter(|record| record.strategy.as_str() == &*strategy);
            self.fill(&strategy, &caps, own).await?;
        }
        Ok(())
    }

    /// Fills the counters of caps that come into force later, until `stop` is cancelled.
    pub(crate) fn start(self, flush: FlushRequests, stop: CancellationToken) {
        tokio::spawn(async move {
            let mut is_lake_away = false;
            loop {
                let unknown = self.unknown();
                let woken = async {
                    if unknown.is_empty() {
                        self.news.notified().await;
                    } else {
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = woken => {}
                }
                for (strategy, caps) in unknown {
                    if !caps.is_alone(self.request_timeout) {
                        continue;
                    }
                    let filled = match flush.flush().await {
                        Ok(_) => self
                            .fill(&strategy, &caps, std::iter::empty())
                            .await
                            .map_err(|error| Chain(&error).to_string()),
                        Err(error) => Err(Chain(&error).to_string()),
                    };
                    match filled {
                        Ok(()) => {
                            is_lake_away = false;
                            tracing::info!(strategy = &*strategy, "the caps of a strategy are in force");
                        }
                        Err(cause) if !is_lake_away => {
                            is_lake_away = true;
                            tracing::error!(
                                strategy = &*strategy,
                                cause,
                                "what was taken before cannot be read; caps block everything but the default until it can"
                            );
                        }
                        Err(_) => {}
                    }
                }
            }
        });
    }

    /// The caps in force that do not know yet what was taken, with their strategies.
    fn unknown(&self) -> Vec<(Arc<str>, Arc<CapState>)> {
        let strategies = self.strategies.load();
        let capped = strategies.all().filter_map(|hosted| {
            let plain = hosted.plain();
            Some((Arc::clone(&plain.name), Arc::clone(plain.regime.caps.as_ref()?)))
        });
        capped.filter(|(_, caps)| !caps.is_known()).collect()
    }

    async fn fill<'r>(
        &self,
        strategy: &str,
        caps: &CapState,
        journalled: impl Iterator<Item = &'r DecisionRecord> + Clone,
    ) -> Result<(), RestoreError> {
        let mut counters = Counters::new(caps.terms().clone(), self.server, self.max_entries);
        let memory_us = caps.terms().memory_us();
        // A share of traffic alone needs no history.
        if memory_us > 0 {
            let newest = journalled.clone().map(|record| record.event_time).max();
            let newest = newest.max(self.newest(strategy).await?);
            if let Some(newest) = newest {
                for taking in self
                    .takings(strategy, caps, journalled, newest.saturating_sub(memory_us))
                    .await?
                {
                    counters.restore(&taking.unit, taking.at, taking.action_idx);
                }
            }
        }
        let n_entries = counters.n_entries();
        caps.fill(counters);
        tracing::debug!(strategy, n_entries, "what was taken before is known");
        Ok(())
    }

    /// The instant of the strategy's newest decision in the lake.
    async fn newest(&self, strategy: &str) -> Result<Option<Micros>, RestoreError> {
        let (session, _) = lakeloop_sql::session(&self.lake, &Pins::default()).await?;
        let decisions = session.table("decisions").await?;
        let newest = decisions
            .filter(ident("strategy").eq(lit(strategy)))?
            .select(vec![ident("event_time")])?
            .sort(vec![ident("event_time").sort(false, false)])?
            .limit(0, Some(1))?
            .collect()
            .await?;
        let found = newest.iter().find(|batch| batch.num_rows() > 0);
        Ok(found.map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0)))
    }

    /// What was taken after an instant, each decision once.
    async fn takings<'r>(
        &self,
        strategy: &str,
        caps: &CapState,
        journalled: impl Iterator<Item = &'r DecisionRecord>,
        after: Micros,
    ) -> Result<Vec<Taking>, RestoreError> {
        let mut known: HashSet<String> = HashSet::new();
        let mut takings = Vec::new();
        let mut take = |decision_id: &str, unit: &str, at: Micros, action: &str| {
            if let Some(action_idx) = caps.terms().taking(action)
                && known.insert(decision_id.to_owned())
            {
                let unit = unit.into();
                takings.push(Taking { unit, at, action_idx });
            }
        };
        for record in journalled.filter(|record| record.event_time > after) {
            if let (Choice::Action(action), true) = (&record.choice, record.reason != DecisionReason::Imported) {
                take(
                    record.decision_id.as_str(),
                    record.unit.as_str(),
                    record.event_time,
                    action,
                );
            }
        }
        let (session, _) = lakeloop_sql::session(&self.lake, &Pins::default()).await?;
        let after = ScalarValue::TimestampMicrosecond(Some(after), Some("UTC".into()));
        let is_taken = ident("strategy")
            .eq(lit(strategy))
            .and(ident("event_time").gt(lit(after)))
            .and(ident("reason").not_eq(lit(DecisionReason::Imported.as_str())))
            .and(ident("action").is_not_null());
        let columns = ["decision_id", "unit", "action", "event_time"].map(ident).to_vec();
        let rows = session.table("decisions").await?.filter(is_taken)?.select(columns)?;
        for batch in rows.collect().await? {
            // The engine may hand texts out as views.
            let texts = |idx: usize| cast(batch.column(idx), &DataType::Utf8).map_err(DataFusionError::from);
            let (ids, units, actions) = (texts(0)?, texts(1)?, texts(2)?);
            let (ids, units, actions) = (
                ids.as_string::<i32>(),
                units.as_string::<i32>(),
                actions.as_string::<i32>(),
            );
            let instants = batch.column(3).as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                take(
                    ids.value(row),
                    units.value(row),
                    instants.value(row),
                    actions.value(row),
                );
            }
        }
        Ok(takings)
    }
}
