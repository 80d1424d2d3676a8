-- Size and shape of the particles of one experiment, picture by picture
-- $experiment VARCHAR: its name
SELECT path, count(*) AS particles, avg(equivalent_diameter_area_nm) AS diameter_mean_nm,
       stddev_samp(equivalent_diameter_area_nm) AS diameter_sd_nm,
       avg(aspect_ratio) AS aspect_ratio_mean, median(p) AS p_median
FROM morphology WHERE experiment = $experiment::VARCHAR GROUP BY path ORDER BY path
