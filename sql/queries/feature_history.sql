-- purpose:    All that was ever known of one entity of a feature view, corrections included.
-- grain:      One row a row of the view.
-- parameters: $entity text
-- columns:    event_time, available_at, feature_values; in the order in which a later row is preferred
-- reads:      feature_rows (entity, event_time, available_at, feature_values)
SELECT event_time, available_at, feature_values
FROM feature_rows
WHERE entity = $entity
ORDER BY event_time, available_at, feature_values
