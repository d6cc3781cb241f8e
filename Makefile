# `make demo` and `make test` are all a newcomer needs; both set up what they use.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench docs kafka wheel parts clean

# Tests on the real Kafka go one after another in two groups, all others beside them. More than two processes on
# two processors make workers so slow that tests of minutes run into their time-outs.
JOBS ?= 2
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
# uv is told which environment is ours, and never to fetch a Python of its own.
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV

help: ## what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(READY) ## make .venv with everything locked in uv.lock; quick when nothing changed

$(READY): pyproject.toml uv.lock stream/api/vendor.json
	@python=; for candidate in $${PYTHON:-} python3.11 python3.12 python3.13 python3; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 2; fi; \
	if ! $(BIN)/python -c '' 2>/dev/null; then rm -rf $(VENV); $$python -m venv $(VENV); fi
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -m uv sync --quiet --frozen --compile-bytecode --group dev --group docs
	@$(BIN)/python -m stream.api.vendor || echo '!!! the live page is without its libraries: $(BIN)/python -m stream.api.vendor' >&2
	@touch $@

demo: setup ## a live demo with nothing but Python: ARGS="--events 20000 --seed 1 --json"
	@$(BIN)/cx demo $(ARGS)

test: setup parts ## every test, on a real Kafka and a real Redis: ARGS="-k panes"
	@seed=$${PYTHONHASHSEED:-$$RANDOM}; echo "PYTHONHASHSEED=$$seed: the order of sets, the same in all processes" >&2; \
	PYTHONHASHSEED=$$seed $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder $(ARGS)

check: setup ## lint, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup parts ## this engine and stock Faust on one real Kafka: prints one JSON object
	@$(BIN)/python -m bench $(ARGS)

docs: setup ## the documentation as a site, in site/
	@$(BIN)/python docs/site/build.py $(ARGS)

kafka: setup ## a real Kafka in the foreground, on localhost:9092: ARGS="--port 0 --data DIR"
	@$(BIN)/python -m stream.brokers.kafka $(ARGS)

wheel: setup ## dist/*.whl
	@rm -rf dist && $(BIN)/python -m uv build --quiet --wheel

# The real parts of the tests. As root on Debian they are installed; elsewhere their lack is said here, and
# once more in the last lines of the tests. Kafka itself comes by Maven, once.
parts:
	@wanted=; command -v kcat >/dev/null || wanted+=' kcat'; \
	command -v curl >/dev/null || wanted+=' curl'; \
	[ -x /usr/bin/redis-server ] || wanted+=' redis-server'; \
	command -v java >/dev/null || wanted+=' openjdk-17-jre-headless'; \
	command -v mvn >/dev/null || wanted+=' maven'; \
	command -v chromium >/dev/null || wanted+=' chromium fonts-dejavu-core'; \
	command -v promtool >/dev/null || wanted+=' prometheus'; \
	command -v prometheus-alertmanager >/dev/null || wanted+=' prometheus-alertmanager'; \
	if [ -n "$$wanted" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing for the tests:$$wanted" >&2; export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get -qq update && apt-get -qq -y --no-install-recommends install $$wanted; } >/tmp/cx-parts.$$$$.log 2>&1 \
	      || { tail -5 /tmp/cx-parts.$$$$.log >&2; echo "!!! NOT INSTALLED:$$wanted" >&2; }; \
	    rm -f /tmp/cx-parts.$$$$.log; \
	  else echo "!!! MISSING for the tests (Debian packages):$$wanted" >&2; fi; fi
	@$(BIN)/python -m stream.api.vendor tests/page/vendor.json tests/page/vendor \
	  || echo '!!! axe-core could not be downloaded: the page is not tested for accessibility' >&2
	@$(BIN)/python -c 'from stream.brokers.kafka import install; install()' \
	  || echo '!!! Kafka could not be downloaded: tests on a real broker are left out' >&2

clean: ## remove everything made here, .venv included
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
