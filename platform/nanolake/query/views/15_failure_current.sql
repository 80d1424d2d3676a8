-- Failures that are still open. One row a thing (told once, as it last failed) that no later
-- attempt and no mended file has put right: since then the file was read for the same experiment,
-- or its pattern matched one; the micrograph was segmented; its newest segmentation was described.
-- A bad frame beside good ones is not put right by the good ones of the same reading.
CREATE OR REPLACE VIEW failure_current AS
WITH newest AS (
    SELECT DISTINCT ON (stage, path, frame, reason, experiment_id, micrograph_id) *
    FROM failure
    ORDER BY stage, path, frame, reason, experiment_id, micrograph_id, failed_at DESC, failure_id
)
SELECT * FROM newest f
WHERE NOT EXISTS (
    FROM micrograph_location l
    WHERE f.stage = 'ingest' AND l.experiment_id = f.experiment_id
      AND (l.path = f.path OR (f.reason = 'missing_file' AND l.path GLOB ('*' || f.path)))
      AND l.created_at > f.failed_at AND (f.frame IS NULL OR l.unit_key <> f.unit_key)
)
AND NOT EXISTS (
    FROM segmentation s
    WHERE f.stage = 'segment' AND s.micrograph_id = f.micrograph_id AND s.created_at > f.failed_at
)
AND NOT EXISTS (
    FROM shape_inference i JOIN segmentation_current s USING (segmentation_id)
    WHERE f.stage = 'describe' AND s.micrograph_id = f.micrograph_id AND i.created_at > f.failed_at
);
