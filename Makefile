# Two commands matter: `make demo` shows what fraudlog does, `make test` checks that it does it.
# Each sets up what it needs in .venv, on a machine with nothing but Python 3.11+ and make.

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python3.14 python; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT ?= out
SAMPLE := data/sample/access.log.gz

.DEFAULT_GOAL := help
.PHONY: help demo servers test test-all fuzz lint types format bench notebook docs requirements clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/core.stamp ## Score the real sample log and leave a report in out/
	@$(BIN)/fraudlog score $(SAMPLE) --out $(OUT)

# scikit-learn leaves out one of its estimator checks without SCIPY_ARRAY_API.
test: $(VENV)/test.stamp servers lint types ## Run lint, types and all tests but the slow ones
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/test.stamp servers lint types ## The same with the slow tests
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -n 2

servers: ## Name (in CI: install) the server programs that tests drive
	@sh tools/servers.sh

lint: $(VENV)/test.stamp ## Check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/test.stamp ## Check types
	$(BIN)/mypy

format: $(VENV)/test.stamp ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

FUZZ_SECONDS ?= 600
FUZZ_FORMATS ?= auto $(basename $(notdir $(wildcard tests/corpus/reading/*.jsonl)))

fuzz: $(VENV)/test.stamp ## Fuzz every log format, FUZZ_SECONDS each
	@$(PIP) install atheris
	@for format in $(FUZZ_FORMATS); do \
		$(BIN)/python tests/fuzz/seeds.py $$format out/fuzz/$$format && \
		$(BIN)/python tests/fuzz/reading.py $$format -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=4096 \
			-artifact_prefix=out/fuzz/ -print_final_stats=1 out/fuzz/$$format || exit 1; \
	done

notebook: $(VENV)/test.stamp ## Write the notebooks from their paired text, with output
	$(BIN)/python notebooks/execute.py

requirements: $(VENV)/core.stamp ## Pin the newest versions that pyproject.toml allows
	$(BIN)/python requirements/pin.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "fraudlog needs Python 3.11 or later with venv (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: $(VENV)/bin/python requirements/core.txt pyproject.toml
	@echo "installing what requirements/core.txt pins"
	@$(PIP) install -r requirements/core.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/core.stamp requirements/test.txt
	@echo "installing what requirements/test.txt pins"
	@$(PIP) install -r requirements/test.txt
	@touch $@
