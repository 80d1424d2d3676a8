-- Particles whose size is furthest from the mean of their experiment, in its standard deviations
-- $count INTEGER = 20: how many
-- $min_particles INTEGER = 100: only in experiments with as many particles as this
SELECT m.particle_id, m.lab, m.experiment, m.equivalent_diameter_area_nm, e.diameter_mean_nm,
       (m.equivalent_diameter_area_nm - e.diameter_mean_nm) / e.diameter_sd_nm AS deviation_sd
FROM morphology m JOIN ensemble e USING (experiment_id)
WHERE e.diameter_sd_nm > 0 AND e.calibrated_count >= $min_particles::INTEGER
  AND m.equivalent_diameter_area_nm IS NOT NULL
ORDER BY abs(deviation_sd) DESC, m.particle_id LIMIT $count::INTEGER
