-- purpose:    From what each model was made: the blueprint, the training set with the table versions it was read from,
--             the winning parameters and the trials that lost.
-- grain:      One row a strategy and model version.
-- parameters: none
-- columns:    strategy, version, stage, blueprint_version, training_set_id, as_of, window_start, split_at, n_rows,
--             label_mean, table_versions, parameters, seed, n_trials, n_failed_trials; columns of the training set are
--             NULL when it was removed
WITH searched AS (
    SELECT
        strategy,
        training_set_id,
        COUNT(*) AS n_trials,
        COUNT(error) AS n_failed_trials
    FROM trials
    GROUP BY strategy, training_set_id
)
SELECT
    models.strategy,
    models.version,
    models.stage,
    models.blueprint_version,
    models.training_set_id,
    training_sets.as_of,
    training_sets.window_start,
    training_sets.split_at,
    training_sets.n_rows,
    training_sets.label_mean,
    models.table_versions,
    models.parameters,
    models.seed,
    searched.n_trials,
    searched.n_failed_trials
FROM models
LEFT JOIN training_sets
    ON training_sets.strategy = models.strategy
    AND training_sets.training_set_id = models.training_set_id
LEFT JOIN searched
    ON searched.strategy = models.strategy
    AND searched.training_set_id = models.training_set_id
ORDER BY models.strategy, models.version DESC
