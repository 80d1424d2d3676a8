"""Fakes and generators for tests, ours and those of whoever extends nanolake."""
