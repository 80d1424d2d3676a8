-- Is one batch the same product as another? The closest pairs of experiments
-- $count INTEGER = 10: how many pairs
WITH batch AS MATERIALIZED (
    SELECT experiment_id, experiment, calibrated_count, diameter_mean_nm, diameter_sd_nm,
           diameter_sd_nm ** 2 AS variance,
           diameter_mean_nm IS NOT NULL AND diameter_sd_nm IS NOT NULL AS known,
           row_number() OVER (ORDER BY lab, experiment, experiment_id) AS place
    FROM ensemble
),
neighbour AS (
    SELECT variance + lead(variance) OVER by_mean AS variances,
           lead(diameter_mean_nm) OVER by_mean - diameter_mean_nm AS difference_nm
    FROM batch WHERE known WINDOW by_mean AS (ORDER BY diameter_mean_nm, place)
),
-- Among neighbours in the order of means there are $count pairs this close: the closest of all are
-- no further apart. Where there are fewer neighbours, every pair is looked at.
bound AS (
    SELECT CASE WHEN count(*) = $count::INTEGER THEN 1.000001 * max(cohen_d) END AS cohen_d
    FROM (SELECT difference_nm / sqrt(variances / 2) AS cohen_d
          FROM neighbour WHERE variances > 0 ORDER BY cohen_d LIMIT $count::INTEGER)
),
-- So their means are no further apart than this, and lie in the same step of this width or in the
-- next one; without a bound there is one step.
step AS (
    SELECT cohen_d * sqrt((SELECT max(variance) FROM batch))
           + 0.000000001 * (SELECT max(diameter_mean_nm) FROM batch) AS width_nm
    FROM bound
),
stepped AS MATERIALIZED (
    SELECT place, diameter_mean_nm, variance,
           coalesce(floor(diameter_mean_nm / (SELECT width_nm FROM step)), 0) AS number
    FROM batch WHERE known
),
-- Pairs of which nothing can be said come last, in the order of their places: pairs of as many
-- experiments as are asked for, each of which has one at least.
mute AS (
    SELECT * FROM batch
    WHERE NOT known OR place < (SELECT max(place) FROM batch WHERE NOT known)
          OR (variance = 0 AND place < (SELECT max(place) FROM batch WHERE known AND variance = 0))
    ORDER BY place LIMIT $count::INTEGER
),
pair AS (
    SELECT least(a.place, b.place) AS a_place, greatest(a.place, b.place) AS b_place,
           sign(b.place - a.place) * (b.diameter_mean_nm - a.diameter_mean_nm)
           / sqrt((a.variance + b.variance) / 2) AS cohen_d
    FROM stepped a JOIN (SELECT *, unnest([number, number - 1]) AS met FROM stepped) b
        ON b.met = a.number
    WHERE (b.number > a.number OR b.place > a.place) AND a.variance + b.variance > 0
    UNION ALL
    SELECT a.place, b.place, NULL
    FROM mute a JOIN batch b ON b.place > a.place
    WHERE NOT a.known OR NOT b.known OR (a.variance = 0 AND b.variance = 0)
),
-- The figures of batch_compare, whose view would work all of them out for every pair: here that is
-- done of the closest pairs only.
closest AS MATERIALIZED (
    SELECT a.experiment_id AS a_id, b.experiment_id AS b_id, cohen_d, a_place, b_place
    FROM (FROM pair ORDER BY abs(cohen_d), a_place, b_place LIMIT $count::INTEGER)
    JOIN batch a ON a.place = a_place JOIN batch b ON b.place = b_place
),
share AS MATERIALIZED (
    SELECT experiment_id, shape_group,
           particle_count / sum(particle_count) OVER (PARTITION BY experiment_id) AS share
    FROM group_summary WHERE shape_group > 0
),
-- Materialized: DuckDB would join all shares with all others of their group first.
first_share AS MATERIALIZED (
    SELECT a_id, b_id, shape_group, share FROM closest JOIN share ON experiment_id = a_id
),
common AS (
    SELECT a_id, b_id, sum(least(a.share, b.share)) AS overlap
    FROM first_share a JOIN share b ON experiment_id = b_id AND b.shape_group = a.shape_group
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
