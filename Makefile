# Everything here sets up what it needs: a machine with make, git and a Python of 3.11 or newer is enough.
#
#   make demo                         a whole phone call on this machine
#   make test | check                 the tests, two workers per core (ARGS="-n 0": one after the other) | lint, types...
#   make audit                        known vulnerabilities of the locked dependencies (asks osv.dev)
#   make coverage                     the tests, and which lines and branches they run
#   make docs                         the documentation as a site, in site/
#   make proof | bench                the long forms of the proofs, over two hours | load, beside a bare bridge
#   make test PYTHON=python3.13       another interpreter, in an environment of its own
#   make demo ARGS="--fast"           arguments of the command

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test coverage check audit docs release proof bench clean

ARGS ?=
ifeq ($(origin PYTHON), undefined)
  ENV := .venv
  # An environment that exists keeps its interpreter. Names on PATH may be pyenv's shims, which do not always run.
  PYTHON := $(shell for python in $(ENV)/bin/python python3.13 python3.12 python3.11 python3 \
      "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.*/bin/python; do \
    "$$python" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(getattr(sys, "_base_executable", sys.executable))' \
      2>/dev/null && break; done)
else
  ENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
BIN := $(ENV)/bin
READY := $(ENV)/.ready
export UV_PROJECT_ENVIRONMENT := $(ENV)
export UV_PYTHON_DOWNLOADS := never
# The tests start hundreds of interpreters. Without stored bytecode each of them compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

help:
	@sed -n '/^$$/q; s/^#//p' Makefile

demo: $(READY)
	$(BIN)/telephony demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

coverage: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --cov --cov-branch --cov-report=term $(ARGS)
	$(BIN)/python -m benchmarks.branches

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir $(ENV)/.import_linter_cache
	$(BIN)/lint-imports --no-logo --cache-dir $(ENV)/.import_linter_cache --config .importlinter-types

audit:
	.ci/audit $(ARGS)

# The tools of the group `docs`, in an environment of their own: the tests do without them.
docs: $(READY)
	@uv=uv; $$uv --version >/dev/null 2>&1 || uv=.venv-uv/bin/uv; \
	  UV_PROJECT_ENVIRONMENT=.venv-docs $$uv sync --quiet --locked --only-group docs --python "$(PYTHON)"
	rm -rf site
	.venv-docs/bin/zensical build --clean --strict $(ARGS)
	@echo "The documentation is in site/index.html."

release: $(READY)
	.ci/release $(ARGS)

proof: $(READY)
	$(BIN)/python -m benchmarks.proof $(ARGS)

bench: $(READY)
	$(BIN)/telephony bench $(ARGS)

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache site

# uv from PATH; else from the package index, into an environment of its own.
$(READY): pyproject.toml uv.lock
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "No Python of 3.11 or newer was found: install one, or say make PYTHON=/path/to/python." >&2; exit 1; }
	@uv=uv; if ! $$uv --version >/dev/null 2>&1; then uv=.venv-uv/bin/uv; \
	  if ! $$uv --version >/dev/null 2>&1; then \
	    "$(PYTHON)" -m venv --clear .venv-uv && .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv || { \
	    echo "uv could not be installed: install it (https://docs.astral.sh/uv/), or Python's venv module (Debian: python3-venv)." >&2; exit 1; }; \
	  fi; fi; \
	echo "Setting up $(ENV) with $(PYTHON)"; $$uv sync --quiet --locked --all-extras --python "$(PYTHON)"
	@touch $(READY)
