# Everything from a machine that has Python 3.11 or newer, make and git:
#   make demo    see what it is for
#   make test    lint, types, import contracts, tests
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help demo test lint types contracts pytest bench-rpc bench-farm bench-nameserver simulate soak chaos docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   a farm on this machine: slaves join, one is killed, nothing is lost"
	@echo "make test   everything that has to pass: lint, types, import contracts, tests"
	@echo "make lint, types, contracts, pytest   its parts"
	@echo "make bench-rpc  measure remote calls, and write docs/performance.md (BENCH=--quick: only print)"
	@echo "make bench-farm  measure the farm beside other systems, and write docs/performance-farm.md: an hour (BENCH=--quick: only print)"
	@echo "make bench-nameserver  measure a name server with 100,000 names"
	@echo "make simulate  10,000 slaves that come and go, and a million tasks, on a fake clock (SIMULATE=--seed=7: others)"
	@echo "make soak   a million broken frames, a million broken inputs of strangers, 100,000 answers over TLS, a call of 2.4 GB, 50 killed servers (FRAMES=1000: fewer)"
	@echo "make chaos  real processes and networks, to which things are done by a seeded plan, and a checker (SECONDS=1800: longer)"
	@echo "make docs   write again what the docs show of the code"
	@echo "make lock   choose the versions of dependencies anew"
	@echo "make clean  remove the virtual environment and caches"

demo: .venv/runtime
	@$(BIN)/python examples/demo.py

test: lint types contracts pytest

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

contracts: .venv/dev
	$(BIN)/lint-imports --no-cache

# The tests of several hosts need root and iproute2; where it may, make installs it.
pytest: .venv/dev
	@if [ "$$(id -u)" = 0 ] && ! command -v ip >/dev/null && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq iproute2 || echo "iproute2 could not be installed"; \
	fi
	$(BIN)/python tools/run_tests.py

BENCH ?= --docs docs
bench-rpc: .venv/bench
	$(BIN)/python -m tests.benchmarks $(BENCH)
	$(BIN)/python -m tests.benchmarks.paired $(filter-out --quick,$(BENCH))

# mpi4py needs an MPI; where it may, make installs one. A system that is missing is a row that says so.
bench-farm: .venv/bench
	@if [ "$$(id -u)" = 0 ] && ! command -v mpirun >/dev/null && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq openmpi-bin || echo "OpenMPI could not be installed"; \
	fi
	$(BIN)/python -m tests.benchmarks.farm $(BENCH)

bench-nameserver: .venv/dev
	$(BIN)/python -m tests.benchmarks.names

# SIMULATE="--seed 7 --slaves 1000 --tasks 100000" for another one.
SIMULATE ?=
simulate: .venv/dev
	$(BIN)/python -m masterslave.testing $(SIMULATE)

# What the tests do for seconds, in full: some minutes.
FRAMES ?= 1000000
soak: .venv/dev
	TLS_MESSAGES=100000 TLS_REPLIES=100000 HUGE_BYTES=2400000000 \
		$(BIN)/python -m pytest -k "writes or written or huge" \
		tests/remoteobj/test_tls.py tests/remoteobj/test_tls_daemon.py tests/remoteobj/test_huge.py
	$(BIN)/python tests/remoteobj/hostile.py --frames $(FRAMES)
	$(BIN)/python -m tests.fuzz --inputs $(FRAMES)
	$(BIN)/python -m tests.fuzz.sockets --inputs $$(($(FRAMES) / 50))
	KILLS=50 $(BIN)/python -m pytest -s tests/nameserver/test_storage_kills.py
	ACTS=5000 $(BIN)/python -m pytest tests/masterslave/test_mix.py

# A failing seed is a line that runs it again, and a folder: CHAOS="--seed 7 --seeds 1".
SECONDS ?= 60
CHAOS ?= --jobs 3
chaos: .venv/dev
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(CHAOS)

docs: .venv/dev
	$(BIN)/python tools/draw_task_life.py

lock: .venv/dev
	$(PIP) install uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra dev -c requirements.lock \
		pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra bench -c requirements.lock \
		pyproject.toml -o requirements-bench.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making the virtual environment .venv"
	@$(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt install python3-venv"; exit 1; }
	@touch $@

.venv/runtime: requirements.lock pyproject.toml | .venv/python
	@echo "installing what it needs (requirements.lock)"
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

.venv/dev: requirements-dev.lock .venv/runtime
	@echo "installing what the tests need (requirements-dev.lock)"
	@$(PIP) install -r requirements-dev.lock
	@touch $@

.venv/bench: requirements-bench.lock .venv/runtime
	@echo "installing what is measured (requirements-bench.lock)"
	@$(PIP) install -r requirements-bench.lock || while read -r line; do \
		$(PIP) install --no-deps "$$line" || echo "could not be installed: $$line"; \
	done < requirements-bench.lock
	@touch $@
