-- One row an experiment and class of size, 1 % wide (see size_histogram_live): percentiles over any
-- set of experiments are approximate, by 0.5 % at most, where the middle of a class is taken.
-- After `nanolake refresh` the rows come ready-made from size_histogram_row.
CREATE OR REPLACE VIEW size_histogram AS
FROM size_histogram_live;
