# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: help demo test test-all check format lint types clean

help:  ## print this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  ##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

demo: $(VENV)/installed  ## pretrain a tiny BERT on text that Python carries, and fill a few masks
	$(BIN)/python demo.py

test: $(VENV)/installed  ## run the tests, without the heavy ones
	$(BIN)/python -m pytest -q -m "not heavy"

test-all: $(VENV)/installed  ## run every test
	$(BIN)/python -m pytest -q

format: $(VENV)/installed  ## rewrite the files in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/installed  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed  ## check types
	$(BIN)/pyrefly check

check: lint types test  ## everything that CI runs

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
