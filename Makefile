# Everything a person does with this repository. Written for GNU make 3.81 (macOS) as well as 4.x:
# no .ONESHELL, no !=, one shell per line.

SHELL := /bin/sh
BIN := .venv/bin
.DEFAULT_GOAL := help

# A candidate is run, not only looked up: a shim (pyenv's, macOS's) may exist and still start nothing.
# Prints "yes PATH" or the one line that says what to install.
find_python = $(shell \
  old=; bare=; \
  for name in python3 python3.13 python3.12 python3.11; do \
    $$name -c '' >/dev/null 2>&1 || continue; \
    if ! $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then old=$$name; continue; fi; \
    if ! $$name -c 'import ensurepip, venv' >/dev/null 2>&1; then bare=$$name; continue; fi; \
    echo "yes $$name"; exit; \
  done; \
  if [ -n "$$bare" ]; then \
    echo "$$bare cannot make virtual environments. Debian: sudo apt install python3-venv; macOS: brew install python@3.13"; \
  elif [ -n "$$old" ]; then \
    echo "Python 3.11 or newer is needed, $$old is `$$old -c 'import platform; print(platform.python_version())'`. Debian 12 or newer: sudo apt install python3 python3-venv; macOS: brew install python@3.13"; \
  else \
    echo "Python 3.11 or newer is needed. Debian 12 or newer: sudo apt install python3 python3-venv; macOS: brew install python@3.13"; \
  fi)

# $(error) instead of a failing command: make then prints this one line and nothing after it.
python = $(call found,$(find_python))
found = $(if $(filter yes,$(firstword $(1))),$(lastword $(1)),$(error $(1)))

# One step of `make check`: its name first, and again as the last words if it fails.
step = @printf '\n-- %s\n' '$(1)'; $(2) || { printf '\nmake check stopped at: %s\n' '$(1)' >&2; exit 1; }

.PHONY: help setup run test long check cores bench clean lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: .venv/.ready ## make .venv with everything in it (run, test and check do it themselves)

# The file's time says when the environment last matched the two files it is made from.
# An environment that no longer starts (its Python was upgraded away, the directory was moved) is made anew.
.venv/.ready: requirements/dev.txt pyproject.toml
	$(eval PYTHON := $(python))
	@echo "Setting up .venv with $(PYTHON) (about a minute the first time) ..."
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
	@echo "Ready."

run: .venv/.ready ## start the sidecar; without SIDECAR_API_KEY also a simulated NVIDIA API
	@$(BIN)/python deploy/run.py

# As many tests side by side as there are cores.
runner := python -m pytest --numprocesses auto --dist worksteal

test: .venv/.ready ## the whole test suite (ARGS='-k words' for a part of it)
	@$(BIN)/$(runner) $(ARGS)

long: .venv/.ready ## what takes many minutes besides: every claim about OpenClaw on the real one, 100,000 requests
	@LONG=1 REQUIRE_SERVICES=1 $(BIN)/python -m pytest -m long $(ARGS)
	@LONG=1 REQUIRE_SERVICES=1 $(BIN)/python -m pytest tests/integration/test_memory.py $(ARGS)

check: .venv/.ready ## what CI runs: format, lint, types, import contracts, dead code, tests, coverage
	$(call step,ruff format,$(BIN)/ruff format --quiet --check --diff .)
	$(call step,ruff check,$(BIN)/ruff check --quiet .)
	$(call step,mypy,$(BIN)/mypy && $(BIN)/mypy deploy/run.py)
	$(call step,lint-imports,$(BIN)/lint-imports --no-logo)
	$(call step,vulture,$(BIN)/vulture)
	$(call step,deptry,$(BIN)/deptry .)
	$(call step,pytest,$(MAKE) --no-print-directory test)
	$(call step,coverage of the cores,$(MAKE) --no-print-directory cores)

# Pure code has no excuse: every line and every branch, by the tests that need no process and no socket.
cores: .venv/.ready
	@$(BIN)/coverage run -m pytest --quiet tests/core tests/shell
	@$(BIN)/coverage report --include='proxy/core/*,scheduler/core/*' --fail-under=100

bench: .venv/.ready ## measure overhead and budget (ARGS='--help' says what)
	@$(BIN)/python -m bench $(ARGS)

# .run stays: it holds what was already sent in this minute, and nothing can make that again.
clean: ## remove what can be made again (.venv, caches); .run, the sidecar's state, stays
	@rm -rf .venv .cache .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@rm -rf dist bench/out *.egg-info
	@find proxy scheduler shared tests bench deploy -name __pycache__ -type d -prune -exec rm -rf {} +

# No option that would write an index's address, which is the business of the machine that installs.
# run.txt follows dev.txt, so that what is tested is what runs.
pip_compile = cd requirements && ../$(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
  --strip-extras --annotation-style line --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

lock: .venv/.ready ## renew the pinned requirements (minutes; needs the network)
	@$(pip_compile) --output-file dev.txt dev.in
	@$(pip_compile) --constraint dev.txt --output-file run.txt run.in
	@git --no-pager diff --stat -- requirements || true
