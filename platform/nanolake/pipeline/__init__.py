"""Each stage from end to end: read, map a pure function on an engine, conform, commit.

The only place where the science (`segment`, `features`, `shape`, `group`, `classify`) meets
storage and engines. One module a stage; `work` holds the loop that mapped stages share, `run` does
all of them.
"""
