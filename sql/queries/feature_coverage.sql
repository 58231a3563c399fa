-- purpose:    Which features the log of a strategy holds: since when, in how many decisions, and in how many with a value.
-- grain:      One row a feature, part of the request and kind. Repeated decisions count as often as they were received. Of
--             the candidates of a ranking the first one is looked at.
-- parameters: $strategy text
-- columns:    feature, part (shared or candidate), kind (numeric or categorical), n_logged, n_filled, first_at, last_at,
--             n_decisions (of the strategy); ordered by part, feature, kind
WITH decided AS (
    SELECT event_time, numeric, categorical, candidates[1] AS candidate
    FROM decisions
    WHERE strategy = $strategy
),
total AS (
    SELECT COUNT(*) AS n_decisions
    FROM decided
),
numbers AS (
    SELECT 'shared' AS part, event_time, unnest(map_keys(numeric)) AS feature, unnest(map_values(numeric)) AS value
    FROM decided
    UNION ALL
    SELECT
        'candidate' AS part,
        event_time,
        unnest(map_keys(candidate['numeric'])) AS feature,
        unnest(map_values(candidate['numeric'])) AS value
    FROM decided
    WHERE candidate IS NOT NULL
),
texts AS (
    SELECT
        'shared' AS part,
        event_time,
        unnest(map_keys(categorical)) AS feature,
        unnest(map_values(categorical)) AS value
    FROM decided
    UNION ALL
    SELECT
        'candidate' AS part,
        event_time,
        unnest(map_keys(candidate['categorical'])) AS feature,
        unnest(map_values(candidate['categorical'])) AS value
    FROM decided
    WHERE candidate IS NOT NULL
),
logged AS (
    SELECT part, 'numeric' AS kind, feature, event_time, value IS NOT NULL AS is_filled
    FROM numbers
    UNION ALL
    SELECT part, 'categorical' AS kind, feature, event_time, value IS NOT NULL AS is_filled
    FROM texts
),
counted AS (
    SELECT
        feature,
        part,
        kind,
        COUNT(*) AS n_logged,
        COUNT(CASE WHEN is_filled THEN 1 END) AS n_filled,
        MIN(event_time) AS first_at,
        MAX(event_time) AS last_at
    FROM logged
    GROUP BY feature, part, kind
)
SELECT
    counted.feature,
    counted.part,
    counted.kind,
    counted.n_logged,
    counted.n_filled,
    counted.first_at,
    counted.last_at,
    total.n_decisions
FROM counted
CROSS JOIN total
ORDER BY part DESC, feature, kind
