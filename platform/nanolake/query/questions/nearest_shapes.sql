-- Particles whose outline is nearest to a given p, d and L_ratio
-- $p FLOAT = 4: curvature of the outline
-- $d INTEGER = 4: number of major axes
-- $L_ratio FLOAT = 0.9: ratio of the axes
-- $count INTEGER = 20: how many
WITH chosen AS (
    -- Which experiments hold the nearest is found from the few columns that decide; the others are
    -- read of these experiments only. A factor of e in p counts as much as 1 in L_ratio.
    SELECT experiment_id, (ln(p) - ln($p::FLOAT)) * (ln(p) - ln($p::FLOAT))
           + (L_ratio - $L_ratio::FLOAT) * (L_ratio - $L_ratio::FLOAT) AS squared
    FROM morphology WHERE d = $d::INTEGER AND p > 0 AND L_ratio IS NOT NULL
    ORDER BY squared, experiment_id LIMIT $count::INTEGER
)
SELECT particle_id, lab, experiment, d, p, L_ratio, jaccard, equivalent_diameter_area_nm,
       sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
FROM morphology
WHERE d = $d::INTEGER AND p > 0 AND L_ratio IS NOT NULL
  AND experiment_id IN (SELECT experiment_id FROM chosen)
ORDER BY distance, particle_id LIMIT $count::INTEGER
