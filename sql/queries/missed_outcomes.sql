-- purpose:    Whether an attribution window is long enough: how many reports of an event came after it, and what a window twice
--             as long would have caught.
-- grain:      One row. Only decisions whose window has closed; repeated decisions and repeated reports count once, the first
--             received. Only reports that name their decision: one that names a unit belongs to whichever windows it falls in.
-- parameters: $strategy text
--             $event text: the outcome's event
--             $window_us bigint: reports count in [decision, decision + window], both ends included
--             $as_of timestamp: only windows that had closed by then, and reports of what had happened by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    n_decisions, n_with_outcome (decisions with a report in the window), n_outcomes (reports in the window), n_late
--             (of these, received after the window had closed: a training set built earlier did not have them), n_missed
--             (reports of what happened after the window: no training set has them), n_missed_within_twice (of these, within
--             twice the window), n_only_missed (decisions without a report in the window but with one after it),
--             longest_delay_us (from a decision to the last report of it; NULL without any)
WITH closed AS (
    SELECT
        decision_id,
        event_time,
        LAG(decision_id) OVER (
            PARTITION BY right(decision_id, 1)
            ORDER BY decision_id, received_at, event_time
        ) AS previous_id
    FROM decisions
    WHERE strategy = $strategy
        AND event_time <= arrow_cast($as_of, 'Timestamp(Microsecond, Some("UTC"))')
            - arrow_cast($window_us, 'Duration(Microsecond)')
        AND ($window_start IS NULL OR event_time >= $window_start)
),
decided AS (
    SELECT decision_id, arrow_cast(event_time, 'Int64') AS decided_us
    FROM closed
    WHERE previous_id IS DISTINCT FROM decision_id
),
reported AS (
    SELECT
        outcome_id,
        decision_id,
        event,
        event_time,
        received_at,
        LAG(outcome_id) OVER (
            PARTITION BY right(outcome_id, 1)
            ORDER BY outcome_id, received_at, event_time, event, decision_id, unit, value, category
        ) AS previous_id
    FROM outcomes
    WHERE event_time <= $as_of
        AND ($window_start IS NULL OR event_time >= $window_start)
),
counted AS (
    SELECT
        decision_id,
        arrow_cast(event_time, 'Int64') AS happened_us,
        arrow_cast(received_at, 'Int64') AS received_us
    FROM reported
    WHERE (previous_id IS DISTINCT FROM outcome_id)
        AND event = $event
        AND decision_id IS NOT NULL
),
delayed AS (
    SELECT
        decided.decision_id,
        counted.happened_us - decided.decided_us AS delay_us,
        counted.received_us - decided.decided_us AS received_delay_us
    FROM counted
    INNER JOIN decided ON decided.decision_id = counted.decision_id
    WHERE counted.happened_us >= decided.decided_us
),
of_decision AS (
    SELECT
        decision_id,
        COUNT(CASE WHEN delay_us <= $window_us THEN 1 END) AS n_outcomes,
        COUNT(CASE WHEN delay_us <= $window_us AND received_delay_us > $window_us THEN 1 END) AS n_late,
        COUNT(CASE WHEN delay_us > $window_us THEN 1 END) AS n_missed,
        COUNT(CASE WHEN delay_us > $window_us AND delay_us <= 2 * $window_us THEN 1 END) AS n_missed_within_twice,
        MAX(delay_us) AS longest_delay_us
    FROM delayed
    GROUP BY decision_id
)
SELECT
    COUNT(*) AS n_decisions,
    COUNT(CASE WHEN of_decision.n_outcomes > 0 THEN 1 END) AS n_with_outcome,
    COALESCE(SUM(of_decision.n_outcomes), 0) AS n_outcomes,
    COALESCE(SUM(of_decision.n_late), 0) AS n_late,
    COALESCE(SUM(of_decision.n_missed), 0) AS n_missed,
    COALESCE(SUM(of_decision.n_missed_within_twice), 0) AS n_missed_within_twice,
    COUNT(CASE WHEN of_decision.n_outcomes = 0 AND of_decision.n_missed > 0 THEN 1 END) AS n_only_missed,
    MAX(of_decision.longest_delay_us) AS longest_delay_us
FROM decided
LEFT JOIN of_decision ON of_decision.decision_id = decided.decision_id
