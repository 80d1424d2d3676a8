-- One row a particle: where it comes from, its features, its shape parameters and its group.
-- shape_group_source says who put it there: the grouping itself or, where that has not seen the
-- particle, a classifier of its groups (nanolake classify --run); then shape_group_probability says
-- how surely, and where the group is unknown shape_group_reason says why.
-- pixel_size_nm is the one that the features were computed with: between a correction and the next
-- segmentation micrograph_current shows another.
-- Fractions are float32: a picture gives no more digits, and 50 million rows are half as many bytes.
CREATE OR REPLACE VIEW morphology AS
SELECT
    l.lab,
    e.experiment,
    sa.sample,
    e.route,
    p.* EXCLUDE (unit_key, created_at) REPLACE (/* particle as float32 */),
    sp.p, sp.d, list_inner_product(sp.d_probability, [1, 2, 3, 4, 5, 6]::FLOAT[]) AS d_mean,
    sp.L_ratio, sp.log_p_sd, sp.L_ratio_sd, sp.d_confidence, sp.phi_rad, sp.jaccard,
    sr.p AS p_refined, sr.d AS d_refined, sr.L_ratio AS L_ratio_refined,
    sr.jaccard AS jaccard_refined,
    sp.model_id,
    coalesce(ga.shape_group, gp.shape_group) AS shape_group,
    CASE WHEN ga.particle_id IS NOT NULL THEN 'grouping'
         WHEN gp.particle_id IS NOT NULL THEN 'classifier' END AS shape_group_source,
    CASE WHEN ga.particle_id IS NULL THEN gp.probability END::FLOAT AS shape_group_probability,
    CASE WHEN ga.particle_id IS NULL THEN gp.reason END AS shape_group_reason,
    CASE WHEN ga.particle_id IS NOT NULL OR gp.particle_id IS NOT NULL
         THEN (SELECT grouping_run_id FROM grouping_current) END AS grouping_run_id,
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
-- By unit of work: another version of the code describes anew, with the same network too.
LEFT JOIN shape_prediction sp
    ON sp.particle_id = p.particle_id AND sp.model_id = si.model_id AND sp.unit_key = si.unit_key
LEFT JOIN (
    SELECT segmentation_id, model_id, arg_max(unit_key, created_at) AS unit_key
    FROM shape_refinement WHERE method = 'jaccard-1' GROUP BY segmentation_id, model_id
) ri ON ri.segmentation_id = p.segmentation_id AND ri.model_id = si.model_id
LEFT JOIN shape_refinement sr
    ON sr.particle_id = p.particle_id AND sr.model_id = si.model_id
    AND sr.method = 'jaccard-1' AND sr.unit_key = ri.unit_key
LEFT JOIN group_assignment ga
    ON ga.particle_id = p.particle_id
    AND ga.grouping_run_id = (SELECT grouping_run_id FROM grouping_current)
LEFT JOIN group_inference_current gi
    ON gi.segmentation_id = p.segmentation_id
    AND gi.grouping_run_id = (SELECT grouping_run_id FROM grouping_current)
    AND (gi.model_id IS NULL OR gi.model_id = si.model_id)
LEFT JOIN group_prediction gp ON gp.particle_id = p.particle_id AND gp.unit_key = gi.unit_key;
