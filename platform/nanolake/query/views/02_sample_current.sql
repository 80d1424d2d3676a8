-- What is known of each sample now: the newest row.
CREATE OR REPLACE VIEW sample_current AS
SELECT DISTINCT ON (sample_id) * FROM sample ORDER BY sample_id, created_at DESC;
