# Every target sets up what it needs: `make bench` and `make test` each work as the first command on a machine with
# Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

SUITE ?= quick
NAME ?= $(shell date +%Y%m%d-%H%M%S)
MODEL ?= realesrgan-x4plus
BASE ?= origin/main
ARGS ?=

.PHONY: help setup bench report export test test-slow check format benchmark bench-ci study schema clean

help:
	@echo "make bench      measure every runtime on this machine and write a report (SUITE=quick|full|gpu, ARGS=...)"
	@echo "make report     render the newest run in results/ again"
	@echo "make export     write MODEL=$(MODEL) as ONNX, NCNN and TorchScript into artifacts/"
	@echo "make test       run the tests"
	@echo "make test-slow  run those that wait for a compiler or a software device"
	@echo "make check      ruff, mypy, import-linter, generated files"
	@echo "make bench-ci   measure this tree against BASE=$(BASE) in turns; fails where it is slower"
	@echo "make study      check verdicts and intervals on made-up machines: the tables of docs/measurement.md"
	@echo "make benchmark  measure esrbench's own cost (pytest-benchmark)"
	@echo "make setup      create $(VENV) with every runtime that PyPI has for this machine"
	@echo "make clean      remove what was made: environment, reports, artifacts, caches; results/ stays"

setup: $(VENV)/.runtimes

# torch first and by itself: pulled in by another package, it might not be the pinned one.
$(VENV)/.runtimes: pyproject.toml constraints.txt
	@echo "installing torch, onnxruntime, ncnn, openvino and the weights into $(VENV): one to three minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.development: $(VENV)/.runtimes
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

bench: $(VENV)/.runtimes
	$(BIN)/esrbench bench --suite $(SUITE) --out results/$(NAME) $(ARGS)

report: $(VENV)/.runtimes
	$(BIN)/esrbench report $(dir $(firstword $(shell ls -t results/*/run.json 2>/dev/null))) $(ARGS)

export: $(VENV)/.runtimes
	$(BIN)/esrbench export $(MODEL) --format onnx --format ncnn --format torchscript --out artifacts $(ARGS)

test: $(VENV)/.development
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" $(ARGS)

test-slow: $(VENV)/.development
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow $(ARGS)

check: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-ci: $(VENV)/.development
	$(BIN)/python tests/benchmarks/bench_ci.py --base $(BASE) $(ARGS)

$(VENV)/.comparison: $(VENV)/.development
	$(PIP) install -q -c constraints.txt -e '.[compare]'
	@touch $@

benchmark: $(VENV)/.comparison
	$(BIN)/python -m pytest tests/benchmarks $(ARGS)

study: $(VENV)/.development
	$(BIN)/python tests/benchmarks/measurement_study.py $(ARGS)

schema: $(VENV)/.development
	$(BIN)/python docs/schema/generate.py

clean:
	rm -rf $(VENV) reports artifacts build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
