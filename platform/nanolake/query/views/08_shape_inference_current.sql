-- One shape model a segmented micrograph: the newest.
CREATE OR REPLACE VIEW shape_inference_current AS
SELECT DISTINCT ON (segmentation_id) *
FROM shape_inference ORDER BY segmentation_id, created_at DESC, model_id;
