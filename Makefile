# Every target makes .venv and installs by itself; only a changed setup.cfg or pyproject.toml installs again.
PYTHON ?= python3
BIN := .venv/bin
# One thread a test process: two processes with two threads each are slower than two with one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test test-slow test-hf style quality bench bench-autogluon

demo: .venv/installed
	$(BIN)/duosent demo

test: .venv/installed
	$(PYTEST) -n 2

test-slow: .venv/installed
	$(PYTEST) -m slow

test-hf: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/hf_common/run.py

style: .venv/installed-quality
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quality: .venv/installed-quality
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

bench: .venv/installed
	$(BIN)/python -m benchmarks $(PARTS) $(OPTIONS)

# AutoGluon pins other versions of torch and transformers: it has an environment of its own.
bench-autogluon: .venv/installed out/autogluon/installed
	$(BIN)/python -m benchmarks autogluon --autogluon-python out/autogluon/bin/python $(OPTIONS)

.venv/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

out/autogluon/installed:
	test -x out/autogluon/bin/python || $(PYTHON) -m venv out/autogluon
	out/autogluon/bin/python -m pip install --quiet "autogluon.multimodal>=1.6,<1.7"
	touch $@

.venv/installed-quality: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[quality]"
	touch $@
