-- How many particles are how trustworthy: pixel size and outline (jaccard), by lab
-- $min_jaccard_percent INTEGER = 90: an outline counts as well fitted from here, whole percent
WITH counted AS (
    SELECT lab, pixel_size_trust, jaccard_percent >= $min_jaccard_percent::INTEGER AS fitted,
           sum(particle_count)::BIGINT AS particles
    FROM quality_histogram GROUP BY lab, pixel_size_trust, fitted
)
SELECT lab, pixel_size_trust,
       CASE WHEN fitted IS NULL THEN 'not described' WHEN fitted THEN 'well fitted'
            ELSE 'badly fitted' END AS outline, particles
FROM counted ORDER BY lab, pixel_size_trust, outline
