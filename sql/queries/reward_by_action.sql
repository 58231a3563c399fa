-- purpose:    What came of each action of a strategy: how often the outcome followed, and what it was worth.
-- grain:      One row an action; numbers have no action. Only decisions whose window has closed; repeated decisions and
--             repeated reports count once, the first received.
-- parameters: $strategy text
--             $event text: the outcome's event
--             $window_us bigint: outcomes count in [decision, decision + window], both ends included
--             $as_of timestamp: only windows that had closed by then
-- columns:    action, n_decisions, n_with_outcome, outcome_rate, total_value, mean_value (over the decisions with an
--             outcome; NULL when there are none), mean_propensity
--
-- Repeats are found by comparing neighbours in the order of ids; training_labels.sql says why.
WITH closed AS (
    SELECT
        decision_id,
        event_time,
        unit,
        action,
        propensity,
        LAG(decision_id) OVER (
            PARTITION BY right(decision_id, 1)
            ORDER BY decision_id, received_at, event_time
        ) AS previous_id
    FROM decisions
    WHERE strategy = $strategy
        AND event_time <= arrow_cast($as_of, 'Timestamp(Microsecond, Some("UTC"))')
            - arrow_cast($window_us, 'Duration(Microsecond)')
),
decided AS (
    SELECT decision_id, event_time, unit, action, propensity
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
            ORDER BY outcome_id, received_at, event_time, event, decision_id, unit, value
        ) AS previous_id
    FROM outcomes
    WHERE event_time <= $as_of
),
counted AS (
    SELECT decision_id, strategy, unit, value, event_time
    FROM reported
    WHERE (previous_id IS DISTINCT FROM outcome_id) AND event = $event AND value IS NOT NULL
),
matched AS (
    SELECT decided.decision_id, counted.value
    FROM counted
    INNER JOIN decided
        ON decided.decision_id = counted.decision_id
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    UNION ALL
    SELECT decided.decision_id, counted.value
    FROM counted
    INNER JOIN decided
        ON decided.unit = counted.unit
        AND counted.event_time >= decided.event_time
        AND counted.event_time <= decided.event_time + arrow_cast($window_us, 'Duration(Microsecond)')
    WHERE counted.decision_id IS NULL AND counted.strategy = $strategy
),
rewarded AS (
    SELECT decision_id, SUM(value) AS reward
    FROM matched
    GROUP BY decision_id
)
SELECT
    decided.action,
    COUNT(*) AS n_decisions,
    COUNT(rewarded.reward) AS n_with_outcome,
    CAST(COUNT(rewarded.reward) AS DOUBLE) / COUNT(*) AS outcome_rate,
    SUM(rewarded.reward) AS total_value,
    AVG(rewarded.reward) AS mean_value,
    AVG(decided.propensity) AS mean_propensity
FROM decided
LEFT JOIN rewarded ON rewarded.decision_id = decided.decision_id
GROUP BY decided.action
ORDER BY decided.action
