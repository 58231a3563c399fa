//! Owns what a start does to give repeated decision ids the answers that they got before it.
//!
//! The newest rows of `decisions` come first, then what the journal holds that may not have reached the lake. The rows
//! are found in two reads, so that a long history is not read whole: the first reads one column to find since when the
//! wanted number of rows was received, the second reads the rows from then on, where the log's statistics skip the files
//! before.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, ident, lit};
use lakeloop_domain::{Blueprint, BlueprintVersion, DecisionRecord, Micros, StrategyName, ValueRef};
use lakeloop_journal::JournalError;
use lakeloop_lake::{Lake, LakeError, blueprints, rows};
use lakeloop_sql::{Pins, SqlError};

use crate::answers::Answers;
use crate::journal::Ledger;
use crate::record::decode_decision;
use crate::reply::{Reply, missing_features};

/// Why earlier answers could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The lake could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The decisions could not be queried.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The decisions could not be read.
    #[error("could not read the latest decisions")]
    Decisions(#[from] DataFusionError),
    /// The journal could not be read.
    #[error("could not read the journal of decisions")]
    Journal(#[from] JournalError),
}

/// Every blueprint that was ever applied to the strategies in force: an old decision's answer depends on its own.
type Blueprints = HashMap<(StrategyName, BlueprintVersion), Blueprint>;

/// Fills the map of answers. Nothing else may run on the ledger meanwhile.
pub(crate) async fn restore(
    answers: &Answers,
    capacity: u64,
    lake: &Lake,
    ledger: &Ledger,
) -> Result<(), RestoreError> {
    let blueprints = all_blueprints(lake).await?;
    let limit = usize::try_from(capacity).unwrap_or(usize::MAX);
    for batch in latest_decisions(lake, limit).await?.collect().await? {
        for record in rows::decisions_from_batch(&batch)? {
            remember(answers, &blueprints, &record);
        }
    }
    for segment in ledger.journal.sealed() {
        for payload in ledger.journal.read(segment)?.iter() {
            // What cannot be decoded is reported by the flush.
            if let Ok(record) = decode_decision(payload) {
                remember(answers, &blueprints, &record);
            }
        }
    }
    tracing::debug!(
        n_answers = answers.len(),
        "answers to earlier decision ids were restored"
    );
    Ok(())
}

fn remember(answers: &Answers, blueprints: &Blueprints, record: &DecisionRecord) {
    let read = || record.feature_versions.iter().map(|(view, _)| view.as_str());
    let value = |name: &str| {
        let feature = record.features.iter().find(|feature| *feature.name == *name)?;
        Some(ValueRef::from(&feature.value))
    };
    let key = (record.strategy.clone(), record.blueprint_version.clone());
    let missing = blueprints
        .get(&key)
        .map(|blueprint| missing_features(blueprint, read(), value))
        .unwrap_or_default();
    match Reply::of(record, &missing).to_json() {
        Ok(answer) => answers.restore(record, answer),
        Err(error) => tracing::error!(decision_id = %record.decision_id, cause = %error, "an answer cannot be written"),
    }
}

async fn all_blueprints(lake: &Lake) -> Result<Blueprints, LakeError> {
    let applied = blueprints::histories(lake).await?.into_iter();
    Ok(applied
        .map(|applied| ((applied.blueprint.name.clone(), applied.version), applied.blueprint))
        .collect())
}

/// The latest decisions, the first received first: `limit` of them, or a few more that were received at one instant.
async fn latest_decisions(lake: &Lake, limit: usize) -> Result<DataFrame, RestoreError> {
    let (session, _) = lakeloop_sql::session(lake, &Pins::default()).await?;
    let decisions = session.table("decisions").await?;
    let received_at = || ident("received_at");
    let begins = decisions
        .clone()
        .select(vec![received_at()])?
        .sort(vec![received_at().sort(false, false)])?
        .limit(limit.saturating_sub(1), Some(1))?
        .collect()
        .await?;
    let since: Option<Micros> = begins
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0));
    let latest = match since {
        None => decisions,
        Some(since) => {
            let since = ScalarValue::TimestampMicrosecond(Some(since), Some("UTC".into()));
            decisions.filter(received_at().gt_eq(lit(since)))?
        }
    };
    Ok(latest.sort(vec![received_at().sort(true, false)])?)
}
