-- Which shape groups each experiment consists of
SELECT lab, experiment, shape_group, particle_count AS particles,
       particle_count / sum(particle_count) OVER (PARTITION BY experiment_id) AS share,
       diameter_mean_nm, p_median, d_mode, L_ratio_mean
FROM group_summary WHERE shape_group IS NOT NULL
ORDER BY lab, experiment, particles DESC, shape_group
