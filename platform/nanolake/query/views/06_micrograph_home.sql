-- Where a micrograph belongs: the first place it was found in, under the experiment that was last
-- given for that place. Others are in micrograph_location; counting a picture once an experiment
-- would count its particles twice.
CREATE OR REPLACE VIEW micrograph_home AS
WITH place AS (
    SELECT micrograph_id, host, path, min(created_at) AS first_seen_at,
           arg_max(experiment_id, created_at) AS experiment_id
    FROM micrograph_location GROUP BY micrograph_id, host, path
)
SELECT DISTINCT ON (micrograph_id) micrograph_id, experiment_id, path, host
FROM place ORDER BY micrograph_id, first_seen_at, path, host;
