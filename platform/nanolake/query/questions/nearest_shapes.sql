-- Particles whose outline is nearest to a given p, d and L_ratio
-- $p FLOAT = 4: curvature of the outline
-- $d INTEGER = 4: number of major axes
-- $L_ratio FLOAT = 0.9: ratio of the axes
-- $count INTEGER = 20: how many
-- A factor of e in p counts as much as 1 in L_ratio. Which classes of outline can hold the nearest
-- is found from outline_histogram, which particles from these classes in outline_index; their other
-- columns are read of their experiments only. Whatever rounding may do is far below a millionth.
WITH class AS MATERIALIZED (
    SELECT outline_class, sum(particle_count) AS held,
           greatest(0, CASE WHEN p_bin > -100 THEN p_bin / 20 - ln($p::FLOAT) END,
                    CASE WHEN p_bin < 199 THEN ln($p::FLOAT) - (p_bin + 1) / 20 END) AS p_least,
           greatest(0, L_bin / 20 - $L_ratio::FLOAT, $L_ratio::FLOAT - (L_bin + 1) / 20) AS L_least,
           (ln($p::FLOAT) - (p_bin + 0.5) / 20) ** 2 + ($L_ratio::FLOAT - (L_bin + 0.5) / 20) ** 2
               AS middle
    FROM outline_histogram WHERE d = $d::INTEGER AND outline_class IS NOT NULL
    GROUP BY outline_class, p_bin, L_bin
),
-- Near classes that hold as many as are asked for: the furthest of the nearest among some of their
-- particles is as far as the last that is wanted, or further. No other is looked for beyond.
first AS MATERIALIZED (
    SELECT outline_class FROM (
        SELECT outline_class, held, sum(held) OVER (ORDER BY middle, outline_class) AS reached
        FROM class)
    WHERE reached - held < $count::INTEGER
),
few AS (
    SELECT p, L_ratio FROM outline_index
    WHERE outline_class IN (SELECT outline_class FROM first)
    LIMIT (SELECT 50000 + $count::INTEGER)
),
reach AS MATERIALIZED (
    SELECT 1.000001 * sqrt(max(squared)) + 0.000001 AS reach FROM (
        SELECT (ln(p) - ln($p::FLOAT)) * (ln(p) - ln($p::FLOAT))
               + (L_ratio - $L_ratio::FLOAT)::DOUBLE * (L_ratio - $L_ratio::FLOAT) AS squared
        FROM few ORDER BY squared LIMIT $count::INTEGER)
),
wanted AS MATERIALIZED (
    SELECT outline_class, reach * reach AS furthest FROM class, reach
    WHERE sqrt(p_least * p_least + L_least * L_least) <= reach
),
near AS MATERIALIZED (
    SELECT experiment_id, p, L_ratio, (ln(p) - ln($p::FLOAT)) * (ln(p) - ln($p::FLOAT))
           + (L_ratio - $L_ratio::FLOAT)::DOUBLE * (L_ratio - $L_ratio::FLOAT) AS squared
    FROM outline_index JOIN wanted USING (outline_class) WHERE squared <= furthest
),
last AS (
    SELECT 1.000001 * max(squared) AS squared
    FROM (SELECT squared FROM near ORDER BY squared LIMIT $count::INTEGER)
),
-- All that are as near as the last one: which of them are told is said by their names. Out of a
-- list DuckDB expects few rows; else it might read morphology first.
chosen AS MATERIALIZED (
    SELECT unnest(list(DISTINCT {experiment_id: experiment_id, p: p, L_ratio: L_ratio}),
                  max_depth := 2)
    FROM near WHERE squared <= (SELECT squared FROM last)
)
SELECT particle_id, lab, experiment, d, p, L_ratio, jaccard, equivalent_diameter_area_nm,
       sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
FROM morphology JOIN chosen USING (experiment_id, p, L_ratio)
WHERE d = $d::INTEGER
ORDER BY distance, particle_id LIMIT $count::INTEGER
