# Two commands do everything on a fresh machine: `make book` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.installed
PAGE := _build/html/book/index.html
SOURCES := _config.yml _toc.yml $(wildcard book/*.ipynb book/*.md book/tools/*.py book/static/*.* made/*.py)

.PHONY: help book test browser notebooks launch lab pdf results benchmark clean

help:  ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

# Touched after each successful install, so the environment is rebuilt only when the files it depends on change.
$(ENV): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

book: $(ENV)  ## build the book and print the page to open
	$(BIN)/python book/tools/build.py

$(PAGE): $(ENV) $(SOURCES)
	$(BIN)/python book/tools/build.py

test: $(PAGE)  ## lint, types, unit tests, doctests, every notebook against its stored outputs, every page in a browser
	$(BIN)/ruff check .
	$(BIN)/mypy made
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python -m pytest

browser: $(PAGE)  ## only the tests that open the built book in a browser
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python -m pytest -m browser -n 0 tests/book

notebooks: $(ENV)  ## execute the chapters again, in place
	$(BIN)/python book/tools/execute.py

results: $(ENV)  ## run every experiment again (hours; what is recorded already is skipped where a script says so)
	for script in mnist masks any_order slips direct scoreboard rounded drawn; do $(BIN)/python book/experiments/$$script.py || exit 1; done
	$(BIN)/python book/tools/ledger.py

launch: $(ENV)  ## write the address of the repository from _config.yml into the first cell of every chapter
	$(BIN)/python book/tools/execute.py --first-cell

lab: $(ENV)  ## open the chapters in JupyterLab
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,lab]"
	$(BIN)/jupyter lab book

pdf: $(PAGE)  ## print the whole book into one PDF (needs Chromium)
	$(BIN)/python book/tools/chromium.py
	$(BIN)/python book/tools/pdf.py

benchmark: $(ENV)  ## time made beside zuko, nflows, normflows and pyro (about 15 minutes)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,benchmark]"
	$(BIN)/python tests/benchmarks/speed.py

clean:  ## remove the environment and everything that was built
	rm -rf .venv _build book/static/mathjax book/static/live_weights *.egg-info .pytest_cache .mypy_cache .ruff_cache
