-- Which shape groups each experiment consists of
SELECT lab, experiment, shape_group, count(*) AS particles,
       count(*) / sum(count(*)) OVER (PARTITION BY experiment_id) AS share,
       avg(equivalent_diameter_area_nm) AS diameter_mean_nm, median(p) AS p_median,
       mode(d) AS d_mode, avg(L_ratio) AS L_ratio_mean
FROM morphology WHERE shape_group IS NOT NULL
GROUP BY lab, experiment, experiment_id, shape_group ORDER BY lab, experiment, particles DESC
