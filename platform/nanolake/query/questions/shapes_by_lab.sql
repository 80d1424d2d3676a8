-- How many axes the outlines of each lab have, and how round and how long they are
SELECT lab, d, count(*) AS particles, exp(avg(ln(p))) AS p_geometric_mean,
       avg(L_ratio) AS L_ratio_mean, avg(solidity) AS solidity_mean
FROM morphology WHERE d IS NOT NULL AND p > 0 GROUP BY lab, d ORDER BY lab, d
