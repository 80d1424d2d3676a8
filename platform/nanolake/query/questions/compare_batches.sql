-- Is this batch the same product as that one? Two experiments, by name
-- $first VARCHAR: name of one experiment
-- $second VARCHAR: name of the other
SELECT lab_a, experiment_a, lab_b, experiment_b, count_a, count_b, mean_a_nm, mean_b_nm,
       difference_nm, difference_low_nm, difference_high_nm, cohen_d, group_overlap
FROM batch_compare
WHERE experiment_a IN ($first::VARCHAR, $second::VARCHAR)
  AND experiment_b IN ($first::VARCHAR, $second::VARCHAR) AND experiment_a <> experiment_b
