-- Particles whose size is furthest from the mean of their experiment, in its standard deviations
-- $count INTEGER = 20: how many
-- $min_particles INTEGER = 100: only in experiments with as many particles as this
WITH chosen AS (
    -- The furthest particle of an experiment is its largest or its smallest: no other experiments
    -- than those with the furthest of all need to be read.
    SELECT experiment_id, diameter_mean_nm, diameter_sd_nm
    FROM ensemble
    WHERE diameter_sd_nm > 0 AND calibrated_count >= $min_particles::INTEGER
    ORDER BY greatest(diameter_max_nm - diameter_mean_nm, diameter_mean_nm - diameter_min_nm)
             / diameter_sd_nm DESC, experiment_id
    LIMIT $count::INTEGER
)
SELECT m.particle_id, m.lab, m.experiment, m.equivalent_diameter_area_nm, c.diameter_mean_nm,
       (m.equivalent_diameter_area_nm - c.diameter_mean_nm) / c.diameter_sd_nm AS deviation_sd
FROM morphology m JOIN chosen c USING (experiment_id)
WHERE m.equivalent_diameter_area_nm IS NOT NULL
ORDER BY abs(deviation_sd) DESC, m.particle_id LIMIT $count::INTEGER
