//! Builds a training set: decisions with closed windows, joined with their outcomes, split in time, and written down.
//!
//! A set is read from one pinned version of every table and keeps those versions, so that what a model was made from
//! can be read again. It is written before it is used. Its id is the run's, and both tables are written under the
//! run's name, so that a repeated write is recognised. The rows of only the last few sets of a strategy are kept;
//! older ones can still be read at older table versions.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::{DataFrame, SessionContext, col, ident, lit};
use lakeloop_domain::{AppliedBlueprint, Blueprint, JobRun, LearningTarget, Micros, StrategyName, TrainingSetId};
use lakeloop_lake::rows::{Split, TrainingSet, training_sets_from_batch, training_sets_to_batch};
use lakeloop_lake::{Append, Lake, TableName, WriterSequence};
use lakeloop_sql::{MissedOutcomes, Pins, missed_outcomes, session, training_rows};

use crate::context::JobContext;
use crate::error::PipelineError;
use crate::folds::{Fold, folds};
use crate::guards::enough;
use crate::guards::fill::{self, Fill};
use crate::rows::TrainingRows;
use crate::split::{Gap, TimeSplit, split};
use crate::weights::row_weights;

/// Folds inside the rows fitted on: enough to see whether what holds in one stretch of time holds in another, and no more than
/// one and a half fits on all rows.
const N_FOLDS: usize = 3;

/// A training set that can be fitted on.
pub(crate) struct TrainingData {
    /// Its id.
    pub id: TrainingSetId,
    /// Its rows, in the order of time.
    pub rows: TrainingRows,
    /// Which of them are fitted on, and which validated on.
    pub split: TimeSplit,
    /// One label a row; for several classes the class's position.
    pub labels: Vec<f64>,
    /// How much each row counts; `None`: all count the same.
    pub weights: Option<Vec<f64>>,
    /// What came too late for it, for each outcome of the label.
    pub missed: Vec<MissedOutcomes>,
    /// How often features are filled with and without an outcome; `None` where every decision has a label.
    pub fill: Option<Fill>,
    /// How long after a decision its outcomes count.
    pub window_us: i64,
    /// The tables that it was read from, with their versions.
    pub table_versions: Vec<(String, i64)>,
}

impl TrainingData {
    /// The rows fitted on.
    pub fn train(&self) -> Range<usize> {
        0..self.split.n_train
    }

    /// The positions of the rows between the two: written down, used for neither.
    pub fn gap(&self) -> Range<usize> {
        self.split.n_train..self.split.validation_from
    }

    /// Folds inside the rows fitted on; they touch no row validated on.
    pub fn folds(&self) -> Vec<Fold> {
        let n_train = self.split.n_train;
        folds(
            &self.rows.event_times()[..n_train],
            &self.rows.units()[..n_train],
            self.window_us,
            N_FOLDS,
        )
    }

    /// The rows validated on.
    pub fn validation(&self) -> Range<usize> {
        self.split.validation_from..self.rows.len()
    }

    /// How much each of some rows counts; `None`: all count the same.
    pub fn weights_of(&self, range: Range<usize>) -> Option<&[f64]> {
        self.weights.as_ref().map(|weights| &weights[range])
    }
}

/// What came of building a training set.
pub(crate) enum Built {
    /// It can be fitted on, and is in the lake.
    Ready(Arc<TrainingData>),
    /// Something is missing; this sentence says what.
    TooLittle(String),
}

/// Builds the training set of a strategy as of a moment, and writes it.
pub(crate) async fn build(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
    run: &JobRun,
    as_of: Micros,
) -> Result<Built, PipelineError> {
    let blueprint = &applied.blueprint;
    if blueprint.model_features().next().is_none() && !blueprint.action_is_feature() {
        return Ok(Built::TooLittle(format!(
            "`{}` declares no feature, so there is nothing to learn from",
            blueprint.name
        )));
    }
    let latest_closed = as_of.saturating_sub(blueprint.label_window_us());
    let window_start = blueprint
        .schedule
        .window_us
        .map(|window_us| latest_closed.saturating_sub(window_us));
    let id = TrainingSetId::new(run.run_id.as_str())?;
    let data = match read(&ctx.lake, blueprint, id, &Pins::default(), (as_of, window_start)).await? {
        Ok(data) => data,
        Err(missing) => return Ok(Built::TooLittle(missing)),
    };
    write(ctx, applied, &data, as_of, window_start).await?;
    if let Err(error) = forget_old_rows(&ctx.lake, &blueprint.name, ctx.settings.jobs.keep_training_sets).await {
        // Compaction may have been at the same files; the next run tries again.
        tracing::warn!(strategy = %blueprint.name, %error, "the rows of older training sets stay for now");
    }
    Ok(Built::Ready(Arc::new(data)))
}

/// Reads the rows of a set as of a moment and from another one on; a sentence where they cannot be fitted on.
async fn read(
    lake: &Lake,
    blueprint: &Blueprint,
    id: TrainingSetId,
    pins: &Pins,
    (as_of, window_start): (Micros, Option<Micros>),
) -> Result<Result<TrainingData, String>, PipelineError> {
    let (session, pins) = session(lake, pins).await?;
    let batches = training_rows(&session, blueprint, as_of, window_start).await?;
    let rows = TrainingRows::new(&batches).map_err(PipelineError::TrainingRows)?;
    let latest_closed = as_of.saturating_sub(blueprint.label_window_us());
    let fill = fill::count(&session, blueprint, &rows, (window_start, latest_closed)).await?;
    let missed = missed_outcomes(&session, blueprint, as_of, window_start).await?;
    let data = of_rows(blueprint, id, rows)?;
    Ok(data.map(|data| TrainingData {
        fill,
        missed,
        table_versions: versions_read(blueprint, &pins),
        ..data
    }))
}

/// Rows as a training set that stems from no table; a sentence where they cannot be fitted on.
pub(crate) fn of_rows(
    blueprint: &Blueprint,
    id: TrainingSetId,
    rows: TrainingRows,
) -> Result<Result<TrainingData, String>, PipelineError> {
    let (split, labels) = match usable(blueprint, &rows)? {
        Ok(usable) => usable,
        Err(missing) => return Ok(Err(missing)),
    };
    Ok(Ok(TrainingData {
        id,
        weights: row_weights(blueprint, &rows, split.n_train),
        rows,
        split,
        labels,
        fill: None,
        missed: Vec::new(),
        window_us: blueprint.label_window_us(),
        table_versions: Vec::new(),
    }))
}

/// Every set of a strategy that was built.
pub(crate) async fn of_strategy(
    session: &SessionContext,
    strategy: &StrategyName,
) -> Result<Vec<TrainingSet>, PipelineError> {
    let of_strategy = ident("strategy").eq(lit(strategy.as_str()));
    let mut sets = Vec::new();
    for batch in collect(session, "training_sets", |frame| frame.filter(of_strategy)).await? {
        sets.extend(training_sets_from_batch(&batch)?);
    }
    Ok(sets)
}

/// The latest set of a strategy, if there is one.
pub(crate) async fn latest(lake: &Lake, strategy: &StrategyName) -> Result<Option<TrainingSet>, PipelineError> {
    let (session, _) = session(lake, &Pins::default()).await?;
    Ok(of_strategy(&session, strategy)
        .await?
        .into_iter()
        .max_by(|a, b| (a.built_at, &a.training_set_id).cmp(&(b.built_at, &b.training_set_id))))
}

/// Reads a set that was written once more, from the versions of the tables that it was read from. `None` where these can no
/// longer be read.
pub(crate) async fn read_back(
    lake: &Lake,
    blueprint: &Blueprint,
    set: &TrainingSet,
) -> Result<Option<TrainingData>, PipelineError> {
    let mut pins = Pins::default();
    for (table, version) in &set.table_versions {
        pins.0.insert(table.parse()?, *version);
    }
    let when = (set.as_of, set.window_start);
    match read(lake, blueprint, set.training_set_id.clone(), &pins, when).await {
        Ok(Ok(data)) if data.rows.len() as u64 == set.n_rows => Ok(Some(data)),
        Ok(_) => Ok(None),
        Err(error) => {
            tracing::warn!(training_set_id = %set.training_set_id, %error, "a training set cannot be read back");
            Ok(None)
        }
    }
}

/// The split and the labels of rows that can be fitted on; one sentence about what is missing where they cannot.
fn usable(blueprint: &Blueprint, rows: &TrainingRows) -> Result<Result<(TimeSplit, Vec<f64>), String>, PipelineError> {
    let (n_decisions, minimum) = (rows.n_decisions() as u64, blueprint.schedule.minimum_rows.max(1));
    if n_decisions < minimum {
        return Ok(Err(format!(
            "{n_decisions} decisions have a closed window and a label, the blueprint asks for {minimum}: {} more are needed",
            minimum - n_decisions
        )));
    }
    let labels = labels(blueprint, rows)?;
    let Some(split) = split(rows.event_times(), blueprint.label_window_us()) else {
        return Ok(Err(format!(
            "all {n_decisions} labelled decisions were made at one time, so none can be set aside to validate on"
        )));
    };
    let target = blueprint.learning_target();
    if let Some(missing) = enough::what_is_missing(&target, &split, &labels, rows.decisions()) {
        return Ok(Err(missing));
    }
    if labels[..split.n_train].windows(2).any(|pair| pair[0] != pair[1]) {
        return Ok(Ok((split, labels)));
    }
    let label = labels.first().copied().unwrap_or_default();
    let word = match target {
        LearningTarget::MultiClass { classes } => format!("`{}`", classes[label as usize]),
        LearningTarget::Binary => (if label == 0.0 { "`no`" } else { "`yes`" }).to_owned(),
        _ => label.to_string(),
    };
    Ok(Err(format!(
        "all {} labels to fit on are {word}, so there is nothing to tell apart; outcomes of another kind are needed",
        split.n_train
    )))
}

/// The label of every row.
pub(crate) fn labels(blueprint: &Blueprint, rows: &TrainingRows) -> Result<Vec<f64>, PipelineError> {
    let label = |row_idx| rows.label(row_idx).filter(|label| label.is_finite());
    (0..rows.len())
        .map(|row_idx| {
            label(row_idx).ok_or_else(|| PipelineError::Label {
                strategy: blueprint.name.clone(),
                row_idx,
            })
        })
        .collect()
}

/// The versions of the tables that hold what a set is made of.
fn versions_read(blueprint: &Blueprint, pins: &Pins) -> Vec<(String, i64)> {
    let views = blueprint
        .features
        .iter()
        .map(|view| TableName::Features(view.name.clone()));
    let read = [TableName::Decisions, TableName::Outcomes].into_iter().chain(views);
    read.filter_map(|table| Some((table.to_string(), *pins.0.get(&table)?)))
        .collect()
}

async fn write(
    ctx: &JobContext,
    applied: &AppliedBlueprint,
    data: &TrainingData,
    as_of: Micros,
    window_start: Option<Micros>,
) -> Result<(), PipelineError> {
    let parts = [
        (Split::Train, data.train()),
        (Split::Gap, data.gap()),
        (Split::Validation, data.validation()),
    ];
    let batches = parts.map(|(split, range)| stamped(data, split, range));
    let batches = batches.into_iter().collect::<Result<Vec<_>, PipelineError>>()?;
    append_once(&ctx.lake, &TableName::TrainingRows, &data.id, batches).await?;

    let is_number = !matches!(applied.blueprint.learning_target(), LearningTarget::MultiClass { .. });
    let set = TrainingSet {
        training_set_id: data.id.clone(),
        strategy: applied.blueprint.name.clone(),
        blueprint_version: applied.version.clone(),
        built_at: ctx.now(),
        as_of,
        window_start,
        table_versions: data.table_versions.clone(),
        n_rows: data.rows.len() as u64,
        n_train_rows: data.train().len() as u64,
        n_validation_rows: data.validation().len() as u64,
        split_at: Some(data.split.split_at),
        label_mean: is_number.then(|| data.labels.iter().sum::<f64>() / data.labels.len() as f64),
        n_late_outcomes: Some(data.missed.iter().map(|missed| missed.n_late).sum()),
        n_missed_outcomes: Some(data.missed.iter().map(|missed| missed.n_missed).sum()),
    };
    append_once(
        &ctx.lake,
        &TableName::TrainingSets,
        &data.id,
        vec![training_sets_to_batch(&[set])?],
    )
    .await
}

/// Appends rows under the name of their training set, so that they are in the table once.
pub(crate) async fn append_once(
    lake: &Lake,
    table: &TableName,
    id: &TrainingSetId,
    batches: Vec<RecordBatch>,
) -> Result<(), PipelineError> {
    let writer = WriterSequence {
        app_id: format!("train/{id}"),
        version: 1,
    };
    match lake.append(table, batches, Some(writer)).await? {
        Append::Committed { .. } | Append::AlreadyCommitted => Ok(()),
    }
}

/// A range of the rows with the set's id and the split as columns.
fn stamped(data: &TrainingData, split: Split, range: Range<usize>) -> Result<RecordBatch, PipelineError> {
    let rows = data.rows.batch().slice(range.start, range.len());
    let constant = |text: &str| Arc::new(StringArray::from_iter_values(vec![text; range.len()])) as ArrayRef;
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().to_vec();
    fields.extend(["training_set_id", "split"].map(|name| Arc::new(Field::new(name, DataType::Utf8, false))));
    let mut columns = rows.columns().to_vec();
    columns.extend([constant(data.id.as_str()), constant(split.as_str())]);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(PipelineError::TrainingRows)
}

/// Removes the rows of all but the latest sets of a strategy.
async fn forget_old_rows(lake: &Lake, strategy: &StrategyName, keep: u32) -> Result<(), PipelineError> {
    let (session, _) = session(lake, &Pins::default()).await?;
    let old = old_sets_with_rows(&session, strategy, keep as usize).await?;
    let table = if old.is_empty() {
        None
    } else {
        lake.table(&TableName::TrainingRows).await?
    };
    let Some(table) = table else { return Ok(()) };
    let ids = old.into_iter().map(lit).collect();
    table
        .delete()
        .with_predicate(col("training_set_id").in_list(ids, false))
        .await
        .map_err(PipelineError::ForgetRows)?;
    Ok(())
}

/// The ids of a strategy's sets that still have rows, without the latest `keep`.
async fn old_sets_with_rows(
    session: &SessionContext,
    strategy: &StrategyName,
    keep: usize,
) -> Result<Vec<String>, PipelineError> {
    let mut sets = of_strategy(session, strategy).await?;
    sets.sort_by(|a, b| (b.built_at, &b.training_set_id).cmp(&(a.built_at, &a.training_set_id)));
    let mut with_rows = HashSet::new();
    let ids_only = |frame: DataFrame| frame.select(vec![ident("training_set_id")])?.distinct();
    for batch in collect(session, "training_rows", ids_only).await? {
        let ids = cast(batch.column(0), &DataType::Utf8).map_err(PipelineError::TrainingRows)?;
        with_rows.extend(ids.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    let old = sets.into_iter().skip(keep).map(|set| String::from(set.training_set_id));
    Ok(old.filter(|id| with_rows.contains(id)).collect())
}

async fn collect(
    session: &SessionContext,
    table: &str,
    refine: impl FnOnce(DataFrame) -> datafusion::error::Result<DataFrame>,
) -> Result<Vec<RecordBatch>, PipelineError> {
    let frame = session
        .table(table)
        .await
        .and_then(refine)
        .map_err(PipelineError::OldRows)?;
    frame.collect().await.map_err(PipelineError::OldRows)
}

/// Clauses about reports that came after their window, each with a semicolon before it; nothing where there are none.
pub(crate) fn missed_in_words(missed: &[MissedOutcomes]) -> String {
    let after = missed.iter().filter(|missed| missed.n_missed > 0);
    let clause = |missed: &MissedOutcomes| {
        format!(
            "; of `{}` {} reports came in their window and {} after it, {} of these within twice the window",
            missed.outcome, missed.n_outcomes, missed.n_missed, missed.n_missed_within_twice
        )
    };
    after.map(clause).collect()
}

/// One clause about the rows between those fitted on and those validated on.
pub(crate) fn gap_in_words(gap: Gap) -> String {
    match gap {
        Gap::LeftOut(0) => "no window was open at the split".to_owned(),
        Gap::LeftOut(n_rows) => format!("{n_rows} rows with a window open at the split left out"),
        Gap::GivenUp => {
            "the window is long against the data, so rows with a window open at the split stay in".to_owned()
        }
    }
}
