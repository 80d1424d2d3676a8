-- One row an experiment: how many particles, how large, how uniform, which shapes.
-- Sizes are equivalent circular diameters; nm is NULL where no pixel size is known.
CREATE OR REPLACE VIEW ensemble AS
SELECT
    lab,
    experiment,
    any_value(sample) AS sample,
    any_value(route) AS route,
    count(DISTINCT micrograph_id) AS micrograph_count,
    count(*) AS particle_count,
    count(equivalent_diameter_area_nm) AS calibrated_count,
    avg(equivalent_diameter_area_nm) AS diameter_mean_nm,
    stddev_samp(equivalent_diameter_area_nm) AS diameter_sd_nm,
    stddev_samp(equivalent_diameter_area_nm) / avg(equivalent_diameter_area_nm) AS sigma_over_d,
    quantile_cont(equivalent_diameter_area_nm, 0.10) AS diameter_d10_nm,
    quantile_cont(equivalent_diameter_area_nm, 0.50) AS diameter_d50_nm,
    quantile_cont(equivalent_diameter_area_nm, 0.90) AS diameter_d90_nm,
    avg(equivalent_diameter_area_px) AS diameter_mean_px,
    avg(feret_diameter_max_nm) AS feret_diameter_max_mean_nm,
    avg(aspect_ratio) AS aspect_ratio_mean,
    avg(circularity) AS circularity_mean,
    avg(solidity) AS solidity_mean,
    median(p) AS p_median,
    mode(d) AS d_mode,
    avg(L_ratio) AS L_ratio_mean,
    avg(jaccard) AS jaccard_mean,
    mode(shape_group) FILTER (shape_group > 0) AS largest_group,
    experiment_id
FROM morphology
GROUP BY lab, experiment, experiment_id;
