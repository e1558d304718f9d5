# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
# On an accelerator add EXTRAS=cuda13, cuda12 or tpu to the first one; without it JAX runs on the CPU.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?=
BIN    := $(VENV)/bin
RUNS   := $(VENV)/runs$(if $(EXTRAS),-$(EXTRAS))

.PHONY: help demo test test-all check format lint types clean

help:  ## print this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  ##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(RUNS): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".$(if $(EXTRAS),[$(EXTRAS)])"
	@touch $@

# PyTorch, transformers and Beam come with these; the demo does without.
$(VENV)/tests: $(RUNS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

demo: $(RUNS)  ## pretrain a tiny BERT on text that Python carries, fine-tune it on reviews
	$(BIN)/python demo.py

test: $(VENV)/tests  ## run the tests, without the heavy ones
	$(BIN)/python -m pytest -q -m "not heavy" -n auto --maxprocesses 8 --dist loadfile

test-all: $(VENV)/tests  ## run every test
	$(BIN)/python -m pytest -q

format: $(VENV)/tests  ## rewrite the files in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/tests  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/tests  ## check types
	$(BIN)/pyrefly check

check: lint types test  ## everything that CI runs

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache build *.egg-info
