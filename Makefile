# relayd: everything a developer types. Each target sets up what it needs in .venv; a second run starts at once.
#
#   make demo      relayd with a simulated exchange on http://127.0.0.1:8080/   (PORT=, ADMIN_PORT=)
#   make test      all tests
#   make check     ruff, mypy and the tests of core/ and config/: under a minute
#   make lint      ruff and mypy
#   make cover     line and branch coverage; core/ and config/ must be complete by their own tests
#   make e2e       relayd from its wheel, with real clients
#   make dist      sdist and wheel in dist/
#   make clean     removes all that was made

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell \
	$(p) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV ?= .venv
PORT ?= 8080
ADMIN_PORT ?= 8081

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check lint cover e2e dist clean

help:
	@sed -n 's/^#   make/make/p' $(MAKEFILE_LIST)

# Everything of setup.cfg, with relayd itself as the tree stands. (twistd does not find the plugin of an editable install
# that works by an import hook, so the plain path file is asked for.)
$(READY): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "relayd needs Python 3.11 or newer with venv (on Debian: apt-get install python3-venv);" \
		"name it as in: make PYTHON=/usr/bin/python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) -V) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat -e '.[test]'
	@touch $@

demo: $(READY)
	@$(BIN)/relayd demo --port $(PORT) --admin-port $(ADMIN_PORT)

test: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile $(ARGS)

check: lint
	$(PYTEST) -n $(WORKERS) tests/core tests/config tests/test_architecture.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/mypy

cover: $(READY)
	$(PYTEST) -n $(WORKERS) --dist loadfile --cov --cov-context=test --cov-report= $(ARGS)
	$(BIN)/python -m tests.support.own_coverage
	$(BIN)/coverage report --fail-under=90

e2e: $(READY)
	$(PYTEST) tests/e2e $(ARGS)

dist: $(READY)
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv .venv-* build dist artifacts node_modules clients/javascript/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f .coverage .coverage.*

-include bench/targets.mk
-include clients/javascript/targets.mk
-include examples/targets.mk
-include tests/targets.mk
