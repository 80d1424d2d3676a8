-- Size distribution of each synthesis route, in classes of equal relative width
-- $class_percent INTEGER = 10: width of a class in percent, a whole number
SELECT route, exp(size_bin // $class_percent::INTEGER * $class_percent::INTEGER / 100) AS from_nm,
       exp((size_bin // $class_percent::INTEGER + 1) * $class_percent::INTEGER / 100) AS to_nm,
       sum(particle_count)::BIGINT AS particles,
       particles / sum(particles) OVER (PARTITION BY route) AS share
FROM size_histogram
GROUP BY route, from_nm, to_nm ORDER BY route, from_nm
