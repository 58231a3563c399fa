-- purpose:    The actions that caps blocked, of each decision whose window has closed and at which any was.
-- grain:      One row a decision_id; of repeated decisions the one received first, among those within the bounds of time, as
--             in training_labels.sql.
-- parameters: $strategy text
--             $window_us bigint: the longest attribution window
--             $as_of timestamp: only decisions whose window had closed by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    decision_id, blocked (list of text, never empty); ordered by decision_id
WITH closed AS (
    SELECT
        decision_id,
        blocked,
        LAG(decision_id) OVER (
            PARTITION BY right(decision_id, 1)
            ORDER BY decision_id, received_at, event_time
        ) AS previous_id
    FROM decisions
    WHERE strategy = $strategy
        AND event_time <= arrow_cast($as_of, 'Timestamp(Microsecond, Some("UTC"))')
            - arrow_cast($window_us, 'Duration(Microsecond)')
        AND ($window_start IS NULL OR event_time >= $window_start)
)
SELECT decision_id, blocked
FROM closed
WHERE (previous_id IS DISTINCT FROM decision_id)
    AND blocked IS NOT NULL
ORDER BY decision_id
