-- How many axes the outlines of each lab have, and how long they are
SELECT lab, d, sum(particle_count)::BIGINT AS particles,
       sum(L_ratio_sum) / sum(particle_count) FILTER (L_bin IS NOT NULL) AS L_ratio_mean
FROM outline_histogram GROUP BY lab, d ORDER BY lab, d
