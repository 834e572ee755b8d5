# What a user or contributor runs; needs make and Python 3.11 with its venv module, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist=worksteal
UV ?= uv

.PHONY: quickstart tour setup-all system test test-extras test-slow lint format docs reference constraints clean

quickstart: .venv/stamp  ## install, then run the small sweep
	$(BIN)/python run_benchmark.py run sweeps/quickstart.yaml

tour: .venv/stamp  ## every kind of figure, from the tables in results/reference
	$(BIN)/python run_benchmark.py figures results/reference --out results/tour

setup-all: .venv/stamp-all  ## install every extra; what comes after uses them

# What a bare Debian lacks for the tests: a browser, for those of report.html, and EGL with a
# software driver, to render robots without a screen.
SYSTEM := chromium libegl1 libopengl0 libgl1-mesa-dri

system:  ## as root; else it says what to install
	@lacking=; for package in $(SYSTEM); do \
		dpkg --status $$package >/dev/null 2>&1 || lacking="$$lacking $$package"; \
	done; \
	test -n "$$lacking" || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$lacking; \
	else \
		echo "for all tests, on Debian, as root: apt-get install --no-install-recommends$$lacking"; \
	fi

test: .venv/stamp  ## all tests but the slow ones
	$(PYTEST) -m "not slow"

test-extras: .venv/stamp-all  ## of these, what `make test` skips where only `make` has been
	RL_ES_EXTRAS=1 $(PYTEST) -m "extra and not slow"

test-slow: .venv/stamp
	$(PYTEST) -m slow

lint: .venv/stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: .venv/stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/stamp  ## the pages as a site, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/docs

reference: .venv/stamp  ## what in docs/ is made from the code: tables of sweep files, their schema
	$(BIN)/python -m tests.docs.generated

# The environment is made once, and made again when what it is made from changes: with every extra
# where `make setup-all` has been.
.PHONY: .venv
.venv: .venv/stamp
.venv/stamp .venv/stamp-all: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt -e '.[$(EXTRAS)]'
	touch $(sort .venv/stamp $@ $(wildcard .venv/stamp-all))

EXTRAS = dev
.venv/stamp-all $(if $(wildcard .venv/stamp-all),.venv/stamp): EXTRAS = all,dev

# Needs uv. Pins that are there stay (jax 0.9.0 is what kinetix-env allows): delete a line to move
# its package. The file names no package index.
constraints:
	$(UV) pip compile pyproject.toml --extra all --extra dev --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
