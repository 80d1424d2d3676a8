-- One row an experiment and class of length and aspect ratio, where both are known: how many
-- particles, and the sums that give the means of any set of classes. length_nm is the whole part of
-- the largest Feret diameter; aspect_bin n holds aspect ratios from n / 20 (as float32) up to
-- (n + 1) / 20.
CREATE OR REPLACE VIEW length_histogram AS
SELECT
    any_value(lab) AS lab,
    any_value(experiment) AS experiment,
    any_value(route) AS route,
    floor(feret_diameter_max_nm)::INTEGER AS length_nm,
    (round(20 * aspect_ratio) - (aspect_ratio < (round(20 * aspect_ratio) / 20)::FLOAT)::INTEGER)
        ::INTEGER AS aspect_bin,
    count(*) AS particle_count,
    sum(feret_diameter_max_nm) AS length_sum_nm,
    sum(1 / aspect_ratio) AS length_over_width_sum,
    experiment_id
FROM morphology
WHERE feret_diameter_max_nm IS NOT NULL AND aspect_ratio IS NOT NULL
GROUP BY experiment_id, length_nm, aspect_bin;
