-- One row an experiment: how many particles, how large, how uniform, which shapes (see
-- ensemble_live). After `nanolake refresh` the rows come ready-made from ensemble_row.
CREATE OR REPLACE VIEW ensemble AS
FROM ensemble_live;
