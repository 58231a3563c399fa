-- purpose:    How often a model would have chosen the action that the caller's rule gave, where a rule or exploration
--             decided and a model was live.
-- grain:      One row a strategy, model and step of the ladder. Of repeated decisions the one received first counts.
-- parameters: none
-- columns:    strategy, model_version, step, n_decisions, n_agreeing, agreement (a share, in [0, 1]); by strategy, model and
--             step
WITH compared AS (
    SELECT
        strategy,
        model_version,
        step,
        rule_action,
        model_action,
        ROW_NUMBER() OVER (
            PARTITION BY decision_id
            ORDER BY received_at, event_time
        ) AS repetition
    FROM decisions
    WHERE rule_action IS NOT NULL
        AND model_action IS NOT NULL
)
SELECT
    strategy,
    model_version,
    step,
    COUNT(*) AS n_decisions,
    SUM(CASE WHEN rule_action = model_action THEN 1 ELSE 0 END) AS n_agreeing,
    AVG(CASE WHEN rule_action = model_action THEN 1.0 ELSE 0.0 END) AS agreement
FROM compared
WHERE repetition = 1
GROUP BY strategy, model_version, step
ORDER BY strategy, model_version, step
