"""``python -m nanolake.cli``."""

from nanolake.cli import main

main()
