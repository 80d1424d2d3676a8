-- One classifier a segmented micrograph, grouping run and shape network: the one asked for last.
CREATE OR REPLACE VIEW group_inference_current AS
SELECT DISTINCT ON (grouping_run_id, segmentation_id, model_id) *
FROM group_inference
ORDER BY grouping_run_id, segmentation_id, model_id, created_at DESC, classifier_run_id;
