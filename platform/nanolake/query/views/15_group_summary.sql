-- One row an experiment and shape group: how many particles, how large, which shape (see
-- group_summary_live). After `nanolake refresh` the rows come ready-made from group_summary_row.
CREATE OR REPLACE VIEW group_summary AS
FROM group_summary_live;
