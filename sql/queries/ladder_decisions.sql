-- purpose:    The decisions of a strategy that its ladder may count: those that came with the rule's action, and those made
--             on a step before the model's.
-- grain:      One row a decision_id; of repeated decisions the one received first. Imported ones are left out.
-- parameters: $strategy text
--             $as_of timestamp: only decisions up to then
-- columns:    decision_id, step, has_rule, is_explored; ordered by decision_id
WITH climbing AS (
    SELECT
        decision_id,
        step,
        rule_action IS NOT NULL AS has_rule,
        reason = 'explore' AS is_explored,
        ROW_NUMBER() OVER (
            PARTITION BY decision_id
            ORDER BY received_at, event_time
        ) AS repetition
    FROM decisions
    WHERE strategy = $strategy
        AND event_time <= $as_of
        AND reason <> 'imported'
        AND (rule_action IS NOT NULL OR step IN ('default', 'apprentice', 'exploration'))
)
SELECT decision_id, step, has_rule, is_explored
FROM climbing
WHERE repetition = 1
ORDER BY decision_id
