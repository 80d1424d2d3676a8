-- One row a pair of experiments: is batch 1 the same product as batch 2?
-- difference_nm and its 95 % interval (normal approximation) compare mean equivalent diameters;
-- welch_t is Welch's statistic, cohen_d the difference in pooled standard deviations;
-- group_overlap is the share of particles that two batches have in common over the shape groups
-- (1: the same shares, 0: no group in common). Asked for two experiments, only their pair is made.
CREATE OR REPLACE VIEW batch_compare AS
WITH share AS (
    SELECT experiment_id, map_from_entries(list((shape_group, part))) AS shares
    FROM (
        SELECT experiment_id, shape_group,
               particle_count / sum(particle_count) OVER (PARTITION BY experiment_id) AS part
        FROM group_summary WHERE shape_group > 0
    )
    GROUP BY experiment_id
),
batch AS (
    SELECT *, row_number() OVER (ORDER BY lab, experiment, experiment_id) AS place
    FROM ensemble LEFT JOIN share USING (experiment_id)
),
pair AS (
    SELECT
        a.lab AS lab_a, a.experiment AS experiment_a, b.lab AS lab_b, b.experiment AS experiment_b,
        a.particle_count AS count_a, b.particle_count AS count_b,
        a.diameter_mean_nm AS mean_a_nm, b.diameter_mean_nm AS mean_b_nm,
        a.sigma_over_d AS sigma_over_d_a, b.sigma_over_d AS sigma_over_d_b,
        b.diameter_mean_nm - a.diameter_mean_nm AS difference_nm,
        sqrt(a.diameter_sd_nm ** 2 / a.calibrated_count
             + b.diameter_sd_nm ** 2 / b.calibrated_count) AS standard_error_nm,
        sqrt((a.diameter_sd_nm ** 2 + b.diameter_sd_nm ** 2) / 2) AS pooled_sd_nm,
        a.shares AS shares_a, b.shares AS shares_b,
        a.experiment_id AS experiment_a_id, b.experiment_id AS experiment_b_id
    FROM batch a JOIN batch b ON a.place < b.place
)
SELECT
    lab_a, experiment_a, lab_b, experiment_b, count_a, count_b, mean_a_nm, mean_b_nm,
    difference_nm,
    difference_nm - 1.96 * standard_error_nm AS difference_low_nm,
    difference_nm + 1.96 * standard_error_nm AS difference_high_nm,
    difference_nm / nullif(standard_error_nm, 0) AS welch_t,
    difference_nm / nullif(pooled_sd_nm, 0) AS cohen_d,
    sigma_over_d_a, sigma_over_d_b,
        CASE WHEN shares_a IS NOT NULL AND shares_b IS NOT NULL THEN
        list_sum([least(shares_a[g], coalesce(shares_b[g], 0)) for g in map_keys(shares_a)])
    END AS group_overlap,
    experiment_a_id, experiment_b_id
FROM pair;
