# Two commands matter: `make run` and `make test`. Each is enough on a fresh machine.

CAN_VENV := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c '$(CAN_VENV)' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=
TESTS ?= tests
# Files of tests that run at once: most of them wait for servers.
WORKERS ?= 4
# Where tests write: in memory where that is roomy, because they sync thousands of small files.
ROOMY_KIB := 8000000
SHM_KIB := $(shell df --output=avail /dev/shm 2>/dev/null | tail -1)
TEST_FILES ?= $(shell [ "$(SHM_KIB)" -gt $(ROOMY_KIB) ] 2>/dev/null && echo /dev/shm || echo /tmp)
# Of the points at which the crash tests kill a server, `make test` takes every n-th; of the 200
# kills at random moments, an n-th.
CRASH_STRIDE ?= 40
# Of the faults that the network tests put on a line, `make test` takes an n-th.
NETWORK_STRIDE ?= 24

# Requests that `make fuzz` sends at least.
FUZZ ?= 5000
FUZZ_S ?= 600

.PHONY: help run demo test lint format fuzz fuzz-dimse crash-nightly network-nightly bench wheel clean

help:
	@echo "make run            start a server (CONFIG=file.json to configure it)"
	@echo "make demo           watch a study travel between two servers"
	@echo "make test           lint, type check, import contract, tests (TESTS=tests/unit for a part)"
	@echo "make lint           the first three of them"
	@echo "make format         let ruff rewrite what it can"
	@echo "make fuzz           send thousands of strange requests to a server (FUZZ=number)"
	@echo "make fuzz-dimse     strange bytes for all that reads DICOM associations (ten minutes)"
	@echo "make crash-nightly  kill a server at every durable call, and 200 times at random (over an hour)"
	@echo "make network-nightly  put every fault on the lines between two servers (five minutes)"
	@echo "make bench          measure, beside Debian's Orthanc when it is installed"
	@echo "make wheel          build dist/*.whl"

run: $(VENV)/.run
	@$(BIN)/wherry serve $(CONFIG)

demo: $(VENV)/.run
	@$(BIN)/wherry demo

# Compiled modules are kept, whatever the environment says: servers start a thousand times.
test: lint
	@echo "--- tests"
	@command -v Orthanc >/dev/null || [ -x /usr/sbin/Orthanc ] || \
		echo "without Orthanc (apt install orthanc): comparisons with it are skipped"
	@command -v storescu >/dev/null || \
		echo "without DCMTK (apt install dcmtk): tests with its tools are skipped"
	@ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || \
		echo "without PostgreSQL (apt install postgresql): the index is tested on SQLite only"
	@command -v npm >/dev/null || \
		echo "without npm (apt install npm): Azure is not tested"
	@command -v cc >/dev/null || \
		echo "without a C compiler (apt install gcc libc6-dev): the crash tests are skipped"
	@echo "crash tests: every $(CRASH_STRIDE)th point or kill; make crash-nightly takes all"
	@echo "network tests: a $(NETWORK_STRIDE)th of the faults; make network-nightly takes all"
	@export TMPDIR=$$(mktemp -d $(TEST_FILES)/wherry-tests.XXXXXX) && chmod 755 $$TMPDIR && \
		trap "rm -rf $$TMPDIR" EXIT; \
		unset PYTHONDONTWRITEBYTECODE; \
		WHERRY_CRASH_STRIDE=$(CRASH_STRIDE) WHERRY_NETWORK_STRIDE=$(NETWORK_STRIDE) \
		$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(VENV)/.dev
	@echo "--- ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run make format"; exit 1; }
	@echo "--- mypy"
	@$(BIN)/mypy
	@echo "--- import contract (.importlinter)"
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

fuzz: $(VENV)/.dev
	WHERRY_FUZZ_EXAMPLES=$(FUZZ) $(BIN)/python -m pytest -s --timeout=3600 tests/security/test_api_fuzz.py

fuzz-dimse: $(VENV)/.dev
	@$(BIN)/pip install --quiet 'atheris>=3' && mkdir -p build/fuzz
	$(BIN)/python -m tests.security.fuzz_dimse -max_total_time=$(FUZZ_S) build/fuzz

crash-nightly: $(VENV)/.dev
	WHERRY_CRASH_STRIDE=1 $(BIN)/python -m pytest -m crash --timeout=7200 tests/crash

network-nightly: $(VENV)/.dev
	WHERRY_NETWORK_STRIDE=1 $(BIN)/python -m pytest --timeout=1200 tests/network

bench: $(VENV)/.dev
	$(BIN)/python -m bench.run $(BENCH)

wheel: $(VENV)/.dev
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer with its venv module is needed:"; \
		echo "    apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c '$(CAN_VENV)' || { echo "$(PYTHON) is older than 3.11 or has no venv module"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@echo "--- installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "--- installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.run
