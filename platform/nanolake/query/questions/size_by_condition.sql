-- Mean size against each numeric synthesis condition
SELECT c.name AS condition, c.value_number AS value, c.unit, count(*) AS experiments,
       sum(e.particle_count) AS particles, avg(e.diameter_mean_nm) AS diameter_mean_nm
FROM ensemble e JOIN experiment_condition_current c USING (experiment_id)
WHERE c.value_number IS NOT NULL
GROUP BY c.name, c.value_number, c.unit ORDER BY c.name, c.value_number
