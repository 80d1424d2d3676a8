-- The newest grouping run that a user asked for: its groups are the ones that morphology shows.
-- Runs made to be compared with one another are none of these.
CREATE OR REPLACE VIEW grouping_current AS
SELECT * FROM grouping_run WHERE comparison_id IS NULL
ORDER BY created_at DESC, grouping_run_id LIMIT 1;
