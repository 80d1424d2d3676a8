-- Is one batch the same product as another? The closest pairs of experiments
-- $count INTEGER = 10: how many pairs
WITH batch AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY lab, experiment, experiment_id) AS place FROM ensemble
),
-- The figures of batch_compare, whose view would work all of them out for every pair: here that is
-- done of the closest pairs only.
closest AS MATERIALIZED (
    SELECT a.experiment_id AS a_id, b.experiment_id AS b_id,
           (b.diameter_mean_nm - a.diameter_mean_nm)
           / nullif(sqrt((a.diameter_sd_nm ** 2 + b.diameter_sd_nm ** 2) / 2), 0) AS cohen_d
    FROM batch a JOIN batch b ON a.place < b.place
    ORDER BY abs(cohen_d), a.place, b.place LIMIT $count::INTEGER
),
share AS MATERIALIZED (
    SELECT experiment_id, shape_group,
           particle_count / sum(particle_count) OVER (PARTITION BY experiment_id) AS share
    FROM group_summary WHERE shape_group > 0
),
common AS (
    SELECT a_id, b_id, sum(least(a.share, b.share)) AS overlap
    FROM closest JOIN share a ON a.experiment_id = a_id
    JOIN share b ON b.experiment_id = b_id AND b.shape_group = a.shape_group
    GROUP BY a_id, b_id
)
SELECT a.experiment AS experiment_a, b.experiment AS experiment_b,
       a.diameter_mean_nm AS mean_a_nm, b.diameter_mean_nm AS mean_b_nm,
       b.diameter_mean_nm - a.diameter_mean_nm AS difference_nm,
       difference_nm - 1.96 * sqrt(a.diameter_sd_nm ** 2 / a.calibrated_count
           + b.diameter_sd_nm ** 2 / b.calibrated_count) AS difference_low_nm,
       2 * difference_nm - difference_low_nm AS difference_high_nm, cohen_d,
       coalesce(overlap, CASE WHEN a_id IN (SELECT experiment_id FROM share)
           AND b_id IN (SELECT experiment_id FROM share) THEN 0 END) AS group_overlap
FROM closest JOIN batch a ON a.experiment_id = a_id JOIN batch b ON b.experiment_id = b_id
LEFT JOIN common USING (a_id, b_id)
ORDER BY abs(cohen_d), a.place, b.place
