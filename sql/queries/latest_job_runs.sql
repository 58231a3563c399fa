-- purpose:    How each run of a job stands: its latest row in job_runs.
-- grain:      One row a run_id. An end that was written in the same instant as a sign of life counts.
-- parameters: none
-- columns:    run_id, job, strategy, state, started_at, at, lease_until, runner, detail; latest first
WITH ranked AS (
    SELECT
        run_id,
        job,
        strategy,
        state,
        MIN(at) OVER (PARTITION BY run_id) AS started_at,
        at,
        lease_until,
        runner,
        detail,
        ROW_NUMBER() OVER (
            PARTITION BY run_id
            ORDER BY at DESC, CASE WHEN state = 'running' THEN 1 ELSE 0 END, lease_until DESC
        ) AS recency
    FROM job_runs
)
SELECT run_id, job, strategy, state, started_at, at, lease_until, runner, detail
FROM ranked
WHERE recency = 1
ORDER BY at DESC, run_id
