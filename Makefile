# ModeKeeper: `make quickstart` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
OUT ?= report/quickstart
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGE := packages/modekeeper

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-heavy test-cluster cluster-tools lint guard bench schemas docs docs-check constraints clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.quickstart: requirements/quickstart.txt $(PACKAGE)/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ERROR: Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/quickstart.txt
	$(PIP) install --no-deps --no-build-isolation -e $(PACKAGE)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.quickstart
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e packages/license-gate
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(PIP) install --require-hashes -r requirements/bench.txt
	@touch $@

quickstart: $(VENV)/.quickstart ## install, and run the main job on a bundled real trace
	$(BIN)/mk quickstart --out $(OUT)

test: $(VENV)/.dev ## install, and run the tests
	$(BIN)/python -m pytest -n 2 tests

test-heavy: $(VENV)/.bench ## long fuzzing, kill and soak runs at their full counts
	MODEKEEPER_TEST_HEAVY=1 $(BIN)/python -m pytest -n 2 -m heavy tests

cluster-tools: ## find or build the programs of a real Kubernetes, and kwok (needs Go; the first build takes long)
	@tests/cluster/tools/build.sh
	@tests/cluster/tools/build.sh kwok

test-cluster: $(VENV)/.dev ## the tests against a real Kubernetes, started for them; a node needs root
	$(BIN)/python -m pytest tests/cluster

lint: $(VENV)/.dev guard ## formatting, lint rules, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=packages/modekeeper-pro/src $(BIN)/lint-imports

guard: $(VENV)/.dev ## build the public wheel, and fail where it holds a writer or anything of the paid package
	$(BIN)/python -m tests.house.guard

bench: $(VENV)/.bench ## ratios against named peers, printed as tables
	$(BIN)/python benchmarks/run_all.py

schemas: $(VENV)/.dev ## write the published JSON Schemas from the artifact types
	$(BIN)/python -m modekeeper.reports.published_schemas

docs: $(VENV)/.dev ## write the generated parts of the documentation
	$(BIN)/python docs/generate.py

docs-check: $(VENV)/.dev ## fail when a generated part of the documentation is stale
	$(BIN)/python docs/generate.py --check

constraints: ## pin the dependencies again: names, versions and hashes
	@for name in dev quickstart bench; do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --no-emit-package modekeeper --no-emit-package modekeeper-license-gate --upgrade --quiet \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; done

clean: ## remove what was built here
	rm -rf $(VENV) report dist build .mypy_cache .ruff_cache .pytest_cache
