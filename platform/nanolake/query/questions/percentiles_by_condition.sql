-- Approximate d10, d50 and d90 (within 0.5 %) against each numeric synthesis condition
-- $condition VARCHAR = NULL: name of one condition; NULL: all of them
WITH class AS (
    SELECT c.name, c.value_number, c.unit, h.size_bin, sum(h.particle_count) AS particles
    FROM size_histogram h JOIN experiment_condition_current c USING (experiment_id)
    WHERE c.value_number IS NOT NULL
      AND ($condition::VARCHAR IS NULL OR c.name = $condition::VARCHAR)
    GROUP BY ALL
),
below AS (
    SELECT *, sum(particles) OVER (
        PARTITION BY name, value_number, unit ORDER BY size_bin) AS reached,
        sum(particles) OVER (PARTITION BY name, value_number, unit) AS total
    FROM class
)
-- The middle of the class in which the percentile lies.
SELECT name AS condition, value_number AS value, unit, any_value(total)::BIGINT AS particles,
       exp((min(size_bin) FILTER (reached >= 0.1 * total) + 0.5) / 100) AS approximate_d10_nm,
       exp((min(size_bin) FILTER (reached >= 0.5 * total) + 0.5) / 100) AS approximate_d50_nm,
       exp((min(size_bin) FILTER (reached >= 0.9 * total) + 0.5) / 100) AS approximate_d90_nm
FROM below GROUP BY name, value_number, unit ORDER BY name, value_number
