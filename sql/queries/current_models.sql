-- purpose:    The registry at a glance: every model with its stage, its quality and its cost, without its bytes.
-- grain:      One row a strategy and model version.
-- parameters: none
-- columns:    strategy, version, stage, stage_reason, stage_changed_at, registered_at, metric, metric_value,
--             baseline_value, n_train_rows, n_validation_rows, artifact_bytes, latency_p50_us, latency_p99_us,
--             parity_max_abs, blueprint_version, training_set_id; newest version of a strategy first
SELECT
    strategy,
    version,
    stage,
    stage_reason,
    stage_changed_at,
    registered_at,
    metric,
    metric_value,
    baseline_value,
    n_train_rows,
    n_validation_rows,
    artifact_bytes,
    latency_p50_us,
    latency_p99_us,
    parity_max_abs,
    blueprint_version,
    training_set_id
FROM models
ORDER BY strategy, version DESC
