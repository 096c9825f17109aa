# `make demo` installs and runs the main job end to end; `make check test` is what continuous integration runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo check test docs install

demo: $(VENV)/installed
	$(BIN)/mitotype demo

check: $(VENV)/installed
	$(BIN)/ruff format --check src tests performance
	$(BIN)/ruff check src tests performance
	$(BIN)/mypy
	$(BIN)/python -m mitotype.cli.reference_pages docs/reference --check

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not long" -n 2 --dist worksteal

docs: $(VENV)/installed
	$(BIN)/python -m mitotype.cli.reference_pages docs/reference

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
