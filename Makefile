# `make demo` and `make test` work on a fresh clone; `make run` serves the application.
SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
export FTF_MODELS_DIR := $(or $(FTF_MODELS_DIR),$(or $(FTF_DATA_DIR),$(CURDIR)/data)/models)
MODEL := $(FTF_MODELS_DIR)/SmolLM2-135M-Instruct/ftf_model.json
# The settings of .env, when there is one.
WITH_ENV := $(if $(wildcard .env),.venv/bin/honcho run)

FAST := not model and not browser and not processes
BROWSER := browser and not model and not processes

.PHONY: demo run test test-fast test-database test-setup lint format bench model chromium clean

demo: .venv/.installed model            ## three documents to a verified adapter
	$(WITH_ENV) $(PY) manage.py setup
	$(WITH_ENV) $(PY) manage.py demo

run: .venv/.installed                   ## web, workers and reconciler on 127.0.0.1:8000
	.venv/bin/honcho run $(PY) manage.py setup
	exec .venv/bin/honcho start

test: test-setup                        ## every test
	$(PY) -m pytest -q -n auto -m "$(FAST)"
	$(PY) -m pytest -q -n auto -m "$(BROWSER)"
	$(PY) -m pytest -m "model or processes"

test-fast: .venv/.installed-dev         ## no model, no browser, no processes that are killed
	$(PY) -m pytest -q -n auto -m "$(FAST)"

test-database: test-setup               ## the tests that depend on the database (DATABASE_URL)
	$(PY) -m pytest -q -n auto -m "$(FAST)"
	$(PY) -m pytest -m "processes and not model and not browser"

test-setup: .venv/.installed-dev model chromium

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/djlint --check --lint templates
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

format: .venv/.installed-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/djlint --reformat --quiet templates

bench: test-setup                       ## one line with a ratio for each measured promise
	for script in benchmarks/*.py; do $(PY) $$script || exit 1; done

model: .venv/.installed $(MODEL)        ## the bundled model, converted once
$(MODEL):
	$(PY) -P training/engine/bundled.py --models-dir $(FTF_MODELS_DIR)

chromium:
	@test -x /usr/bin/chromium || (apt-get update -qq && apt-get install -y -qq chromium)

.venv/.installed: requirements.txt requirements-web.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:                                  ## removes the virtual environment; data/ stays
	rm -rf .venv .pytest_cache .ruff_cache staticfiles
