# Two commands: `make demo` installs everything and runs the main job end to end; `make test` installs and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check install

demo: $(VENV)/installed
	$(BIN)/mitotype demo

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not long" -n 2 --dist worksteal

check: $(VENV)/installed
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
