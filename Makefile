# make demo    installs reportgen into .venv and builds the example report
# make test    installs what the tests need and runs lint, types, import contracts and tests
# make test-all  that, and what takes longer: pages in Chromium, large real models, clusters, real trackers and viewers
# make bench   measures speed and memory (see benchmarks/README.md); bench-check holds sections against the kept run,
#              bench-scale measures many reports and large data sets
# make zoo     makes a report of each of many architectures with random weights, some of keras-hub (half an hour)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-pages test-large test-engines test-viewers lint bench bench-check bench-scale zoo soak pins pins-viewers test-latest test-oldest clean

demo: $(VENV)/.installed
	$(BIN)/reportgen demo -o reportgen-demo

test: lint
	$(BIN)/python -m pytest $(SPREAD) --durations=20 -m "not pages and not large and not engines" $(TESTS)

test-all: test test-pages test-large test-engines test-viewers

test-pages: $(VENV)/.tested chromium
	$(BIN)/python -m pytest $(SPREAD) --durations=20 -m pages $(TESTS)

test-large: $(VENV)/.tested
	$(BIN)/python -m pytest $(SPREAD) --durations=20 -m large $(TESTS)

# Clusters of Ray and Dask on this machine, one after the other: each takes all processors.
test-engines: $(VENV)/.tested
	$(BIN)/python -m pytest --durations=10 -m engines $(TESTS)

# MLflow, JupyterLab and the others bring hundreds of packages: none of them belongs where the other tests run.
test-viewers: .venv-viewers/.viewers chromium
	.venv-viewers/bin/python -m pytest --durations=10 tests/viewers

.venv-viewers/.viewers: pyproject.toml requirements/viewers.txt
	$(MAKE) VENV=.venv-viewers .venv-viewers/.python
	.venv-viewers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/viewers.txt
	.venv-viewers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	.venv-viewers/bin/python -m pip check --disable-pip-version-check
	touch $@

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The long versions of the tests that 'make test' runs shortened.
soak: $(VENV)/.tested chromium
	REPORTGEN_SOAK=1 $(BIN)/python -m pytest $(TESTS)

# The newest releases that the declared versions allow, in an environment of their own.
test-latest: chromium
	$(MAKE) VENV=.venv-latest .venv-latest/.python
	.venv-latest/bin/python -m pip install --quiet --upgrade -e . -r requirements/test.in
	.venv-latest/bin/python -m pytest $(SPREAD) $(TESTS)

# The oldest releases that pyproject.toml declares, likewise (on Python 3.11 or 3.12); without the large models,
# which a newer Keras has written.
test-oldest: chromium
	$(MAKE) VENV=.venv-oldest .venv-oldest/.python
	.venv-oldest/bin/python -m pip install --quiet --upgrade -r requirements/oldest.txt -r requirements/test.in
	.venv-oldest/bin/python -m pip install --quiet --no-deps -e .
	.venv-oldest/bin/python -m pip check
	env -u REPORTGEN_MODELS .venv-oldest/bin/python -m pytest $(SPREAD) $(TESTS)

bench: $(VENV)/.tested
	$(BIN)/python benchmarks/run.py

bench-check: $(VENV)/.tested
	$(BIN)/python benchmarks/run.py --check

# What an engine costs beside the reports that it makes, and how fast a data set goes through a network.
bench-scale: $(VENV)/.tested
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/scale.py

# keras-hub brings a tokenizer, a client of a model hub and more: none of it belongs where the tests run.
zoo: .venv-zoo/.zoo
	.venv-zoo/bin/python benchmarks/zoo.py -o .cache/zoo.md

.venv-zoo/.zoo: pyproject.toml requirements/test.txt requirements/zoo.txt
	$(MAKE) VENV=.venv-zoo .venv-zoo/.python
	.venv-zoo/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/zoo.txt
	.venv-zoo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	.venv-zoo/bin/python -m pip check --disable-pip-version-check
	touch $@

# What 'make test-viewers' installs: the tests' pins, and the trackers and viewers at their newest.
pins-viewers:
	$(MAKE) VENV=.venv-viewers-pins .venv-viewers-pins/.python
	.venv-viewers-pins/bin/python -m pip install --quiet . -r requirements/viewers.in
	(sed -n '/^#/p' requirements/viewers.txt; .venv-viewers-pins/bin/python -m pip freeze --all --exclude pip --exclude keras-reportgen) > requirements/viewers.new
	mv requirements/viewers.new requirements/viewers.txt

pins:
	$(MAKE) VENV=.venv-pins .venv-pins/.python
	.venv-pins/bin/python -m pip install --quiet --upgrade . -r requirements/test.in
	(sed -n '/^#/p' requirements/test.txt; .venv-pins/bin/python -m pip freeze --all --exclude pip --exclude keras-reportgen) > requirements/test.new
	mv requirements/test.new requirements/test.txt

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'reportgen needs Python 3.11 to 3.13 (TensorFlow has no wheels for others);'; \
	    echo 'name one with: make PYTHON=python3.12 …'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.tested: $(VENV)/.python pyproject.toml requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m pip check --disable-pip-version-check
	touch $@ $(VENV)/.installed

# The browser tests drive Debian's Chromium; CHROMIUM names another one.
.PHONY: chromium
chromium:
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else \
	  echo 'The browser tests need Chromium: install it (Debian, Ubuntu: apt-get install chromium)'; \
	  echo 'or name one with CHROMIUM=/path/to/chrome make test'; exit 1; \
	fi

clean:
	rm -rf .venv .venv-latest .venv-oldest .venv-pins .venv-viewers .venv-viewers-pins .venv-zoo reportgen-demo build dist *.egg-info
