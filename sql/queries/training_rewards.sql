-- purpose:    What a strategy with a reward of several outcomes learns from: each decision whose longest attribution window has
--             closed, its features as they were logged, and the weighed sum of what each outcome adds up to.
-- grain:      One row a decision_id. Of repeated decisions, and of repeated reports of one outcome, the one received
--             first counts, among those within the bounds of time.
-- parameters: $strategy text
--             $window_us bigint: the longest of the windows
--             $as_of timestamp: only decisions whose longest window had closed by then
--             $window_start timestamp: only decisions from then on; NULL for all
-- columns:    decision_id, event_time, unit, action, propensity, label, label_category (NULL), numeric, categorical; ordered by
--             event_time, decision_id
-- reads:      decisions, outcomes, and reward_parts: a row for each outcome of the reward, with part_idx bigint (0, 1, …), event
--             text, outcome_type text (yes_no or number), aggregation text (any, sum, mean, count, first, last, min or max),
--             absent double (the label without reports; NULL leaves such decisions out), window_us bigint (reports count in
--             [decision, decision + window], both ends included) and weight double
--
-- It is training_labels.sql with several outcomes; what is said there of bounds, repeats and sums holds here. The parts are
-- added in the order of part_idx.
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
        event_time,
        LAG(outcome_id) OVER (
            PARTITION BY right(outcome_id, 1)
            ORDER BY outcome_id, received_at, event_time, event, decision_id, unit, value, category
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
        reported.value,
        reported.event_time,
        reward_parts.part_idx,
        arrow_cast(reward_parts.window_us, 'Duration(Microsecond)') AS part_window
    FROM reported
    INNER JOIN reward_parts ON reward_parts.event = reported.event
    WHERE (reported.previous_id IS DISTINCT FROM reported.outcome_id)
        AND (reported.value IS NOT NULL OR reward_parts.aggregation = 'count')
),
-- A report that names no decision counts for every decision of its unit that it falls in the window of.
matched AS (
    SELECT decided.decision_id, counted.part_idx, counted.outcome_id, counted.event_time, counted.value
    FROM counted
    INNER JOIN decided
        ON decided.decision_id = counted.decision_id
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + counted.part_window
    UNION ALL
    SELECT decided.decision_id, counted.part_idx, counted.outcome_id, counted.event_time, counted.value
    FROM counted
    INNER JOIN decided
        ON decided.unit = counted.unit
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + counted.part_window
    WHERE counted.decision_id IS NULL
        AND counted.strategy = $strategy
),
running AS (
    SELECT
        decision_id,
        part_idx,
        outcome_id,
        event_time,
        value,
        SUM(value) OVER (
            PARTITION BY decision_id, part_idx
            ORDER BY event_time, outcome_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM matched
),
aggregated AS (
    SELECT
        decision_id,
        part_idx,
        COUNT(*) AS n_reports,
        MAX(CASE WHEN value <> 0 THEN 1.0 ELSE 0.0 END) AS any_value,
        FIRST_VALUE(total ORDER BY event_time DESC, outcome_id DESC) AS total_value,
        FIRST_VALUE(value ORDER BY event_time, outcome_id) AS earliest_value,
        FIRST_VALUE(value ORDER BY event_time DESC, outcome_id DESC) AS latest_value,
        MIN(value) AS min_value,
        MAX(value) AS max_value
    FROM running
    GROUP BY decision_id, part_idx
),
-- Every decision has every part, reported or not.
expected AS (
    SELECT
        decided.decision_id,
        reward_parts.part_idx,
        reward_parts.outcome_type,
        reward_parts.aggregation,
        reward_parts.absent,
        reward_parts.weight
    FROM decided
    CROSS JOIN reward_parts
),
valued AS (
    SELECT
        expected.decision_id,
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
        AND aggregated.part_idx = expected.part_idx
),
labelled AS (
    SELECT
        decision_id,
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
        part_idx,
        worth,
        SUM(worth) OVER (
            PARTITION BY decision_id
            ORDER BY part_idx
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS total
    FROM labelled
),
-- A decision of which a part has no label has no reward.
rewarded AS (
    SELECT
        decision_id,
        FIRST_VALUE(total ORDER BY part_idx DESC) AS reward,
        COUNT(*) AS n_parts,
        COUNT(worth) AS n_labelled
    FROM added
    GROUP BY decision_id
)
SELECT
    decided.decision_id,
    decided.event_time,
    decided.unit,
    decided.action,
    decided.propensity,
    rewarded.reward AS label,
    CAST(NULL AS VARCHAR) AS label_category,
    decided.numeric,
    decided.categorical
FROM decided
INNER JOIN rewarded ON rewarded.decision_id = decided.decision_id
WHERE rewarded.n_labelled = rewarded.n_parts
ORDER BY decided.event_time, decided.decision_id
