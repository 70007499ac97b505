.DEFAULT_GOAL := help
.PHONY: help up install test lint check crash chaos format bench bench-api lock clean

# The interpreter that makes .venv, 3.11 or newer: make PYTHON=python3.13 up
PYTHON ?= python3
# For test, crash, chaos and bench: make test ARGS="-k lease", make bench ARGS="--rows 20000 --runs 3"
ARGS ?=
BIN := .venv/bin
# Without bytecode every command starts two seconds later: an environment that forbids it is overruled
export PYTHONDONTWRITEBYTECODE :=

help:  ## Say what there is to do
	@echo "Start with: make up"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /	/' | expand -t 12

up: .run  ## Install, start the embedded PostgreSQL, ingest the sample sources, serve the API
	@$(BIN)/kasparro up --playground

install: .dev  ## Install the locked dependencies, development tools included, into .venv

test: .dev  ## Run every test, in parallel workers
	$(BIN)/pytest -n auto $(ARGS)

lint: .dev  ## Format, lint, import contracts, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint test  ## What CI runs: lint, then every test

crash: .dev  ## Every point of the crash matrix: kills, cuts, frozen and full databases
	KASPARRO_CRASH_POINTS=all $(BIN)/pytest -n auto tests/crash $(ARGS)

chaos: .dev  ## Kill 50 workers and 20 databases during one load of 100,000 records
	$(BIN)/python tests/crash/chaos.py $(ARGS)

format: .dev  ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .dev  ## Measure ingest on this machine, beside what PostgreSQL itself can do
	@PYTHONPATH=tools $(BIN)/python -m bench $(if $(PEERS),--peers) $(ARGS)

bench-api: .dev  ## Measure the API on this machine, beside a bare reply and other servers of the same rows
	@PYTHONPATH=tools $(BIN)/python -m bench_api $(if $(PEERS),--peers) $(ARGS)

lock: .dev  ## Renew the hashed locks from pyproject.toml
	$(BIN)/python tools/lock.py

clean:  ## Remove the environment and the caches of this checkout; data stay
	rm -rf .venv .venv-peers .bench_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .run .dev
.run:
	@$(PYTHON) tools/bootstrap.py run
.dev:
	@$(PYTHON) tools/bootstrap.py dev
