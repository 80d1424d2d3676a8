-- One row a micrograph. Of what one experiment said of it (image_path names the experiment) the
-- newest holds, so that a correction wins and may be taken back. Where several experiments hold
-- the same bytes, a pixel size from a sheet beats one from the file, and any beats none: another
-- lab's copy without a size takes none away. Else the newest wins.
CREATE OR REPLACE VIEW micrograph_current AS
WITH said AS (
    SELECT DISTINCT ON (micrograph_id, image_path) *
    FROM micrograph ORDER BY micrograph_id, image_path, created_at DESC, unit_key
)
SELECT DISTINCT ON (micrograph_id) * FROM said
ORDER BY micrograph_id,
    CASE pixel_size_trust WHEN 'sheet' THEN 0 WHEN 'metadata' THEN 1 ELSE 2 END,
    created_at DESC, unit_key;
