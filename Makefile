# The workshop. `make` alone lists what there is.
#
# Everything is installed into .venv. A step runs again only when setup.cfg or pyproject.toml is
# newer than its stamp; delete .venv (make clean) to start from nothing.

VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN    := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
# UV=uv installs with that, which takes a fifth of pip's time.
PIP    := $(if $(UV),$(UV) pip install --quiet --compile-bytecode --python $(RUN),\
          PYTHONWARNINGS=ignore $(RUN) -m pip --disable-pip-version-check --quiet install)
WHAT   := setup.cfg pyproject.toml
OWN     = $(or $(wildcard $(RUN)),$(PYTHON))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv demo test test-pythons test-python lint bench chaos soak notebook clean

help:
	@echo "make demo      a pool daemon, the seed's job on it and on the embedded pool, tidied up"
	@echo "make test      all tests (pytest; PYTEST='-k name' adds options)"
	@echo "make test-pythons"
	@echo "               the unit tests, a system test of each part and the notebooks on every other"
	@echo "               Python from 3.11 on that is here (PYTHONS='3.12 3.13' chooses)"
	@echo "make lint      ruff, mypy --strict, the import contracts"
	@echo "make bench     the benchmarks beside the peers (BENCH='--short' adds options)"
	@echo "make chaos     the long fault tests, then what becomes of us and of the peers when things"
	@echo "               break (CHAOS='--peers none' adds options)"
	@echo "make soak      ten minutes of everything at once (SOAK='--seed 5 --seconds 60')"
	@echo "make notebook  JupyterLab on notebooks/"
	@echo "make venv      only the environment, $(VENV)"
	@echo "make clean     remove the environment and everything that was built"

venv: $(STAMPS)/venv

demo: $(STAMPS)/demo
	@$(RUN) -m scattergather demo

# More at a time than small machines have processors, as most tests wait for something; those that
# nothing may disturb follow.
test: $(STAMPS)/test
	$(RUN) -m pytest -q -n 4 --dist loadfile -m "not alone" $(PYTEST)
	$(RUN) -m pytest -q -m alone $(PYTEST)

# Each in an environment of its own, .venv-3.12 and so on; a failure on one keeps none from the next.
test-pythons:
	@pythons=$$($(OWN) tests/pythons.py $(OWN) $(PYTHONS)) || exit 1; failed=; \
	for each in $$pythons; do \
	    version=$${each%%=*}; echo "Python $$version, $${each#*=}"; \
	    $(MAKE) --no-print-directory test-python VENV=.venv-$$version PYTHON=$${each#*=} \
	        || failed="$$failed $$version"; \
	done; \
	test -z "$$failed" || { echo "The tests fail on Python$$failed" >&2; exit 1; }

# The system tests that are marked so stand each for one part.
test-python: $(STAMPS)/test
	$(RUN) -m pytest -q -n 4 --dist loadfile -m "pythons or not (system or alone)" \
	    tests/unit tests/system tests/notebooks $(PYTEST)

lint: $(STAMPS)/test $(STAMPS)/lint
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy --strict
	$(VENV)/bin/lint-imports

bench: $(STAMPS)/bench
	$(RUN) -m benchmarks $(BENCH)

chaos: $(STAMPS)/test $(STAMPS)/bench
	SCATTERGATHER_CHAOS=1 $(RUN) -m pytest -q tests/system/faults $(PYTEST)
	$(RUN) -m benchmarks.chaos $(CHAOS)

soak: $(STAMPS)/test
	$(RUN) -m tests.system.faults.soak $(SOAK)

notebook: $(STAMPS)/notebook
	$(RUN) -m jupyterlab --notebook-dir=notebooks $(NOTEBOOK)

clean:
	rm -rf $(VENV) .venv-3.* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv that is there already is kept if it has pip. Debian's python3 comes without ensurepip,
# and a venv made with it is a torso: so that is asked first.
$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { \
	    echo "Python 3.11 or later is missing. On Debian or Ubuntu:" >&2; \
	    echo "    sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is older than 3.11. Say which one to use: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || { \
	    $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	        echo "$(PYTHON) has no venv module. On Debian or Ubuntu:" >&2; \
	        echo "    sudo apt install python3-venv" >&2; exit 1; }; \
	    echo "$(PYTHON) -m venv $(VENV)"; \
	    $(PYTHON) -m venv $(VENV); }
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/demo $(STAMPS)/test $(STAMPS)/lint $(STAMPS)/bench $(STAMPS)/notebook: \
$(STAMPS)/%: $(STAMPS)/venv $(WHAT)
	$(PIP) --editable '.[$*]'
	@touch $@
