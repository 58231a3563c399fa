-- purpose:    Where each strategy stands on its ladder, since when, who put it there and why.
-- grain:      One row a strategy that was ever moved; one that never was stands on `default`.
-- parameters: none
-- columns:    strategy, step, from_step, moved_at, moved_by, reason, n_with_rule, n_labelled_default,
--             n_labelled_apprentice, n_labelled_explored; by strategy
WITH ranked AS (
    SELECT
        strategy,
        to_step AS step,
        from_step,
        moved_at,
        moved_by,
        reason,
        n_with_rule,
        n_labelled_default,
        n_labelled_apprentice,
        n_labelled_explored,
        ROW_NUMBER() OVER (
            PARTITION BY strategy
            ORDER BY sequence DESC
        ) AS recency
    FROM ladder_moves
)
SELECT
    strategy,
    step,
    from_step,
    moved_at,
    moved_by,
    reason,
    n_with_rule,
    n_labelled_default,
    n_labelled_apprentice,
    n_labelled_explored
FROM ranked
WHERE recency = 1
ORDER BY strategy
