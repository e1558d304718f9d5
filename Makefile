# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
# On an accelerator add EXTRAS=cuda13, cuda12 or tpu to the first one; without it JAX runs on the CPU.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?=
CUDA_WHEELS ?=
BIN    := $(VENV)/bin
RUNS   := $(VENV)/runs$(if $(EXTRAS),-$(EXTRAS))

.PHONY: help demo test test-all check check-gpu docs format lint types clean

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

# Needs no GPU and no driver, but about 2 GB of wheels in a folder of their own, of JAX's version:
#   pip install --target DIR --no-deps jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION
#   pip install --target DIR --no-deps nvidia-{cudnn,cublas,cuda-nvcc,cuda-runtime,cuda-cupti}-cu12 \
#     nvidia-{cufft,cusolver,cusparse,nvjitlink,cuda-nvrtc,nccl}-cu12
# The loader reads LD_LIBRARY_PATH when a process starts, and XLA looks for ptxas in PATH.
check-gpu: $(VENV)/tests  ## compile for GPUs that are absent: make check-gpu CUDA_WHEELS=DIR
	@test -d "$(CUDA_WHEELS)/jax_cuda12_plugin" || { \
	  echo "CUDA_WHEELS='$(CUDA_WHEELS)' has no CUDA wheels of JAX; see the Makefile"; exit 2; }
	JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 PYTHONPATH="$(CUDA_WHEELS)" \
	  LD_LIBRARY_PATH="$$(echo $(CUDA_WHEELS)/nvidia/*/lib | tr ' ' ':')" \
	  PATH="$(CUDA_WHEELS)/nvidia/cuda_nvcc/bin:$$PATH" \
	  XLA_FLAGS="--xla_gpu_cuda_data_dir=$(CUDA_WHEELS)/nvidia/cuda_nvcc --xla_gpu_autotune_level=0" \
	  $(BIN)/python -m pytest -q -m gpu

# Warnings are errors, and nothing is fetched. Notebooks run on the CPU, those of equal code once.
docs: $(VENV)/tests  ## build the documentation site: docs/_build/html/index.html
	rm -rf docs/_build/.jupyter_cache
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/_build/html

format: $(VENV)/tests  ## rewrite the files in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/tests  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/tests  ## check types
	$(BIN)/pyrefly check

check: lint types test docs  ## everything that CI runs

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache build docs/_build *.egg-info
