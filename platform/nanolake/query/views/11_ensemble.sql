-- One row an experiment, also one without any particle: how many particles, how large, how uniform,
-- which shapes. micrograph_count are the segmented micrographs that are at home in it,
-- empty_micrograph_count those of them in which no particle was kept.
-- Sizes are equivalent circular diameters; nm is NULL where no pixel size is known.
-- Alone are particles that hardly another one overlaps: they alone have their whole outline.
-- Of equally frequent values the mode is the smallest.
CREATE OR REPLACE VIEW ensemble AS
WITH pictures AS (
    SELECT h.experiment_id, count(*) AS micrograph_count,
           count(*) FILTER (s.particle_count = 0) AS empty_micrograph_count
    FROM segmentation_current s JOIN micrograph_home h USING (micrograph_id)
    GROUP BY h.experiment_id
)
SELECT
    any_value(l.lab) AS lab,
    any_value(e.experiment) AS experiment,
    any_value(sa.sample) AS sample,
    any_value(e.route) AS route,
    coalesce(any_value(n.micrograph_count), 0) AS micrograph_count,
    coalesce(any_value(n.empty_micrograph_count), 0) AS empty_micrograph_count,
    count(particle_id) AS particle_count,
    count(equivalent_diameter_area_nm) AS calibrated_count,
    avg(equivalent_diameter_area_nm) AS diameter_mean_nm,
    stddev_samp(equivalent_diameter_area_nm) AS diameter_sd_nm,
    stddev_samp(equivalent_diameter_area_nm) / avg(equivalent_diameter_area_nm) AS sigma_over_d,
    quantile_cont(equivalent_diameter_area_nm::DOUBLE, 0.10) AS diameter_d10_nm,
    quantile_cont(equivalent_diameter_area_nm::DOUBLE, 0.50) AS diameter_d50_nm,
    quantile_cont(equivalent_diameter_area_nm::DOUBLE, 0.90) AS diameter_d90_nm,
    min(equivalent_diameter_area_nm) AS diameter_min_nm,
    max(equivalent_diameter_area_nm) AS diameter_max_nm,
    CASE WHEN count(overlap) > 0 THEN
        count(equivalent_diameter_area_nm) FILTER (overlap < 0.2) END AS alone_count,
    avg(equivalent_diameter_area_nm) FILTER (overlap < 0.2) AS diameter_alone_mean_nm,
    avg(equivalent_diameter_area_px) AS diameter_mean_px,
    avg(feret_diameter_max_nm) AS feret_diameter_max_mean_nm,
    avg(aspect_ratio) AS aspect_ratio_mean,
    avg(circularity) AS circularity_mean,
    avg(solidity) AS solidity_mean,
    median(p) AS p_median,
    mode(d ORDER BY d) AS d_mode,
    avg(L_ratio) AS L_ratio_mean,
    avg(jaccard) AS jaccard_mean,
    mode(shape_group ORDER BY shape_group) FILTER (shape_group > 0) AS largest_group,
    experiment_id
FROM experiment_current e
JOIN lab_current l ON l.lab_id = e.lab_id
LEFT JOIN sample_current sa ON sa.sample_id = e.sample_id
LEFT JOIN pictures n USING (experiment_id)
LEFT JOIN morphology mo USING (experiment_id)
GROUP BY experiment_id;
