-- Is one batch the same product as another? The closest pairs of experiments
SELECT experiment_a, experiment_b, mean_a_nm, mean_b_nm, difference_nm, difference_low_nm,
       difference_high_nm, cohen_d, group_overlap
FROM batch_compare ORDER BY abs(cohen_d), experiment_a, experiment_b LIMIT 10
