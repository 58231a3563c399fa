-- purpose:    The feature row that was known at each moment asked for: of the rows of the entity whose event_time and
--             available_at are not later, the one with the latest event_time, then the latest available_at.
-- grain:      One row a moments.row_idx that has such a row.
-- parameters: $from timestamp: older rows cannot be fresh at any of the moments; NULL when rows never grow stale
--             $until timestamp: the latest of the moments
--             $freshness_us bigint: an event_time longer ago than this is stale; NULL: never
-- columns:    row_idx, feature_values
-- reads:      moments (row_idx, entity, event_time) and feature_rows (entity, event_time, available_at, feature_values)
--
-- Rows of one entity are numbered in the order of preference. A row becomes known at the later of its two times; the
-- largest number known so far is then a running maximum over moments and rows together, a form that every engine keeps
-- when it distributes a plan. Equal rows may swap numbers between the two readings of `numbered`, which changes nothing.
WITH numbered AS (
    SELECT
        entity,
        event_time,
        available_at,
        feature_values,
        ROW_NUMBER() OVER (PARTITION BY entity ORDER BY event_time, available_at, feature_values) AS ordinal
    FROM feature_rows
    WHERE event_time <= $until
        AND available_at <= $until
        AND ($from IS NULL OR event_time >= $from)
),
timeline AS (
    SELECT
        entity,
        CASE WHEN available_at > event_time THEN available_at ELSE event_time END AS known_at,
        0 AS is_moment,
        CAST(ordinal AS BIGINT) AS ordinal,
        CAST(NULL AS BIGINT) AS row_idx
    FROM numbered
    UNION ALL
    SELECT entity, event_time AS known_at, 1 AS is_moment, CAST(NULL AS BIGINT) AS ordinal, row_idx
    FROM moments
),
carried AS (
    SELECT
        entity,
        known_at,
        is_moment,
        row_idx,
        MAX(ordinal) OVER (
            PARTITION BY entity
            ORDER BY known_at, is_moment
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS ordinal
    FROM timeline
)
SELECT carried.row_idx, numbered.feature_values
FROM carried
INNER JOIN numbered
    ON numbered.entity = carried.entity
    AND CAST(numbered.ordinal AS BIGINT) = carried.ordinal
WHERE carried.is_moment = 1
    AND (
        $freshness_us IS NULL
        OR numbered.event_time >= carried.known_at - arrow_cast($freshness_us, 'Duration(Microsecond)')
    )
