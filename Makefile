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

.PHONY: help setup demo test test-slow lint format docs bench lock clean

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
