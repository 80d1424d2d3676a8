-- Particles whose outline is nearest to a given p, d and L_ratio
-- $p FLOAT = 4: curvature of the outline
-- $d INTEGER = 4: number of major axes
-- $L_ratio FLOAT = 0.9: ratio of the axes
-- $count INTEGER = 20: how many
-- A factor of e in p counts as much as 1 in L_ratio. Which classes of outline can hold the nearest
-- is found from outline_histogram, which experiments from the particles of these classes in
-- outline_index; all columns are read of these experiments only.
WITH class AS MATERIALIZED (
    SELECT outline_class, sum(particle_count) AS held,
           greatest(0, CASE WHEN p_bin > -100 THEN p_bin / 20 - ln($p::FLOAT) END,
                    CASE WHEN p_bin < 199 THEN ln($p::FLOAT) - (p_bin + 1) / 20 END) AS p_least,
           greatest(0, L_bin / 20 - $L_ratio::FLOAT, $L_ratio::FLOAT - (L_bin + 1) / 20) AS L_least,
           abs(ln($p::FLOAT) - (p_bin + 0.5) / 20) + 0.025 AS p_most,
           abs($L_ratio::FLOAT - (L_bin + 0.5) / 20) + 0.025 AS L_most
    FROM outline_histogram WHERE d = $d::INTEGER AND outline_class IS NOT NULL
    GROUP BY outline_class, p_bin, L_bin
),
-- Classes that hold as many as are asked for, near ones first. The furthest of the nearest in them
-- is no nearer than the last of all that are wanted: other classes matter up to there, and a little
-- further for what rounding may do at their borders.
first AS MATERIALIZED (
    SELECT outline_class FROM (
        SELECT outline_class, held, sum(held) OVER (
            ORDER BY p_most ** 2 + L_most ** 2, outline_class) AS reached FROM class)
    WHERE reached - held < $count::INTEGER
),
reach AS MATERIALIZED (
    SELECT 1.000001 * max(distance) + 0.000001 AS reach FROM (
        SELECT sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
        FROM outline_index WHERE outline_class IN (SELECT outline_class FROM first)
        ORDER BY distance LIMIT $count::INTEGER)
),
near AS MATERIALIZED (
    SELECT experiment_id, p, L_ratio,
           sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
    FROM outline_index
    WHERE outline_class IN (
            SELECT outline_class FROM class, reach
            WHERE sqrt(p_least ** 2 + L_least ** 2) <= reach)
        AND distance <= (SELECT reach FROM reach)
),
-- All that are as near as the last one: which of them are told is said by their names.
chosen AS MATERIALIZED (
    SELECT DISTINCT experiment_id, p, L_ratio FROM near WHERE distance <= (
        SELECT max(distance) FROM (SELECT distance FROM near
                                   ORDER BY distance LIMIT $count::INTEGER))
)
SELECT particle_id, lab, experiment, d, p, L_ratio, jaccard, equivalent_diameter_area_nm,
       sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
FROM morphology JOIN chosen USING (experiment_id, p, L_ratio)
WHERE d = $d::INTEGER
ORDER BY distance, particle_id LIMIT $count::INTEGER
