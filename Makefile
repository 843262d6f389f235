# Everything a newcomer types. Each target sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help run test lint protos clean

help:
	@echo "make run    start the bridge with a simulated vehicle"
	@echo "make test   run every test"
	@echo "make lint   ruff, mypy --strict and the import contract"
	@echo "make protos generate the protobuf code again"

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/developer: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

run: $(VENV)/installed
	$(BIN)/openxc-bridge run $(ARGS)

test: $(VENV)/developer
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

protos: $(VENV)/developer
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group protos
	$(BIN)/python -m grpc_tools.protoc --proto_path=bridge/openxc=protos --python_out=. --pyi_out=. bridge/openxc/openxc.proto

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
