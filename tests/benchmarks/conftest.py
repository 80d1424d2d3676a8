"""Benchmarks are run by `make bench`; no test is collected here."""

collect_ignore_glob = ["*.py"]
