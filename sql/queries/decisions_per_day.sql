-- purpose:    How much each strategy decides, for how many units, and why.
-- grain:      One row a strategy, day (UTC) and action; numbers have no action. Repeated decisions count once.
-- parameters: none
-- columns:    strategy, day, action, n_decisions, n_units, n_exploit, n_explore, n_no_model, n_fallback, n_imported,
--             mean_propensity
--
-- Repeats are found by comparing neighbours in the order of ids; training_labels.sql says why.
WITH received AS (
    SELECT
        strategy,
        event_time,
        unit,
        action,
        reason,
        propensity,
        decision_id,
        LAG(decision_id) OVER (
            PARTITION BY strategy, right(decision_id, 1)
            ORDER BY decision_id, received_at, event_time
        ) AS previous_id
    FROM decisions
)
SELECT
    strategy,
    CAST(date_trunc('day', event_time) AS DATE) AS day,
    action,
    COUNT(*) AS n_decisions,
    COUNT(DISTINCT unit) AS n_units,
    COUNT(CASE WHEN reason = 'exploit' THEN 1 END) AS n_exploit,
    COUNT(CASE WHEN reason = 'explore' THEN 1 END) AS n_explore,
    COUNT(CASE WHEN reason = 'no_model' THEN 1 END) AS n_no_model,
    COUNT(CASE WHEN reason = 'fallback' THEN 1 END) AS n_fallback,
    COUNT(CASE WHEN reason = 'imported' THEN 1 END) AS n_imported,
    AVG(propensity) AS mean_propensity
FROM received
WHERE previous_id IS DISTINCT FROM decision_id
GROUP BY strategy, CAST(date_trunc('day', event_time) AS DATE), action
ORDER BY strategy, day, action
