.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLOOR := .floor
# Use Node.js, npm and the CDK CLI of this project, even if others are installed.
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
# Some machines set this, which would recompile every module in every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install test soak test-floor test-pythons test-slow test-unit check bench docs docs-check release deploy-local verify-account pins clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## install everything that the other commands need: Python packages, Node.js, the CDK CLI

$(VENV)/.installed: requirements.txt pyproject.toml package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit("got Python " + sys.version.split()[0] + " ($(PYTHON)), expected 3.11 or newer: choose another with make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "installing Python packages into $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "installing the CDK CLI into node_modules"
	@npm ci --loglevel=error --no-fund --no-audit
	@touch $@

deploy-local: install ## deploy app.py to an AWS on this machine and show the segments; ARGS=--verbose shows the CDK CLI
	@personalize-local run -- tools/deploy-local $(ARGS)

verify-account: install ## test how Personalize behaves in your account: SOLUTION_VERSION_ARN=… (jobs are billed)
	@PYTHONPATH=tools python -m verify_account "$$SOLUTION_VERSION_ARN" $${QUERY:+--query="$$QUERY"} $(ARGS)

test: install test-floor test-pythons ## run all tests: unit tests, and deployments by the real CDK CLI to the local AWS
	@pytest

test-floor: $(FLOOR)/.installed ## run the constructs' tests with the oldest supported aws-cdk-lib
	@# cdk-nag 3 requires aws-cdk-lib 2.257. Snapshots and jsii call counts are those of the newest version.
	@PYTHONPATH=$(FLOOR) pytest tests/unit/constructs --deselect tests/unit/constructs/test_snapshots.py \
		--ignore tests/unit/constructs/test_nag.py --ignore tests/unit/constructs/test_synth_cost.py

test-pythons: install ## run unit tests on the other installed Pythons, and the handler's on Python 3.14 as in Lambda
	@python tools/test_pythons.py

$(FLOOR)/.installed: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --upgrade --target $(FLOOR) \
		"aws-cdk-lib==$$(sed -n 's/^dependencies = \["aws-cdk-lib>=\([0-9.]*\).*/\1/p' pyproject.toml)"
	@touch $@

test-slow: install ## run the slow deployment tests: other undocumented behavior, and verify-account (some minutes)
	@pytest -m slow --timeout 900

soak: install ## run 200 random steps of deployments and faults; SOAK_SEED=… repeats a run
	@seed=$${SOAK_SEED:-$$RANDOM}; echo "SOAK_SEED=$$seed"; SOAK_SEED=$$seed pytest -m soak --timeout 900

test-unit: install ## run only the unit tests
	@pytest tests/unit

check: install ## run ruff, mypy --strict, import-linter, cdk-nag, cfn-lint, parliament and the layout check
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports --no-cache --no-logo
	@tools/check-layout
	@python tools/check_security.py

docs: install ## build the documentation in docs/_build/html
	@# -E: an incremental build loses entries of the search index.
	@sphinx-build -q -E -W --keep-going -n -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-check: docs ## check pages with axe-core, and the search, in Chromium (some minutes)
	@node tools/check-docs.mjs docs/_build/html

bench: $(VENV)/.bench ## measure speed, memory and size, as ratios from one run
	@python benchmarks/run.py

$(VENV)/.bench: $(VENV)/.installed benchmarks/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	@touch $@

release: $(VENV)/.release ## build the wheel and the source distribution in dist, and check them; publish nothing
	@rm -rf dist
	@python -m hatchling build --target wheel --target sdist --directory dist
	@twine check --strict dist/*
	@python tools/check_release.py dist

$(VENV)/.release: $(VENV)/.installed tools/release-requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/release-requirements.txt
	@touch $@

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make pins"

pins: ## recompile the requirements files from pyproject.toml (needs uv)
	@$(COMPILE) --extra local --group dev -o requirements.txt pyproject.toml
	@$(COMPILE) --extra local --group test --constraints requirements.txt -o tests/requirements.txt pyproject.toml
	@$(COMPILE) --group release --constraints requirements.txt -o tools/release-requirements.txt
	@$(COMPILE) --group bench -o benchmarks/requirements.txt

clean: ## remove all generated files
	rm -rf $(VENV) $(FLOOR) .pythons node_modules docs/_build cdk.out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
