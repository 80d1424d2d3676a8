-- One row an experiment and class of outline, where the number of axes is known: how many
-- particles, and the sum that gives the mean ratio of the axes of any set of classes. p_bin n holds
-- p from exp(n / 20) up to exp((n + 1) / 20), the first (-100) and the last (199) all beyond;
-- L_bin n holds ratios from n / 20 up to (n + 1) / 20. A bin is NULL where its value is not known
-- or p is 0. outline_class is the one number for d and both bins by which outline_index is sorted;
-- NULL where a bin is.
CREATE OR REPLACE VIEW outline_histogram AS
SELECT
    any_value(lab) AS lab,
    any_value(experiment) AS experiment,
    any_value(route) AS route,
    d,
    CASE WHEN p > 0 THEN greatest(-100, least(199, floor(20 * ln(p)))) END::INTEGER AS p_bin,
    floor(20 * L_ratio)::INTEGER AS L_bin,
    (d * 300 + p_bin + 100) * 21 + L_bin AS outline_class,
    count(*) AS particle_count,
    sum(L_ratio) AS L_ratio_sum,
    experiment_id
FROM morphology
WHERE d IS NOT NULL
GROUP BY experiment_id, d, p_bin, L_bin;
