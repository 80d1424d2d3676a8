-- Rods longer than 40 nm (aspect ratio under 0.6), by lab and synthesis route
SELECT lab, route, count(*) AS rods, avg(feret_diameter_max_nm) AS length_mean_nm,
       avg(1 / aspect_ratio) AS length_over_width_mean
FROM morphology
WHERE aspect_ratio < 0.6 AND feret_diameter_max_nm > 40
GROUP BY lab, route ORDER BY rods DESC
