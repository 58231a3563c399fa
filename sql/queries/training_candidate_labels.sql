-- purpose:    What a strategy that ranks learns from: each candidate that was returned by a decision whose attribution window
--             has closed, the features as they were logged, and the label that the candidate's own outcomes add up to.
-- grain:      One row a decision_id and candidate; candidates that were not returned have none, for nobody saw them. Of
--             repeated decisions, and of repeated reports of one outcome, the one received first counts, among those
--             within the bounds of time. Outcomes that name no candidate count for none.
-- parameters: $strategy text
--             $event text: the outcome's event
--             $outcome_type text: yes_no or number
--             $aggregation text: any, sum, mean, count, first, last, min or max
--             $absent double: the label without outcomes; NULL leaves such candidates out
--             $window_us bigint: outcomes count in [decision, decision + window], both ends included
--             $as_of timestamp: only windows that had closed by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    decision_id, event_time, unit, candidate, position (from 0), propensity (of the candidate at its position),
--             label, numeric, categorical, candidate_numeric, candidate_categorical; ordered by event_time, decision_id,
--             position
--
-- It is training_labels.sql with candidates; what is said there of bounds, repeats and sums holds here.
WITH closed AS (
    SELECT
        decision_id,
        event_time,
        unit,
        numeric,
        categorical,
        candidates,
        ranking,
        position_propensities,
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
    SELECT decision_id, event_time, unit, numeric, categorical, candidates, ranking, position_propensities
    FROM closed
    WHERE (previous_id IS DISTINCT FROM decision_id)
        AND ranking IS NOT NULL
),
-- The three lists have one length, so that each position becomes one row.
returned AS (
    SELECT
        decision_id,
        event_time,
        unit,
        numeric,
        categorical,
        unnest(ranking) AS candidate,
        unnest(position_propensities) AS propensity,
        unnest(range(0, CAST(cardinality(ranking) AS BIGINT))) AS position
    FROM decided
),
each_offered AS (
    SELECT decision_id, unnest(candidates) AS offered
    FROM decided
),
offered AS (
    SELECT
        decision_id,
        offered['id'] AS candidate,
        offered['numeric'] AS candidate_numeric,
        offered['categorical'] AS candidate_categorical
    FROM each_offered
),
reported AS (
    SELECT
        outcome_id,
        decision_id,
        strategy,
        unit,
        candidate,
        event,
        value,
        event_time,
        LAG(outcome_id) OVER (
            PARTITION BY right(outcome_id, 1)
            ORDER BY outcome_id, received_at, event_time, event, decision_id, unit, value, category, candidate
        ) AS previous_id
    FROM outcomes
    WHERE event_time <= $as_of
        AND ($window_start IS NULL OR event_time >= $window_start)
),
counted AS (
    SELECT outcome_id, decision_id, strategy, unit, candidate, value, event_time
    FROM reported
    WHERE (previous_id IS DISTINCT FROM outcome_id)
        AND event = $event
        AND candidate IS NOT NULL
        AND (value IS NOT NULL OR $aggregation = 'count')
),
-- A report that names no decision counts for every decision of its unit that it falls in the window of.
matched AS (
    SELECT returned.decision_id, returned.candidate, counted.outcome_id, counted.event_time, counted.value
    FROM counted
    INNER JOIN returned
        ON returned.decision_id = counted.decision_id
        AND returned.candidate = counted.candidate
        AND counted.event_time >= returned.event_time
        AND counted.event_time <= returned.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    UNION ALL
    SELECT returned.decision_id, returned.candidate, counted.outcome_id, counted.event_time, counted.value
    FROM counted
    INNER JOIN returned
        ON returned.unit = counted.unit
        AND returned.candidate = counted.candidate
        AND counted.event_time >= returned.event_time
        AND counted.event_time <= returned.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    WHERE counted.decision_id IS NULL
        AND counted.strategy = $strategy
),
running AS (
    SELECT
        decision_id,
        candidate,
        outcome_id,
        event_time,
        value,
        SUM(value) OVER (
            PARTITION BY decision_id, candidate
            ORDER BY event_time, outcome_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM matched
),
aggregated AS (
    SELECT
        decision_id,
        candidate,
        CASE
            WHEN $aggregation = 'any' THEN MAX(CASE WHEN value <> 0 THEN 1.0 ELSE 0.0 END)
            WHEN $aggregation = 'sum' THEN FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC)
            WHEN $aggregation = 'mean' THEN FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC) / COUNT(*)
            WHEN $aggregation = 'count' THEN CAST(COUNT(*) AS DOUBLE)
            WHEN $aggregation = 'first' THEN FIRST_VALUE(value ORDER BY event_time, outcome_id)
            WHEN $aggregation = 'last' THEN FIRST_VALUE(value ORDER BY event_time DESC, outcome_id DESC)
            WHEN $aggregation = 'min' THEN MIN(value)
            WHEN $aggregation = 'max' THEN MAX(value)
        END AS aggregate
    FROM running
    GROUP BY decision_id, candidate
),
labelled AS (
    SELECT
        returned.decision_id,
        returned.event_time,
        returned.unit,
        returned.candidate,
        returned.position,
        returned.propensity,
        CASE
            WHEN $outcome_type = 'yes_no' THEN CASE COALESCE(aggregated.aggregate, $absent) WHEN 0 THEN 0.0 ELSE 1.0 END
            ELSE COALESCE(aggregated.aggregate, $absent)
        END AS label,
        returned.numeric,
        returned.categorical,
        offered.candidate_numeric,
        offered.candidate_categorical
    FROM returned
    INNER JOIN offered
        ON offered.decision_id = returned.decision_id
        AND offered.candidate = returned.candidate
    LEFT JOIN aggregated
        ON aggregated.decision_id = returned.decision_id
        AND aggregated.candidate = returned.candidate
    WHERE aggregated.decision_id IS NOT NULL OR $absent IS NOT NULL
)
SELECT
    decision_id,
    event_time,
    unit,
    candidate,
    position,
    propensity,
    label,
    numeric,
    categorical,
    candidate_numeric,
    candidate_categorical
FROM labelled
WHERE label IS NOT NULL
ORDER BY event_time, decision_id, position
