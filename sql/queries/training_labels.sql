-- purpose:    What a strategy learns from: each decision whose attribution window has closed, its features as they were
--             logged, and the label that its outcomes add up to.
-- grain:      One row a decision_id. Of repeated decisions, and of repeated reports of one outcome, the one received
--             first counts, among those within the bounds of time.
-- parameters: $strategy text
--             $event text: the outcome's event
--             $outcome_type text: yes_no, number or category
--             $aggregation text: any, sum, mean, count, first, last, min or max; first or last for categories
--             $absent double: the label without outcomes; NULL leaves such decisions out
--             $classes list of text: the categories, in the order of a model's outputs; NULL for other types
--             $window_us bigint: outcomes count in [decision, decision + window], both ends included
--             $as_of timestamp: only windows that had closed by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    decision_id, event_time, unit, action, propensity, label (for categories the position in $classes),
--             label_category, numeric, categorical; ordered by event_time, decision_id
--
-- The bounds compare the bare event_time, so that a table's file statistics skip files. Repeats are found by comparing
-- neighbours in the order of ids, within a few parts (the last character of the id) rather than one window an id: a
-- window with a million partitions costs more than the rest of the query. Aggregates that were not asked for fold away.
WITH closed AS (
    SELECT
        decision_id,
        event_time,
        unit,
        action,
        propensity,
        numeric,
        categorical,
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
    SELECT decision_id, event_time, unit, action, propensity, numeric, categorical
    FROM closed
    WHERE previous_id IS DISTINCT FROM decision_id
),
reported AS (
    SELECT
        outcome_id,
        decision_id,
        strategy,
        unit,
        event,
        value,
        category,
        event_time,
        LAG(outcome_id) OVER (
            PARTITION BY right(outcome_id, 1)
            ORDER BY outcome_id, received_at, event_time, event, decision_id, unit, value, category
        ) AS previous_id
    FROM outcomes
    WHERE event_time <= $as_of
        AND ($window_start IS NULL OR event_time >= $window_start)
),
counted AS (
    SELECT outcome_id, decision_id, strategy, unit, value, category, event_time
    FROM reported
    WHERE (previous_id IS DISTINCT FROM outcome_id)
        AND event = $event
        AND CASE
            WHEN $outcome_type = 'category' THEN array_has($classes, category)
            ELSE value IS NOT NULL OR $aggregation = 'count'
        END
),
-- A report that names no decision counts for every decision of its unit that it falls in the window of.
matched AS (
    SELECT decided.decision_id, counted.outcome_id, counted.event_time, counted.value, counted.category
    FROM counted
    INNER JOIN decided
        ON decided.decision_id = counted.decision_id
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    UNION ALL
    SELECT decided.decision_id, counted.outcome_id, counted.event_time, counted.value, counted.category
    FROM counted
    INNER JOIN decided
        ON decided.unit = counted.unit
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    WHERE counted.decision_id IS NULL
        AND counted.strategy = $strategy
),
-- The sum of floats depends on their order; a running sum in the order of the events does not depend on how rows
-- happen to be read. Its last value is the sum.
running AS (
    SELECT
        decision_id,
        outcome_id,
        event_time,
        value,
        category,
        SUM(value) OVER (
            PARTITION BY decision_id
            ORDER BY event_time, outcome_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM matched
),
aggregated AS (
    SELECT
        decision_id,
        CASE
            WHEN $aggregation = 'any' THEN MAX(CASE WHEN value <> 0 THEN 1.0 ELSE 0.0 END)
            WHEN $aggregation = 'sum' THEN FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC)
            WHEN $aggregation = 'mean' THEN FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC) / COUNT(*)
            WHEN $aggregation = 'count' THEN CAST(COUNT(*) AS DOUBLE)
            WHEN $aggregation = 'first' THEN FIRST_VALUE(value ORDER BY event_time, outcome_id)
            WHEN $aggregation = 'last' THEN FIRST_VALUE(value ORDER BY event_time DESC, outcome_id DESC)
            WHEN $aggregation = 'min' THEN MIN(value)
            WHEN $aggregation = 'max' THEN MAX(value)
        END AS aggregate,
        CASE
            WHEN $outcome_type <> 'category' THEN NULL
            WHEN $aggregation = 'first' THEN FIRST_VALUE(category ORDER BY event_time, outcome_id)
            WHEN $aggregation = 'last' THEN FIRST_VALUE(category ORDER BY event_time DESC, outcome_id DESC)
        END AS category
    FROM running
    GROUP BY decision_id
),
labelled AS (
    SELECT
        decided.decision_id,
        decided.event_time,
        decided.unit,
        decided.action,
        decided.propensity,
        CASE
            WHEN $outcome_type = 'category' THEN CAST(array_position($classes, aggregated.category) - 1 AS DOUBLE)
            WHEN $outcome_type = 'yes_no' THEN CASE COALESCE(aggregated.aggregate, $absent) WHEN 0 THEN 0.0 ELSE 1.0 END
            ELSE COALESCE(aggregated.aggregate, $absent)
        END AS label,
        CASE WHEN $outcome_type = 'category' THEN aggregated.category END AS label_category,
        decided.numeric,
        decided.categorical
    FROM decided
    LEFT JOIN aggregated ON aggregated.decision_id = decided.decision_id
    WHERE aggregated.decision_id IS NOT NULL OR $absent IS NOT NULL
)
SELECT decision_id, event_time, unit, action, propensity, label, label_category, numeric, categorical
FROM labelled
WHERE label IS NOT NULL
ORDER BY event_time, decision_id
