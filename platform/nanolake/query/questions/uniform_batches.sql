-- The most uniform experiments: small spread of size, many particles
-- $max_sigma_over_d FLOAT = 0.1: standard deviation over mean diameter, at most
-- $min_particles INTEGER = 100: particles, at least
SELECT lab, experiment, route, particle_count, diameter_mean_nm, sigma_over_d, largest_group
FROM ensemble
WHERE sigma_over_d <= $max_sigma_over_d::FLOAT AND particle_count >= $min_particles::INTEGER
ORDER BY sigma_over_d, lab, experiment
