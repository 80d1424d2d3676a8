-- How many particles are how trustworthy: pixel size and outline (jaccard), by lab
-- $min_jaccard FLOAT = 0.9: an outline counts as well fitted from here
SELECT lab, pixel_size_trust,
       CASE WHEN jaccard IS NULL THEN 'not described'
            WHEN jaccard >= $min_jaccard::FLOAT THEN 'well fitted' ELSE 'badly fitted' END AS outline,
       count(*) AS particles, count(equivalent_diameter_area_nm) AS calibrated
FROM morphology GROUP BY lab, pixel_size_trust, outline ORDER BY lab, pixel_size_trust, outline
