-- One row an experiment and shape group; 0: particles that could not be put into one.
CREATE OR REPLACE VIEW group_summary AS
SELECT
    any_value(lab) AS lab,
    any_value(experiment) AS experiment,
    any_value(route) AS route,
    shape_group,
    count(*) AS particle_count,
    count(equivalent_diameter_area_nm) AS calibrated_count,
    avg(equivalent_diameter_area_nm) AS diameter_mean_nm,
    stddev_samp(equivalent_diameter_area_nm) AS diameter_sd_nm,
    avg(aspect_ratio) AS aspect_ratio_mean,
    median(p) AS p_median,
    mode(d ORDER BY d) AS d_mode,
    avg(L_ratio) AS L_ratio_mean,
    experiment_id
FROM morphology WHERE shape_group IS NOT NULL
GROUP BY experiment_id, shape_group;
