# `make demo` installs and runs the main job end to end; `make check test` is what continuous integration runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHECKED := src tests performance examples docs

.PHONY: demo check test docs dist install

demo: $(VENV)/installed
	$(BIN)/mitotype demo

check: $(VENV)/installed
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/python -m mitotype.cli.reference_pages docs/reference --check

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not long" -n 2 --dist worksteal

# The site: reference pages anew, built without a network; warnings are errors.
docs: $(VENV)/installed
	$(BIN)/python -m mitotype.cli.reference_pages docs/reference
	$(BIN)/python -m sphinx -W --keep-going -n -q docs docs/_build/html
	$(BIN)/python docs/link_depth.py docs/_build/html

# sdist and wheel, each installed in an empty environment and used from another folder.
dist: $(VENV)/installed
	rm -rf dist
	$(BIN)/python -m build --quiet
	PYTHON=$(PYTHON) .ci/check_dist dist/*.whl dist/*.tar.gz

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
