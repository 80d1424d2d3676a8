-- What could not be read or measured and has not been put right since, and why
SELECT stage, reason, path, message, failed_at FROM failure_current ORDER BY failed_at DESC, path
