PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
MESSAGES = --locale de --locale fr
VERBS = backend breaker bulk codecs compute_once deadline encryption flight health journal limiter limiting locks manager memo \
	middleware outage signals
RESTRICTED = $(VERBS:%=tests/test_%.py) tests/services
NEAR = $(patsubst %,tests/test_%.py,backend batch bulk compute_once encryption flight invalidation manager memo signals) \
	tests/services tests/templatetags tests/coherence

.PHONY: help demo test lint types docs messages django-suite restricted rest near faults plugin whole foreign benchmarks browser check clean

help:  ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

demo: $(VENV)/.demo  ## Start the example site with its own Redis, and replay real traffic against it
	@$(RUN) example_project/demo.py $(ARGS)

test: $(VENV)/.test  ## Run the tests with the Python at hand
	@$(RUN) -m pytest -n 3 $(ARGS)

lint: $(VENV)/.lint  ## Check style and formatting
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .

types: $(VENV)/.types  ## Check types with mypy and pyright
	@$(RUN) -m mypy && $(RUN) -m pyright --pythonpath $(RUN)

docs: $(VENV)/.docs  ## Build the documentation, warnings being errors
	@$(RUN) -m sphinx -W -n -q -b html docs docs/_build/html

messages: $(VENV)/.test  ## Bring the translations up to date with the texts, and compile them; needs GNU gettext
	@cd django_dripcache && $(abspath $(VENV))/bin/django-admin makemessages $(MESSAGES) --add-location file --no-obsolete
	@cd django_dripcache && $(abspath $(VENV))/bin/django-admin compilemessages $(MESSAGES)

django-suite: $(VENV)/.test  ## Run Django's own cache and session tests against the backend; mostly they sleep
	@$(RUN) -m tests.django_suite

restricted: $(VENV)/.test  ## Run the tests of all verbs as a user with the least rights
	@DRIPCACHE_TEST_ACL=1 $(RUN) -m pytest -n 3 $(ARGS) $(RESTRICTED)

rest: $(VENV)/.test  ## Run the tests that "make restricted" leaves out
	@$(RUN) -m pytest -n 3 $(ARGS) $(RESTRICTED:%=--ignore=%)

near: $(VENV)/.test  ## Run the tests of all verbs with a near cache before Redis, and see whether it is right
	@DRIPCACHE_TEST_NEAR=1 $(RUN) -m pytest -n 3 $(ARGS) $(NEAR)

foreign: $(VENV)/.foreign  ## Run the tests of DRF's throttles and of django-ratelimit over ours
	@$(RUN) -m tests.foreign

benchmarks: $(VENV)/.bench  ## Measure the caches, and rate limits, beside those of others
	@$(RUN) -m benchmarks.caches $(ARGS)
	@$(RUN) -m benchmarks.limits

faults: $(VENV)/.test  ## Run every verb through every fault of a server
	@$(RUN) -m pytest -n 3 $(ARGS) tests/faults

plugin: $(VENV)/.test  ## Run whole projects' tests with the plugin for pytest
	@$(RUN) -m pytest -n 3 $(ARGS) tests/plugin

whole: $(VENV)/.test  ## Run the demo, real workers over a shared broker, and the benchmarks, each as a whole
	@$(RUN) -m pytest -n 2 $(ARGS) tests/whole

browser: $(VENV)/.browser .cache/node_modules/axe-core  ## Look at the pages in a headless Chromium
	@$(RUN) -m pytest -n 2 $(ARGS) tests/browser

.cache/node_modules/axe-core:
	@npm install --silent --prefix .cache --no-save --no-audit --no-fund axe-core@4

check: lint types docs test whole near faults plugin django-suite  ## Everything but the browser

clean:  ## Remove what was made
	rm -rf $(VENV) .cache .tox .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist docs/_build example_project/var

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.%: $(VENV)/bin/python pyproject.toml
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
