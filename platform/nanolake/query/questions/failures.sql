-- What could not be read or measured, and why
SELECT stage, reason, path, message, failed_at FROM failure ORDER BY failed_at DESC, path
