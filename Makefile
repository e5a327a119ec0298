# `make demo` and `make test` do all of their own set-up; a second call does no work twice.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV),.venv)
BIN := $(abspath $(VENV))/bin
TORCH := torch==2.13.0
SCRIPTS := src/wardround/ui/node_modules
ARGS ?=
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2
DEBIAN := bubblewrap chromium dcmtk dicom3tools orthanc orthanc-dicomweb postgresql tesseract-ocr

.PHONY: help demo test check fix bench docs scripts system clean
.DEFAULT_GOAL := help

help: ## Show what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: $(VENV)/.wardround-base scripts ## A hub and four hospitals on this machine, the whole journey (ARGS="--rounds 8 --serve" and so on)
	@$(BIN)/wardround demo $(ARGS)

# Whole journeys first, and what takes a moment last, so that neither worker is left waiting for the other's long file; the
# plug-in's own order puts files of many tests first, and journeys are files of few.
test: check system scripts ## Static checks, then all tests (PYTEST_ARGS="-k ledger" picks; two test files at a time, PYTEST_WORKERS=0 for one)
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.wardround-dev ## Format, lint, types, import directions
	@$(BIN)/ruff format --check src tests docs benchmarks
	@$(BIN)/ruff check src tests docs benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fix: $(VENV)/.wardround-dev ## Mend format and what lint can mend
	@$(BIN)/ruff format src tests docs benchmarks
	@$(BIN)/ruff check --fix src tests docs benchmarks

bench: $(VENV)/.wardround-bench ## Every benchmark, the quick way (ARGS="--json out.json")
	@shopt -s nullglob; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script --quick $(ARGS) || exit 1; done; \
	echo "Done. What each measures stands in benchmarks/README.md"

docs: $(VENV)/.wardround-dev ## Write the reference pages (commands, settings, states) from the code
	@$(BIN)/python -m docs.reference

scripts: ## What pages load beside plain HTML (htmx, NiiVue), by npm, once; without npm pages work without scripts
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory -s $(SCRIPTS)/.installed; \
	else echo "npm isn't here: pages work as plain HTML, without the viewer. On Debian: apt-get install npm, then make scripts"; fi

system: ## Debian packages that the tests want: installed where that is allowed, named where it isn't
	@missing=""; for package in $(DEBIAN); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "Installing$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else \
	  echo "Missing for some of the tests (they are skipped, saying so):$$missing. Install with: sudo apt-get install$$missing"; fi

clean: ## Remove the virtual environment made here and all caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Wardround needs Python 3.11 or later; set PYTHON=python3.11, say" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || (echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1)

# torch goes in first and alone: any other order lets pip pick a build of several gigabytes.
$(VENV)/.wardround-base: constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "Setting up (once): PyTorch, then the rest; a few minutes on a slow line"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.wardround-dev: $(VENV)/.wardround-base tests/artefacts.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/artefacts.txt \
	  -d $(VENV)/artefacts || echo "tests/artefacts.txt couldn't be fetched; what needs it is skipped, saying so"
	@touch $@

# The peers that benchmarks measure beside us; nothing else needs them.
$(VENV)/.wardround-bench: $(VENV)/.wardround-dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@

$(SCRIPTS)/.installed: src/wardround/ui/package.json src/wardround/ui/package-lock.json
	@echo "Installing what pages load (once)"
	@cd src/wardround/ui && (npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null \
	  && touch node_modules/.installed || echo "npm couldn't install it: pages work as plain HTML until make scripts can")
