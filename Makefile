# Depthgauge. `make` lists what can be made. All it needs is python3 (3.11 or newer) and make.
PYTHON ?= python3
ARGS ?=
# Processes that share the tests between them (ARGS=-n0: none, for --pdb and the like).
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK_TOOLS := .cache/lock
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(LOCK_TOOLS)/bin/pip-compile --quiet --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(ARGS)

.NOTPARALLEL:
.PHONY: help install demo test checks unit lint types parts lock format bench clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.demo  ## Put the depthgauge command and all that the demo needs into .venv

demo: $(VENV)/.demo  ## Run everything on this machine, embedded, until Ctrl-C (ARGS=--check: once, then exit)
	@$(BIN)/depthgauge demo $(ARGS)

test:  ## Get all parts that can be had here, then run every check and every test (ARGS go to pytest)
	@.ci/step "packages" env PYTHON="$(PYTHON)" .ci/parts packages
	@.ci/beside "$(MAKE) --no-print-directory checks" ".ci/step parts env PYTHON='$(PYTHON)' .ci/parts others"
	@.ci/step "tests" $(BIN)/pytest -n $(JOBS) $(ARGS)

checks:  ## Run every check but the tests
	@.ci/step "environment" $(MAKE) --no-print-directory $(VENV)/.test
	@.ci/step "lint" $(MAKE) --no-print-directory lint
	@.ci/step "types" $(MAKE) --no-print-directory types

unit: $(VENV)/.test  ## Run the quick tests only
	@$(BIN)/pytest -n $(JOBS) tests/unit tests/contract $(ARGS)

lint: $(VENV)/.test  ## Check style, format and the floors of the house
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/.test  ## Check types, of the tests too
	@$(BIN)/mypy

format: $(VENV)/.test  ## Lay out the code and mend what can be mended
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

parts:  ## Get the real parts of the tests that pip cannot bring (Debian, as root)
	@env PYTHON="$(PYTHON)" .ci/parts

bench: $(VENV)/.test  ## Measure the costs beside the peers that are installed (ARGS=--processes=5000 …)
	@$(BIN)/python -m benchmarks.main $(ARGS)

lock: $(LOCK_TOOLS)/.made  ## Choose exact versions anew where pyproject.toml asks for it (ARGS=--upgrade: all of them)
	@$(COMPILE) --extra demo --extra test --output-file requirements/test.txt pyproject.toml requirements/also.in
	@$(COMPILE) --extra demo -c requirements/test.txt --output-file requirements/demo.txt pyproject.toml requirements/also.in
	@$(COMPILE) -c requirements/test.txt --output-file requirements/runtime.txt pyproject.toml requirements/also.in
	@$(COMPILE) --output-file requirements/systems.txt requirements/systems.in
	@$(COMPILE) --output-file requirements/systems-redis5.txt requirements/systems-redis5.in

clean:  ## Delete what was made here (Debian 13 for the tests stays in ~/.cache/depthgauge)
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A virtual environment that was moved, or whose Python has gone, is made anew.
$(shell $(BIN)/python -m pip --version >/dev/null 2>&1 || rm -f $(VENV)/.made $(VENV)/.demo $(VENV)/.test)

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not here; name a Python by make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $$($(PYTHON) --version) is too old: Depthgauge needs Python 3.11 or newer (make PYTHON=python3.12 …)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/.made
	@echo "installing what the demo needs"
	@$(PIP) install -r requirements/demo.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(VENV)/.made
	@echo "installing what the tests need"
	@$(PIP) install -r requirements/test.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $(VENV)/.demo $@

$(LOCK_TOOLS)/.made: | $(VENV)/.made
	@$(PYTHON) -m venv --clear $(LOCK_TOOLS)
	@$(LOCK_TOOLS)/bin/python -m pip --disable-pip-version-check --quiet install "pip-tools>=7.5,<8"
	@touch $@
