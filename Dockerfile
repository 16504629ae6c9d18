# One image for the run's container, the code location, the web server and the daemon; deploy/README.md says how.
#
# The base is pinned by tag: no registry could be asked for its digest where this was written. Pin it before production:
#   docker build --build-arg PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:<digest> .
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# For Dagster+: --build-arg EXTRAS="--extra dagster-plus"
ARG EXTRAS=""
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
# Dependencies first: their layer is made anew when uv.lock changes, not when a line of ours does.
COPY pyproject.toml uv.lock README.md ./
# The documents describe 500 Google services, 100 MB, to a client that dagster-gcp wants and nothing here calls.
RUN uv sync --frozen --no-dev ${EXTRAS} --no-install-project \
    && rm -rf .venv/lib/python*/site-packages/googleapiclient/discovery_cache/documents
COPY bqx_assets bqx_assets
RUN uv sync --frozen --no-dev ${EXTRAS} --no-editable

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin bqx
WORKDIR /app
COPY --from=build /app/.venv .venv
# Dagster writes beside its dagster.yaml, so the folder is the user's.
COPY --chown=bqx deploy/dagster.yaml dagster_home/dagster.yaml
COPY deploy/workspace.yaml workspace.yaml
RUN chown bqx dagster_home
# How memory is allocated: bqx_assets/cli/entry.py says why; Dagster's own commands do not pass by there.
ENV ARROW_DEFAULT_MEMORY_POOL=system MALLOC_ARENA_MAX=2
# No .pyc files: a container's files are in its memory, and everything was compiled above.
ENV PATH=/app/.venv/bin:$PATH DAGSTER_HOME=/app/dagster_home BQX_HOME=/tmp/bqx \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
CMD ["bqx", "--help"]
