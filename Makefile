# Needs Python 3.11 or newer, and make. Every target finds or makes the environment in .venv by itself.
PYTHON ?= python3
OUT ?= runs/demo
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup triton demo test test-slow lint format bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install Hounsfield with its tools

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

triton: .triton/.installed ## the Triton server without a container, in .triton (Linux, x86-64)

.triton/.installed: serving/triton/setup serving/triton/requirements.txt
	PYTHON=$(PYTHON) serving/triton/setup

demo: $(STAMP) ## simulate two centres, train, judge and report, offline (OUT=runs/demo)
	$(BIN)/hounsfield demo --out $(OUT)
	@echo "open $(OUT)/report/index.html in a browser"

# Small networks gain nothing from a second thread, and lose much where worker processes want the core: two files of tests at a time
# gain more. What a file shares among its tests is made once. The slow ones, a minute or more each, share little.
PARALLEL := -n 2 --dist loadfile

test: $(STAMP) ## fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

test-slow: $(STAMP) ## tests that train
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m slow; status=$$?; test $$status -eq 0 -o $$status -eq 5

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src

format: $(STAMP) ## sort imports and format
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## run the scripts in benchmarks/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@for script in $(wildcard benchmarks/*.py); do echo "== $$script"; OMP_WAIT_POLICY=PASSIVE $(BIN)/python $$script || exit 1; done

clean: ## remove caches and build leftovers; .venv, .triton and runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples serving -name __pycache__ -type d -prune -exec rm -rf {} +
