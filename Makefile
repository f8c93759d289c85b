# Needs make and Python 3.11, 3.12 or 3.13; `make PYTHON=/path/to/python3.12 venv` chooses one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed
DEMO := runs/demo
# Processes that share the tests, file by file; 0 for none, as on one GPU.
WORKERS ?= 2

.PHONY: help venv demo test test-all bench lint lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

venv: $(INSTALLED)  ## build .venv from requirements.lock, every file checked by its hash

# uv does in seconds what pip does in a minute; where uv is absent or finds no index, pip does it.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found. Name one: make PYTHON=/path/to/python3 venv"; exit 2; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	{ command -v uv >/dev/null && uv pip install --python $(VENV)/bin/python --require-hashes -r requirements.lock; } \
		|| $(RUN) pip install --no-input --require-hashes -r requirements.lock
	$(RUN) pip install --no-input --no-deps --no-build-isolation --quiet -e .
	touch $@

demo: venv  ## from nothing to a scored emotion model on generated recordings, in under 5 minutes
	rm -rf $(DEMO)
	$(RUN) launch.prepare --config=configs/prepare_synthetic.py --store=$(DEMO)/corpus \
		--config.dataset.seed=1 --config.dataset.num_subjects=24
	$(RUN) launch.prepare --config=configs/prepare_synthetic.py --store=$(DEMO)/labelled \
		--config.dataset.seed=2 --config.dataset.num_subjects=18
	$(RUN) launch.train --config=configs/demo_pretrain.py --config.data.store=$(DEMO)/corpus --workdir=$(DEMO)/pretrain
	$(RUN) launch.crossval --config=configs/demo_crossval.py --config.data.store=$(DEMO)/labelled \
		--config.init_from=$(DEMO)/pretrain --workdir=$(DEMO)/crossval

test: venv  ## the fast tests; some 20 minutes on two cores, less once programs are compiled
	$(RUN) pytest -q -n $(WORKERS) --dist loadfile -m "not slow"

test-all: venv  ## all tests
	$(RUN) pytest -q -n $(WORKERS) --dist loadfile

bench: venv  ## the measurements of docs/benchmarks.md
	for name in $(filter-out __init__,$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
		echo "== $$name"; $(RUN) benchmarks.$$name || exit 1; done

lint: venv  ## ruff, check and format
	$(RUN) ruff check .
	$(RUN) ruff format --check .

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --upgrade --extra dev --extra export --extra parquet pyproject.toml -o requirements.lock

clean:  ## remove caches and the demo's run, not .venv
	rm -rf $(DEMO) build *.egg-info .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
