-- One row a micrograph: the newest, so that a corrected pixel size wins.
CREATE OR REPLACE VIEW micrograph_current AS
SELECT DISTINCT ON (micrograph_id) * FROM micrograph ORDER BY micrograph_id, created_at DESC, unit_key;
