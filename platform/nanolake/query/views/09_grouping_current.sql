-- The newest grouping run: its groups are the ones that morphology shows.
CREATE OR REPLACE VIEW grouping_current AS
SELECT * FROM grouping_run ORDER BY created_at DESC, grouping_run_id LIMIT 1;
