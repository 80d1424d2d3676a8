-- Each synthesis condition as it was last given.
CREATE OR REPLACE VIEW experiment_condition_current AS
SELECT DISTINCT ON (experiment_id, name) *
FROM experiment_condition ORDER BY experiment_id, name, created_at DESC;
