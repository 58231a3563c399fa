-- purpose:    What a strategy that ranks and has a reward of several outcomes learns from: each candidate that was returned by a
--             decision whose longest attribution window has closed, the features as they were logged, and the weighed sum of
--             what each of the candidate's own outcomes adds up to.
-- grain:      One row a decision_id and candidate; candidates that were not returned have none, for nobody saw them. Of
--             repeated decisions, and of repeated reports of one outcome, the one received first counts, among those
--             within the bounds of time. Outcomes that name no candidate count for none.
-- parameters: $strategy text
--             $window_us bigint: the longest of the windows
--             $as_of timestamp: only decisions whose longest window had closed by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    decision_id, event_time, unit, candidate, position (from 0), propensity (of the candidate at its position),
--             label, numeric, categorical, candidate_numeric, candidate_categorical; ordered by event_time, decision_id,
--             position
-- reads:      decisions, outcomes, and reward_parts as in training_rewards.sql; an absent of NULL leaves candidates out
--
-- It is training_candidate_labels.sql with several outcomes, added in the order of part_idx.
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
-- A report counts for each part that asks for its event.
counted AS (
    SELECT
        reported.outcome_id,
        reported.decision_id,
        reported.strategy,
        reported.unit,
        reported.candidate,
        reported.value,
        reported.event_time,
        reward_parts.part_idx,
        arrow_cast(reward_parts.window_us, 'Duration(Microsecond)') AS part_window
    FROM reported
    INNER JOIN reward_parts ON reward_parts.event = reported.event
    WHERE (reported.previous_id IS DISTINCT FROM reported.outcome_id)
        AND reported.candidate IS NOT NULL
        AND (reported.value IS NOT NULL OR reward_parts.aggregation = 'count')
),
-- A report that names no decision counts for every decision of its unit that it falls in the window of.
matched AS (
    SELECT
        returned.decision_id,
        returned.candidate,
        counted.part_idx,
        counted.outcome_id,
        counted.event_time,
        counted.value
    FROM counted
    INNER JOIN returned
        ON returned.decision_id = counted.decision_id
        AND returned.candidate = counted.candidate
        AND counted.event_time >= returned.event_time
        AND counted.event_time <= returned.event_time + counted.part_window
    UNION ALL
    SELECT
        returned.decision_id,
        returned.candidate,
        counted.part_idx,
        counted.outcome_id,
        counted.event_time,
        counted.value
    FROM counted
    INNER JOIN returned
        ON returned.unit = counted.unit
        AND returned.candidate = counted.candidate
        AND counted.event_time >= returned.event_time
        AND counted.event_time <= returned.event_time + counted.part_window
    WHERE counted.decision_id IS NULL
        AND counted.strategy = $strategy
),
running AS (
    SELECT
        decision_id,
        candidate,
        part_idx,
        outcome_id,
        event_time,
        value,
        SUM(value) OVER (
            PARTITION BY decision_id, candidate, part_idx
            ORDER BY event_time, outcome_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM matched
),
aggregated AS (
    SELECT
        decision_id,
        candidate,
        part_idx,
        COUNT(*) AS n_reports,
        MAX(CASE WHEN value <> 0 THEN 1.0 ELSE 0.0 END) AS any_value,
        FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC) AS total_value,
        FIRST_VALUE(value ORDER BY event_time, outcome_id) AS earliest_value,
        FIRST_VALUE(value ORDER BY event_time DESC, outcome_id DESC) AS latest_value,
        MIN(value) AS min_value,
        MAX(value) AS max_value
    FROM running
    GROUP BY decision_id, candidate, part_idx
),
-- Every candidate has every part, reported or not.
expected AS (
    SELECT
        returned.decision_id,
        returned.candidate,
        reward_parts.part_idx,
        reward_parts.outcome_type,
        reward_parts.aggregation,
        reward_parts.absent,
        reward_parts.weight
    FROM returned
    CROSS JOIN reward_parts
),
valued AS (
    SELECT
        expected.decision_id,
        expected.candidate,
        expected.part_idx,
        expected.outcome_type,
        expected.weight,
        CASE
            WHEN aggregated.decision_id IS NULL THEN expected.absent
            WHEN expected.aggregation = 'any' THEN aggregated.any_value
            WHEN expected.aggregation = 'sum' THEN aggregated.total_value
            WHEN expected.aggregation = 'mean' THEN aggregated.total_value / aggregated.n_reports
            WHEN expected.aggregation = 'count' THEN CAST(aggregated.n_reports AS DOUBLE)
            WHEN expected.aggregation = 'first' THEN aggregated.earliest_value
            WHEN expected.aggregation = 'last' THEN aggregated.latest_value
            WHEN expected.aggregation = 'min' THEN aggregated.min_value
            WHEN expected.aggregation = 'max' THEN aggregated.max_value
        END AS value
    FROM expected
    LEFT JOIN aggregated
        ON aggregated.decision_id = expected.decision_id
        AND aggregated.candidate = expected.candidate
        AND aggregated.part_idx = expected.part_idx
),
labelled AS (
    SELECT
        decision_id,
        candidate,
        part_idx,
        weight * CASE
            WHEN outcome_type = 'yes_no' AND value <> 0 THEN 1.0
            ELSE value
        END AS worth
    FROM valued
),
added AS (
    SELECT
        decision_id,
        candidate,
        part_idx,
        worth,
        SUM(worth) OVER (
            PARTITION BY decision_id, candidate
            ORDER BY part_idx
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM labelled
),
-- A candidate of which a part has no label has no reward.
rewarded AS (
    SELECT
        decision_id,
        candidate,
        FIRST_VALUE(total ORDER BY part_idx DESC) AS reward,
        COUNT(*) AS n_parts,
        COUNT(worth) AS n_labelled
    FROM added
    GROUP BY decision_id, candidate
)
SELECT
    returned.decision_id,
    returned.event_time,
    returned.unit,
    returned.candidate,
    returned.position,
    returned.propensity,
    rewarded.reward AS label,
    returned.numeric,
    returned.categorical,
    offered.candidate_numeric,
    offered.candidate_categorical
FROM returned
INNER JOIN offered
    ON offered.decision_id = returned.decision_id
    AND offered.candidate = returned.candidate
INNER JOIN rewarded
    ON rewarded.decision_id = returned.decision_id
    AND rewarded.candidate = returned.candidate
WHERE rewarded.n_labelled = rewarded.n_parts
ORDER BY returned.event_time, returned.decision_id, returned.position
