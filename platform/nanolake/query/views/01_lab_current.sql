-- What is known of each lab now: the newest row.
CREATE OR REPLACE VIEW lab_current AS
SELECT DISTINCT ON (lab_id) * FROM lab ORDER BY lab_id, created_at DESC;
