-- One row a particle: where it comes from, its features, its shape parameters and its group.
-- pixel_size_nm is the one that the features were computed with: between a correction and the next
-- segmentation micrograph_current shows another.
CREATE OR REPLACE VIEW morphology AS
SELECT
    l.lab,
    e.experiment,
    sa.sample,
    e.route,
    p.* EXCLUDE (unit_key, created_at),
    sp.p, sp.d, list_inner_product(sp.d_probability, [1, 2, 3, 4, 5, 6]::FLOAT[]) AS d_mean,
    sp.L_ratio, sp.log_p_sd, sp.L_ratio_sd, sp.d_confidence, sp.phi_rad, sp.jaccard,
    sp.model_id,
    ga.shape_group,
    ga.grouping_run_id,
    s.pixel_size_x_nm AS pixel_size_nm,
    m.pixel_size_trust,
    m.image_path,
    s.label_path,
    h.path,
    e.experiment_id,
    e.sample_id,
    e.lab_id
FROM particle p
JOIN segmentation_current s USING (segmentation_id)
JOIN micrograph_current m ON m.micrograph_id = p.micrograph_id
JOIN micrograph_home h ON h.micrograph_id = p.micrograph_id
JOIN experiment_current e ON e.experiment_id = h.experiment_id
JOIN lab_current l ON l.lab_id = e.lab_id
LEFT JOIN sample_current sa ON sa.sample_id = e.sample_id
LEFT JOIN shape_inference_current si ON si.segmentation_id = p.segmentation_id
LEFT JOIN shape_prediction sp ON sp.particle_id = p.particle_id AND sp.model_id = si.model_id
LEFT JOIN group_assignment ga
    ON ga.particle_id = p.particle_id
    AND ga.grouping_run_id = (SELECT grouping_run_id FROM grouping_current);
