# Everything from a clean clone: needs Python >= 3.11, make and a package registry, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
WHOLE := build/whole
# CI adds a plug-in here.
PYTEST_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test faults campaign lint types docs examples whole bench clean

help:                ## Show what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

# One stamp per set of packages, so that a second make starts at once and `make demo` installs no test tools.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"dxflow needs Python >= 3.11, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed      ## Install into .venv

demo: $(VENV)/.installed         ## Simulate a small AGIPD-1M run, reduce it, save a plot (./demo)
	$(BIN)/dxflow recipe demo --to $(DEMO)

test: $(VENV)/.installed-dev     ## Run the tests
	$(BIN)/pytest -n auto --dist worksteal $(PYTEST_OPTIONS)

# How many random damages, and hypothesis examples of each property, the campaign tries; its tables are in build/.
# It says every minute how far it is. On two idle cores the faults take about half an hour (data 2 min, tests of other
# rows 10, damages 15), the properties one to two hours, the load half an hour.
DAMAGES ?= 1000
EXAMPLES ?= 500

faults: $(VENV)/.installed-dev   ## Try every known fault and random damages; fails on anything wrong, hung or unnamed
	@mkdir -p build
	cd tests && ../$(BIN)/python -m campaign --damages $(DAMAGES) --table ../build/faults.txt

campaign: faults                 ## The numbers that a release is judged by: faults, properties, rates, load
	DXFLOW_EXAMPLES=$(EXAMPLES) $(BIN)/pytest -n auto --dist worksteal -m properties --timeout 3600
	cd tests && ../$(BIN)/python -m campaign.places --runs 100
	cd tests && ../$(BIN)/python -m campaign.groups --cases 300
	cd tests && ../$(BIN)/python -m campaign.cubes --cases 300
	cd tests && ../$(BIN)/python -m campaign.rings --runs 200
	cd tests && ../$(BIN)/python -m campaign.edges --runs 200
	cd tests && ../$(BIN)/python -m campaign.darks --runs 200
	cd tests && ../$(BIN)/python -m campaign.pumps --runs 200
	cd tests && ../$(BIN)/python -m campaign.speckle --runs 200
	cd tests && ../$(BIN)/python -m campaign.watching --runs 200 --kills 20
	cd tests && ../$(BIN)/python -m campaign.volumes --runs 10 --kills 5
	$(BIN)/python benchmarks/bench_load.py --json build/load.json

lint: whole                      ## Check style, format, and that imports go one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(WHOLE) && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --no-cache --config $(CURDIR)/pyproject.toml

types: whole                     ## Check types
	MYPYPATH=$(WHOLE) $(BIN)/mypy -p dxflow

docs: whole                      ## Build the documentation (./site)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

examples: $(VENV)/.installed-dev  ## Run all code of the documentation, but what was run already as it is now
	$(BIN)/python docs/examples.py

# What reads source files without importing them finds algorithms/ and recipes/ where they are after installation.
whole: $(VENV)/.installed-dev
	@rm -rf $(WHOLE) && mkdir -p $(WHOLE)/dxflow
	@ln -s $(CURDIR)/dxflow/* $(CURDIR)/algorithms $(CURDIR)/recipes $(WHOLE)/dxflow/

bench: $(VENV)/.installed-dev    ## Run each benchmark at a small size
	@set -e; scripts=$$(ls benchmarks/[!_]*.py 2>/dev/null) || { echo "there are no scripts in benchmarks/" >&2; exit 1; }; \
	for script in $$scripts; do echo "== $$script"; $(BIN)/python $$script --small; done

clean:               ## Remove what was made here
	rm -rf $(VENV) $(DEMO) site build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
