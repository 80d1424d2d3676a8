-- Rods of 40 nm and longer (aspect ratio under 0.6), by lab and synthesis route
-- $min_nm INTEGER = 40: at least this long, largest Feret diameter in whole nm
-- $max_aspect_percent INTEGER = 60: thinner than this, minor over major axis in percent, by fives
SELECT lab, route, sum(particle_count)::BIGINT AS rods,
       sum(length_sum_nm) / sum(particle_count) AS length_mean_nm,
       sum(length_over_width_sum) / sum(particle_count) AS length_over_width_mean
FROM length_histogram
WHERE length_nm >= $min_nm::INTEGER AND aspect_bin < CASE
    WHEN $max_aspect_percent::INTEGER % 5 = 0 THEN $max_aspect_percent::INTEGER // 5
    ELSE error('max_aspect_percent = ' || $max_aspect_percent::INTEGER
               || ' is not a multiple of 5: aspect ratios are counted in classes of 5 percent') END
GROUP BY lab, route ORDER BY rods DESC, lab, route
