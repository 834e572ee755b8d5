# What a user or contributor runs; needs make and Python 3.11 with its venv module, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist=worksteal
UV ?= uv

.PHONY: quickstart help tour setup-all system test test-extras test-slow gpu-check newest lint format docs reference notebooks constraints clean

quickstart: .venv/stamp  ## install, then run the small sweep
	$(BIN)/python run_benchmark.py run sweeps/quickstart.yaml

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1: \2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS=: read -r target text; do printf '%-12s%s\n' "$$target" "$$text"; done

tour: .venv/stamp  ## every kind of figure, from the tables in results/reference
	$(BIN)/python run_benchmark.py figures results/reference --out results/tour

setup-all: .venv/stamp-all  ## install every extra; what comes after uses them

# What a bare Debian lacks for the tests: a browser, for those of report.html, and EGL with a
# software driver, to render robots without a screen.
SYSTEM := chromium libegl1 libopengl0 libgl1-mesa-dri

system:  ## what tests need of Debian, as root; else it says what to install
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

test-extras: .venv/stamp-all  ## the tests that need an extra
	RL_ES_EXTRAS=1 $(PYTEST) -m "extra and not slow"

test-slow: .venv/stamp  ## the slow tests
	$(PYTEST) -m slow

gpu-check: .venv/stamp-gpu  ## on a machine with an NVIDIA GPU: 9 minutes, into results/reference/gpu
	$(BIN)/python -m benchmarks.gpu_check

newest: .venv/stamp  ## try the newest libraries, with PYTHON, in an environment of their own
	$(BIN)/python -m tests.newest --python $(PYTHON)

lint: .venv/stamp  ## ruff, its formatter, pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: .venv/stamp  ## change the files as ruff would have them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/stamp  ## the pages as a site, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/docs

reference: .venv/stamp  ## what in docs/ is made from the code: tables of sweep files, their schema
	$(BIN)/python -m tests.docs.generated

notebooks: .venv/stamp-all  ## execute the notebooks of the tutorials anew, with their outputs
	$(BIN)/python -m tests.docs.notebooks

# The environment is made once, and made again when what it is made from changes: with every extra
# where `make setup-all` has been.
.PHONY: .venv
.venv: .venv/stamp
.venv/stamp .venv/stamp-all: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt -e '.[$(EXTRAS)]'
	touch $(sort .venv/stamp $@ $(wildcard .venv/stamp-all))

.venv/stamp-gpu: .venv/stamp
	$(BIN)/python -m pip install --constraint constraints.txt -e '.[cuda,evosax,rejax]'
	touch $@

EXTRAS = dev
.venv/stamp-all $(if $(wildcard .venv/stamp-all),.venv/stamp): EXTRAS = all,dev

# Needs uv. Pins that are there stay (jax 0.9.0 is what kinetix-env allows): delete a line to move
# its package. The file names no package index.
constraints:  ## pin anew what constraints.txt lacks; needs uv
	$(UV) pip compile pyproject.toml --extra all --extra dev --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt

clean:  ## remove the environment, caches and builds
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
