-- One row an experiment, trust in the pixel size and whole percent of jaccard: how many particles.
-- Class n holds outlines from n / 100 (as float32) up to (n + 1) / 100; NULL: not described.
CREATE OR REPLACE VIEW quality_histogram AS
SELECT
    any_value(lab) AS lab,
    any_value(experiment) AS experiment,
    any_value(route) AS route,
    pixel_size_trust,
    (round(100 * jaccard) - (jaccard < (round(100 * jaccard) / 100)::FLOAT)::INTEGER)::INTEGER
        AS jaccard_percent,
    count(*) AS particle_count,
    experiment_id
FROM morphology
GROUP BY experiment_id, pixel_size_trust, jaccard_percent;
