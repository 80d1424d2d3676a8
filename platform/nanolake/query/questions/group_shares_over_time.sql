-- Shares of the shape groups, by the month in which an experiment was first imaged
-- $lab VARCHAR = NULL: name of one lab; NULL: all of them
WITH imaged AS (
    -- Where the microscope wrote no time, when the picture entered the lake.
    SELECT l.experiment_id,
           min(coalesce(m.acquired_at[:7], strftime(m.created_at, '%Y-%m'))) AS month
    FROM micrograph_location l JOIN micrograph m USING (micrograph_id) GROUP BY l.experiment_id
)
SELECT month, shape_group, sum(particle_count)::BIGINT AS particles,
       particles / sum(particles) OVER (PARTITION BY month) AS share
FROM group_summary JOIN imaged USING (experiment_id)
WHERE shape_group > 0 AND ($lab::VARCHAR IS NULL OR lab = $lab::VARCHAR)
GROUP BY month, shape_group ORDER BY month, shape_group
