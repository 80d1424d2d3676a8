-- One row an experiment and class of size: particles whose equivalent circular diameter lies in
-- [exp(size_bin / 100), exp((size_bin + 1) / 100)) nm, about 1 % wide. Only where nm are known.
-- Percentiles over any set of experiments are approximate, by 0.5 % at most, where the middle of a
-- class is taken.
CREATE OR REPLACE VIEW size_histogram AS
SELECT
    any_value(lab) AS lab,
    any_value(experiment) AS experiment,
    any_value(route) AS route,
    floor(100 * ln(equivalent_diameter_area_nm))::INTEGER AS size_bin,
    count(*) AS particle_count,
    experiment_id
FROM morphology
WHERE equivalent_diameter_area_nm > 0
GROUP BY experiment_id, size_bin;
