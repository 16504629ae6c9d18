# `make` lists the targets. Everything a run makes lies under .bqx/, every tool under .venv/ and .tools/.
PAIR ?= eurusd
ROWS ?= 6000
RATES ?=
UI_PAIRS ?= eurusd,gbpusd,usdjpy
PORT ?= 3000
TABLES ?= 100
HOME_DIR := .bqx
PY := .venv/bin/python
BQX := .venv/bin/bqx$(if $(filter-out .bqx,$(HOME_DIR)), --home "$(HOME_DIR)")

# Of the caller's environment only this reaches a recipe: what finds programs, a terminal, a proxy or a package index. With
# BQX_OUTPUT in the shell `make run` once replaced a published file there by simulated data; PYTHONPATH, VIRTUAL_ENV,
# DAGSTER_HOME, credentials and their like lead out of this folder as well.
KEPT := HOME PATH USER LOGNAME TMPDIR LANG LANGUAGE LC_% TERM COLORTERM COLUMNS LINES NO_COLOR MAKE% MFLAGS CURDIR \
  http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE \
  UV_CACHE_DIR UV_INDEX% UV_DEFAULT_INDEX UV_NATIVE_TLS UV_SYSTEM_CERTS UV_OFFLINE UV_HTTP_TIMEOUT UV_LINK_MODE UV_PYTHON% \
  PIP_INDEX_URL PIP_CERT
$(foreach name,$(filter-out $(KEPT),$(.VARIABLES)),\
  $(if $(filter environment%,$(origin $(name))),$(eval unexport $(name))))
ASKED := $(strip $(foreach name,$(filter BQX_% DAGSTER_%,$(.VARIABLES)),\
  $(if $(findstring command,$(origin $(name))),$(name))))
$(if $(ASKED),$(error $(ASKED): not taken by make. For other settings use .venv/bin/bqx, which reads BQX_* variables))

# What a person types reaches a recipe as a variable of the shell, so that a file's name may hold blanks and quotes.
export PAIR ROWS RATES UI_PAIRS PORT

.DEFAULT_GOAL := help
.PHONY: help setup run ui docs test test-cloud test-fleet test-readers test-servers check bench-merge bench-extract bench-pair bench-more image-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

setup: ## Make .venv from uv.lock, with `bqx` in it
	@.ci/setup.sh

# One warehouse for the pairs, row count and content of the rates: another one of them never mixes two. The home keeps a
# link from each pair to the warehouse that was asked for last, by which every later command finds it.
WAREHOUSE = rates=$$([ -z "$$RATES" ] || { cksum <"$$RATES" | cut -d ' ' -f 1; } 2>/dev/null) && \
	$(BQX) warehouse create "$(HOME_DIR)/warehouses/$$pairs-$$ROWS$${RATES:+-rates-$$rates}" \
	--pairs "$$pairs" --rows "$$ROWS" $${RATES:+--rates "$$RATES"}

run: setup ## One pair, warehouse to published file (PAIR=eurusd ROWS=6000 RATES=file)
	@pairs=$$PAIR; $(WAREHOUSE) && $(BQX) run "$$PAIR"

ui: setup ## Dagster's web server and daemon on the same home (PORT=3000 UI_PAIRS=eurusd,gbpusd,usdjpy)
	@pairs=; for pair in $$(printf %s "$$UI_PAIRS" | tr , ' '); do \
	  [ -d "$(HOME_DIR)/sources/$$pair" ] || pairs=$$pairs$${pairs:+,}$$pair; done; \
	[ -z "$$pairs" ] || { $(WAREHOUSE); }
	@bqx=$$PWD/.venv/bin/bqx; cd "$(HOME_DIR)" && exec "$$bqx" --home "$$PWD" ui --port "$$PORT"

# Three workers on two processors: a fifth of the time tests wait for programs and servers (two take 301 s, three 254 s).
test: setup test-servers ## The whole suite
	$(PY) -m pytest -q -n 3 --dist worksteal

test-cloud: setup test-servers ## The cloud adapters alone, over the wire to local servers
	$(PY) -m pytest -q -n 2 --dist worksteal -m cloud

test-fleet: setup test-servers ## A backfill of 28 pairs on PostgreSQL and in containers, some of which are killed: some minutes
	$(PY) -m pytest -q -s -m fleet bqx_assets_tests/cloud/test_fleet.py

test-readers: setup ## The tests of all readers of training files; installs Spark and hyparquet, 750 MB, where Java and Node.js are
	@$(PY) -m bqx_assets_tests.merge.outside_readers
	$(PY) -m pytest -q bqx_assets_tests/merge/test_readers.py

test-servers: setup
	@$(PY) -m bqx_assets_tests.servers.bigquery.install
	@$(PY) -m bqx_assets_tests.servers.postgres.install

check: setup ## Lint, types, import contracts, shell scripts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --warnings
	.venv/bin/lint-imports
	.venv/bin/shellcheck -x -P SCRIPTDIR .ci/run .ci/setup.sh deploy/*.sh

docs: setup ## The documentation site, built into build/site
	@$(PY) -m bqx_assets_tests.docs.site

bench-merge: setup ## The merge against cat, joins, DuckDB, pyarrow (TABLES=100)
	$(PY) -m benchmarks.merge --tables $(TABLES)

bench-pair: setup test-servers ## A whole pair under 2 GiB, through local BigQuery and Cloud Storage servers
	$(PY) -m benchmarks.pair

bench-extract: setup ## Extraction against bare drains of the same streams
	$(PY) -m benchmarks.extract

bench-more: setup ## Checks, Dagster's own cost, full history, growth, footers
	$(PY) -m benchmarks.checks
	$(PY) -m benchmarks.dagster_cost
	$(PY) -m benchmarks.history
	$(PY) -m benchmarks.growth
	$(PY) -m benchmarks.footers --vary periods
	$(PY) -m benchmarks.footers --vary periods-http --rounds 1
	$(PY) -m benchmarks.footers --vary forms
	$(PY) -m benchmarks.units

image-check: setup ## The Dockerfile's own steps, without Docker
	$(PY) deploy/check_image.py

clean: ## Remove everything a run made; keeps .venv
	rm -rf "$(HOME_DIR)"
