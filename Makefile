# Two commands do everything on a fresh machine: `make book` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ENV := $(VENV)/.installed
PEERS := $(VENV)/.peers
# The versions to install: those that the stored outputs were made with.
CONSTRAINTS ?= constraints.txt
PIP = $(BIN)/python -m pip install --quiet $(addprefix -c ,$(CONSTRAINTS))
# The build of PyTorch: `cpu`, a small one, is taken on Linux without an NVIDIA driver; `default` is what pip finds by itself.
TORCH ?= $(shell [ "$$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null && echo default || echo cpu)
CPU_WHEELS := --extra-index-url https://download.pytorch.org/whl/cpu --timeout 15 --retries 1
PAGE := _build/html/book/index.html
SOURCES := _config.yml _toc.yml $(wildcard book/*.ipynb book/*.md book/tools/*.py book/tools/templates/*.* book/static/*.* made/*.py made/*/*.py)

.PHONY: help book check lint unit test browser oldest newest notebooks launch lab pdf slides epub results benchmark weight mutants dist clean

help:  ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

# Touched after each successful install, so the environment is rebuilt only when the files it depends on change.
$(ENV): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	[ $(TORCH) != cpu ] || $(PIP) $(CPU_WHEELS) --no-deps torch
	$(PIP) -e ".[dev]"
	@touch $@

# zuko, nflows, normflows and pyro, which only tests, benchmarks and one experiment use.
$(PEERS): $(ENV)
	$(PIP) -e ".[dev,benchmark]"
	@touch $@

book: $(ENV)  ## build the book and print the page to open
	$(BIN)/python book/tools/build.py

$(PAGE): $(ENV) $(SOURCES)
	$(BIN)/python book/tools/build.py

check: lint unit  ## the short round while you work: lint and unit

lint: $(ENV)  ## style, format, types, workflows and forms: all that .pre-commit-config.yaml lists
	SKIP=chapters $(BIN)/pre-commit run --all-files --show-diff-on-failure

unit: $(ENV)  ## unit tests and doctests, without other processes, notebooks and browsers
	$(BIN)/python -m pytest -m "not processes and not browser" --ignore-glob='*.ipynb'

test: $(PAGE) $(PEERS) lint  ## everything: lint, unit tests, doctests, every notebook against its stored outputs, every page in a browser
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python -m pytest

browser: $(PAGE)  ## only the tests that open the built book in a browser
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python -m pytest -m browser -n 0 tests/book

oldest:  ## unit tests with the oldest versions allowed, in an environment of their own (needs Python 3.11 or 3.12)
	$(MAKE) unit VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

newest:  ## unit tests with the newest versions there are, in an environment of their own
	$(MAKE) unit VENV=.venv-newest CONSTRAINTS=

notebooks: $(ENV)  ## execute the chapters again, in place
	$(BIN)/python book/tools/execute.py

results: $(PEERS)  ## run every experiment again that needs no GPU (hours; what is recorded already is skipped where a script says so)
	for script in mnist pixelcnn masks any_order slips direct neighbours degrees levels records tables relatives relatives_speed peers orders; do $(BIN)/python book/experiments/$$script.py || exit 1; done
	$(BIN)/python book/tools/ledger.py

launch: $(ENV)  ## write the address of the repository from _config.yml into the first cell of every chapter
	$(BIN)/python book/tools/execute.py --first-cell

lab: $(ENV)  ## open the chapters in JupyterLab
	$(PIP) -e ".[dev,lab]"
	$(BIN)/jupyter lab book

pdf: $(PAGE)  ## print the whole book into one PDF (needs Chromium)
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python book/tools/pdf.py

epub: $(ENV)  ## make an EPUB of the book
	$(BIN)/python book/tools/epub.py

slides: $(PAGE)  ## make slides of the chapters, a reveal.js deck for each
	$(BIN)/python book/tools/slides.py

benchmark: $(PEERS)  ## time made beside zuko, nflows, normflows and pyro (about 15 minutes)
	$(BIN)/python tests/benchmarks/speed.py

weight: $(PAGE)  ## weigh the pages, and time their first words on a slow line (about 10 minutes on a quiet machine; needs Chromium)
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python tests/benchmarks/weight.py

dist: $(ENV)  ## the files of a release, in dist
	rm -rf dist
	$(BIN)/python -m build

mutants: $(ENV)  ## make small mistakes in the lesson, one at a time, and see a test go red for each (about an hour)
	$(BIN)/python tests/mutants/mutate.py

clean:  ## remove the environment and everything that was built
	rm -rf .venv .venv-oldest .venv-newest _build dist book/static/mathjax book/static/live_weights *.egg-info .pytest_cache .mypy_cache .ruff_cache
