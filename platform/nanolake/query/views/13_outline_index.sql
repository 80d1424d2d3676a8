-- One row a particle whose outline is described: only what finds the nearest to a given outline.
-- Its rows lie sorted by outline_class (see outline_histogram), so that a few classes are read
-- without the others; morphology has the rest of a particle.
CREATE OR REPLACE VIEW outline_index AS
SELECT
    (d * 300 + greatest(-100, least(199, floor(20 * ln(p))))::INTEGER + 100) * 21
        + floor(20 * L_ratio)::INTEGER AS outline_class,
    p,
    L_ratio,
    experiment_id
FROM morphology
WHERE d IS NOT NULL AND p > 0 AND L_ratio IS NOT NULL;
