-- How many axes the outlines of each lab have, and how long they are
SELECT lab, d, count(*) AS particles, avg(L_ratio) AS L_ratio_mean
FROM morphology WHERE d IS NOT NULL GROUP BY lab, d ORDER BY lab, d
