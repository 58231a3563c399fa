-- purpose:    What a strategy learns from: each decision whose attribution window has closed, its features as they were
--             logged, and the label that its outcomes add up to.
-- grain:      One row a decision_id. Of repeated decisions, and of repeated reports of one outcome, the one received
--             first counts.
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
-- The bounds compare the bare event_time, so that a table's file statistics skip files.
WITH closed AS (
    SELECT
        decision_id,
        event_time,
        unit,
        action,
        propensity,
        numeric,
        categorical,
        ROW_NUMBER() OVER (PARTITION BY decision_id ORDER BY received_at, event_time) AS reception
    FROM decisions
    WHERE strategy = $strategy
        AND event_time <= arrow_cast($as_of, 'Timestamp(Microsecond, Some("UTC"))')
            - arrow_cast($window_us, 'Duration(Microsecond)')
        AND ($window_start IS NULL OR event_time >= $window_start)
),
decided AS (
    SELECT decision_id, event_time, unit, action, propensity, numeric, categorical
    FROM closed
    WHERE reception = 1
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
        ROW_NUMBER() OVER (PARTITION BY outcome_id ORDER BY received_at, event_time, value, category) AS reception
    FROM outcomes
    WHERE event_time <= $as_of
        AND ($window_start IS NULL OR event_time >= $window_start)
),
counted AS (
    SELECT outcome_id, decision_id, strategy, unit, value, category, event_time
    FROM reported
    WHERE reception = 1
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
-- Running totals in the order of the events: the last row of a decision holds its totals, and sums do not depend on
-- the order in which rows happen to be read.
running AS (
    SELECT
        decision_id,
        ROW_NUMBER() OVER so_far AS n_outcomes,
        SUM(value) OVER so_far AS total,
        MIN(value) OVER so_far AS smallest,
        MAX(value) OVER so_far AS largest,
        MAX(CASE WHEN value <> 0 THEN 1.0 ELSE 0.0 END) OVER so_far AS any_value,
        FIRST_VALUE(value) OVER so_far AS earliest,
        value AS latest,
        FIRST_VALUE(category) OVER so_far AS earliest_category,
        category AS latest_category,
        LEAD(outcome_id) OVER (PARTITION BY decision_id ORDER BY event_time, outcome_id) IS NULL AS is_last
    FROM matched
    WINDOW so_far AS (
        PARTITION BY decision_id
        ORDER BY event_time, outcome_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
),
aggregated AS (
    SELECT
        decision_id,
        CASE $aggregation
            WHEN 'any' THEN any_value
            WHEN 'sum' THEN total
            WHEN 'mean' THEN total / n_outcomes
            WHEN 'count' THEN CAST(n_outcomes AS DOUBLE)
            WHEN 'first' THEN earliest
            WHEN 'last' THEN latest
            WHEN 'min' THEN smallest
            WHEN 'max' THEN largest
        END AS aggregate,
        CASE $aggregation WHEN 'first' THEN earliest_category ELSE latest_category END AS category
    FROM running
    WHERE is_last
),
labelled AS (
    SELECT
        decided.decision_id,
        decided.event_time,
        decided.unit,
        decided.action,
        decided.propensity,
        CASE $outcome_type
            WHEN 'category' THEN CAST(array_position($classes, aggregated.category) - 1 AS DOUBLE)
            WHEN 'yes_no' THEN CASE COALESCE(aggregated.aggregate, $absent) WHEN 0 THEN 0.0 ELSE 1.0 END
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
