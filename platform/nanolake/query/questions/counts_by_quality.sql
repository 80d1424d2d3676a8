-- How many particles are how trustworthy: pixel size and outline (jaccard), by lab
-- $min_jaccard FLOAT = 0.9: an outline counts as well fitted from here
WITH counted AS (
    SELECT lab, pixel_size_trust, jaccard >= $min_jaccard::FLOAT AS fitted, count(*) AS particles
    FROM morphology GROUP BY lab, pixel_size_trust, fitted
)
SELECT lab, pixel_size_trust,
       CASE WHEN fitted IS NULL THEN 'not described' WHEN fitted THEN 'well fitted'
            ELSE 'badly fitted' END AS outline, particles
FROM counted ORDER BY lab, pixel_size_trust, outline
