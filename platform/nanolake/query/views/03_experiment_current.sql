-- What is known of each experiment now: the newest row.
CREATE OR REPLACE VIEW experiment_current AS
SELECT DISTINCT ON (experiment_id) * FROM experiment ORDER BY experiment_id, created_at DESC;
