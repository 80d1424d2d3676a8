-- One row a particle: where it comes from, its features, its shape parameters and its group (see
-- morphology_live). After `nanolake refresh` the rows come ready-made from morphology_row, and only
-- those of experiments in which something has changed since are joined anew; always the same rows.
CREATE OR REPLACE VIEW morphology AS
FROM morphology_live;
