-- purpose:    What a candidate is worth by its latest evaluation, next to what was logged; behind off_policy('strategy', 'candidate').
-- grain:      One row an estimator.
-- parameters: $strategy text
--             $candidate text: a candidate file without its ending, model-<version>, or live
-- columns:    estimator, value, low, high, logged_value, gain, gain_low, gain_high, verdict, refusal, confidence,
--             bootstrap_low, bootstrap_high, n_rows, n_units, effective_rows, mean_weight, max_weight, overlap, unsupported,
--             rules, blueprint_version, model_version, policy, as_of, window_start, evaluated_at, evaluation_id; ordered by
--             estimator
WITH latest AS (
    SELECT MAX(evaluated_at) AS evaluated_at
    FROM evaluations
    WHERE strategy = $strategy
        AND candidate = $candidate
)
SELECT
    evaluations.estimator,
    evaluations.value,
    evaluations.low,
    evaluations.high,
    evaluations.logged_value,
    evaluations.gain,
    evaluations.gain_low,
    evaluations.gain_high,
    evaluations.verdict,
    evaluations.refusal,
    evaluations.confidence,
    evaluations.bootstrap_low,
    evaluations.bootstrap_high,
    evaluations.n_rows,
    evaluations.n_units,
    evaluations.effective_rows,
    evaluations.mean_weight,
    evaluations.max_weight,
    evaluations.overlap,
    evaluations.unsupported,
    evaluations.rules,
    evaluations.blueprint_version,
    evaluations.model_version,
    evaluations.policy,
    evaluations.as_of,
    evaluations.window_start,
    evaluations.evaluated_at,
    evaluations.evaluation_id
FROM evaluations
INNER JOIN latest ON latest.evaluated_at = evaluations.evaluated_at
WHERE evaluations.strategy = $strategy
    AND evaluations.candidate = $candidate
ORDER BY estimator
