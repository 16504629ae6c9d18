# `make` lists the targets. Everything a run makes lies under .bqx/, every tool under .venv/ and .tools/.
PAIR ?= eurusd
ROWS ?= 6000
RATES ?=
UI_PAIRS ?= eurusd,gbpusd,usdjpy
PORT ?= 3000
TABLES ?= 100
HOME_DIR := .bqx
PY := .venv/bin/python
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
BQX := .venv/bin/bqx --home $(HOME_DIR)
# One warehouse a pair, row count and source of rates: changing one of them never mixes two.
WAREHOUSE := $(HOME_DIR)/warehouses/$(PAIR)-$(ROWS)$(if $(RATES),-rates-$(firstword $(shell printf %s '$(RATES)' | cksum)))

UI_WAREHOUSE := $(HOME_DIR)/warehouses/ui-$(ROWS)

# Of the caller's environment only this reaches a recipe: what finds programs, a terminal, a proxy or a package index. With
# BQX_OUTPUT in the shell `make run` once replaced a published file there by simulated data; PYTHONPATH, VIRTUAL_ENV,
# DAGSTER_HOME, credentials and their like lead out of this folder as well.
KEPT := HOME PATH USER LOGNAME TMPDIR LANG LANGUAGE LC_% TERM COLORTERM COLUMNS LINES NO_COLOR MAKE% MFLAGS CURDIR \
  http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE \
  UV_CACHE_DIR UV_INDEX% UV_DEFAULT_INDEX UV_NATIVE_TLS UV_OFFLINE UV_HTTP_TIMEOUT UV_LINK_MODE UV_PYTHON% \
  PIP_INDEX_URL PIP_CERT
$(foreach name,$(filter-out $(KEPT),$(.VARIABLES)),\
  $(if $(filter environment%,$(origin $(name))),$(eval unexport $(name))))
ASKED := $(strip $(foreach name,$(filter BQX_% DAGSTER_%,$(.VARIABLES)),\
  $(if $(findstring command,$(origin $(name))),$(name))))
$(if $(ASKED),$(error $(ASKED): not taken by make. For other settings use .venv/bin/bqx, which reads BQX_* variables))

.DEFAULT_GOAL := help
.PHONY: help setup run ui test test-cloud test-servers check bench-merge bench-extract bench-pair bench-more image-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready ## Make .venv from uv.lock, with `bqx` in it

.tools/uv/bin/uv:
	python3 -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9"

.venv/.ready: pyproject.toml uv.lock | $(filter .tools/uv/bin/uv,$(UV))
	$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

run: setup ## One pair, warehouse to published file (PAIR=eurusd ROWS=6000 RATES=file)
	@$(BQX) warehouse create $(WAREHOUSE) --pairs $(PAIR) --rows $(ROWS) $(if $(RATES),--rates '$(RATES)')
	@BQX_WAREHOUSE=$(WAREHOUSE) $(BQX) run $(PAIR)

ui: setup ## Dagster's web server and daemon on the same home (PORT=3000 UI_PAIRS=eurusd,gbpusd,usdjpy)
	@$(BQX) warehouse create $(UI_WAREHOUSE) --pairs $(UI_PAIRS) --rows $(ROWS)
	@mkdir -p $(HOME_DIR)/dagster && cp dagster.yaml $(HOME_DIR)/dagster/dagster.yaml
	@cd $(HOME_DIR) && BQX_WAREHOUSE=$(abspath $(UI_WAREHOUSE)) exec $(CURDIR)/.venv/bin/bqx --home $(abspath $(HOME_DIR)) ui --port $(PORT)

test: setup test-servers ## The whole suite
	$(PY) -m pytest -q -n 2 --dist worksteal

test-cloud: setup test-servers ## The cloud adapters alone, over the wire to local servers
	$(PY) -m pytest -q -n 2 --dist worksteal -m cloud

test-servers: setup
	@$(PY) -m bqx_assets_tests.servers.bigquery.install
	@$(PY) -m bqx_assets_tests.servers.postgres.install

check: setup ## Lint, types, import contracts, shell scripts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --warnings
	.venv/bin/lint-imports
	.venv/bin/shellcheck -x -P SCRIPTDIR deploy/*.sh

bench-merge: setup ## The merge against cat, joins, DuckDB, pyarrow (TABLES=100)
	$(PY) -m benchmarks.merge --tables $(TABLES)

bench-pair: setup test-servers ## A whole pair under 2 GiB, through local BigQuery and Cloud Storage servers
	$(PY) -m benchmarks.pair

bench-extract: setup ## Extraction against bare drains of the same streams
	$(PY) -m benchmarks.extract

bench-more: setup ## Checks, Dagster's own cost, full history, growth
	$(PY) -m benchmarks.checks
	$(PY) -m benchmarks.dagster_cost
	$(PY) -m benchmarks.history
	$(PY) -m benchmarks.growth

image-check: setup ## The Dockerfile's own steps, without Docker
	$(PY) deploy/check_image.py

clean: ## Remove everything a run made; keeps .venv
	rm -rf $(HOME_DIR)
