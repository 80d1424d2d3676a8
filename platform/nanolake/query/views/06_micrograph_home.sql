-- Where a micrograph belongs: the first place it was found in. Others are in micrograph_location;
-- counting a picture once an experiment would count its particles twice.
CREATE OR REPLACE VIEW micrograph_home AS
SELECT DISTINCT ON (micrograph_id) micrograph_id, experiment_id, path, host
FROM micrograph_location ORDER BY micrograph_id, created_at, path;
