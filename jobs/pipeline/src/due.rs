//! When a schedule is due: pure functions of a cron expression and instants.
//!
//! The expression is read by the same parser that drives the scheduler, with the same options, so that what is listed
//! is what happens. All times are UTC.

use chrono::{DateTime, Utc};
use lakeloop_domain::Micros;
use tokio_cron_scheduler::job::job_data::{CronJob, JobStoredData, JobType, job_stored_data};

/// Why a schedule has no times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DueError {
    /// The scheduler does not understand the expression.
    #[error("`{cron}` is no schedule; write six fields: second minute hour day month weekday")]
    Cron {
        /// The expression.
        cron: String,
    },
    /// The instant is beyond what a calendar holds.
    #[error("{at} µs is beyond the calendar")]
    Instant {
        /// The instant.
        at: Micros,
    },
}

/// The first instant after `after` at which a six-field cron expression is due; `None` when it never is again.
pub(crate) fn next_due(cron: &str, after: Micros) -> Result<Option<Micros>, DueError> {
    let parsed = stored(cron)
        .schedule()
        .ok_or_else(|| DueError::Cron { cron: cron.to_owned() })?;
    let from: DateTime<Utc> = DateTime::from_timestamp_micros(after).ok_or(DueError::Instant { at: after })?;
    Ok(parsed
        .find_next_occurrence(&from, false)
        .ok()
        .map(|at| at.timestamp_micros()))
}

/// The instants in `(after, until]` at which a six-field cron expression is due, in order.
pub fn due_times(cron: &str, after: Micros, until: Micros) -> Result<Vec<Micros>, DueError> {
    let mut due = Vec::new();
    let mut last = after;
    while let Some(at) = next_due(cron, last)?.filter(|at| *at <= until) {
        due.push(at);
        last = at;
    }
    Ok(due)
}

/// A job as the scheduler keeps it: what its own parser reads the expression from.
fn stored(cron: &str) -> JobStoredData {
    JobStoredData {
        id: None,
        last_updated: None,
        last_tick: None,
        next_tick: 0,
        job_type: JobType::Cron as i32,
        count: 0,
        extra: Vec::new(),
        ran: false,
        stopped: false,
        time_offset_seconds: 0,
        job: Some(job_stored_data::Job::CronJob(CronJob {
            schedule: cron.to_owned(),
        })),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// 2026-01-05T00:00:00Z, a Monday.
    const MONDAY: Micros = 1_767_571_200_000_000;
    const MINUTE: Micros = 60_000_000;
    const DAY: Micros = 24 * 60 * MINUTE;

    fn check(cron: &str, until: Micros, expected: &[Micros]) {
        let found = due_times(cron, MONDAY, until).unwrap();
        assert_eq!(
            found.iter().map(|at| at - MONDAY).collect::<Vec<_>>(),
            expected,
            "{cron}"
        );
    }

    #[test]
    fn times_follow_the_expression() {
        check(
            "0 */5 * * * *",
            MONDAY + 16 * MINUTE,
            &[5 * MINUTE, 10 * MINUTE, 15 * MINUTE],
        );
        check("0 0 3 * * *", MONDAY + 2 * DAY, &[180 * MINUTE, DAY + 180 * MINUTE]);
        check("0 0 3 * * SUN", MONDAY + 7 * DAY, &[6 * DAY + 180 * MINUTE]);
        check("0 0 0 1 * *", MONDAY + 30 * DAY, &[27 * DAY]);
    }

    #[test]
    fn bounds_are_after_and_at_most() {
        check("0 0 0 * * *", MONDAY + DAY, &[DAY]);
        check("0 0 0 * * *", MONDAY + DAY - 1, &[]);
        check("0 0 0 * * *", MONDAY, &[]);
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        let error = next_due("every day", MONDAY).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`every day` is no schedule; write six fields: second minute hour day month weekday"
        );
        assert!(next_due("0 0 * * *", MONDAY).is_err(), "five fields");
        assert!(matches!(
            next_due("0 0 0 * * *", Micros::MAX),
            Err(DueError::Instant { .. })
        ));
        // 30 February never comes.
        assert_eq!(next_due("0 0 0 30 2 *", MONDAY).unwrap(), None);
    }
}
