-- Rods longer than 40 nm (aspect ratio under 0.6), by lab and synthesis route
-- $min_nm FLOAT = 40: longer than this, largest Feret diameter in nm
-- $max_aspect_ratio FLOAT = 0.6: thinner than this, minor over major axis
SELECT lab, route, count(*) AS rods, avg(feret_diameter_max_nm) AS length_mean_nm,
       avg(1 / aspect_ratio) AS length_over_width_mean
FROM morphology
WHERE aspect_ratio < $max_aspect_ratio::FLOAT AND feret_diameter_max_nm > $min_nm::FLOAT
GROUP BY lab, route ORDER BY rods DESC
