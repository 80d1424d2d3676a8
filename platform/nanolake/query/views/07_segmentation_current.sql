-- One segmentation a micrograph: the newest.
CREATE OR REPLACE VIEW segmentation_current AS
SELECT DISTINCT ON (micrograph_id) *
FROM segmentation ORDER BY micrograph_id, created_at DESC, segmentation_id;
