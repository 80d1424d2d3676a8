-- Size and uniformity of every experiment
SELECT lab, experiment, particle_count, diameter_mean_nm, diameter_sd_nm, sigma_over_d,
       diameter_d10_nm, diameter_d50_nm, diameter_d90_nm
FROM ensemble ORDER BY lab, experiment
