# Everything a newcomer types. Each target sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PAIRS ?= 10000000
CODEC := setup.py $(wildcard bridge/codec/*.[ch])

.PHONY: help run test lint sanitize fuzz wheels protos diagram clean

help:
	@echo "make run    start the bridge with a simulated vehicle"
	@echo "make bench  measure what the bridge claims, beside its peers (about 8 minutes)"
	@echo "make test   run every test"
	@echo "make lint   ruff, mypy --strict, the import contract and clang-format"
	@echo "make sanitize the C codec's tests under AddressSanitizer and UndefinedBehaviorSanitizer (gcc, Linux)"
	@echo "make fuzz   ten million random frames through both twins of the codec"
	@echo "make wheels a wheel for every platform (needs docker)"
	@echo "make diagram draw the states of openOBD sessions into ARCHITECTURE.md"
	@echo "make protos generate the protobuf code again"

# An old build must go first: where a new one fails, an install without it succeeds.
$(VENV)/installed: pyproject.toml $(CODEC)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@rm -f bridge/codec/_codec.*.so
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/developer: pyproject.toml | $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

run: $(VENV)/installed
	$(BIN)/openxc-bridge run $(ARGS)

# Developers who have a compiler see why the C codec does not build; users get the Python one.
test fuzz: export OPENXC_BRIDGE_EXTENSION ?= $(if $(shell command -v $(CC)),required,optional)

test: $(VENV)/developer
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(VENV)/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror bridge/codec/*.[ch] benchmarks/*.c

# A build of its own, first on the path; -P keeps the working directory, where the other build lies, off it.
# The interpreter itself leaves memory behind at its end: leaks are for tests/codec/test_leaks.py to find.
sanitize: $(VENV)/developer
	rm -rf build/sanitize
	OPENXC_BRIDGE_EXTENSION=sanitize CC=gcc \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/sanitize/site .
	OPENXC_BRIDGE_EXTENSION=sanitize PYTHONPATH=$(CURDIR)/build/sanitize/site PYTHONMALLOC=malloc \
		LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" UBSAN_OPTIONS=print_stacktrace=1 \
		ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1 \
		$(BIN)/python -P -m pytest --capture=sys $(or $(ARGS),tests/codec tests/buses)

# Many short runs, each with random plans of its own, on all cores.
fuzz: $(VENV)/developer
	seq $$(( ($(PAIRS) + 99999) / 100000 )) | OPENXC_BRIDGE_PAIRS=100000 xargs -P "$$(getconf _NPROCESSORS_ONLN)" -I % \
		$(BIN)/python -m pytest -q --timeout 0 $(or $(ARGS),tests/codec/test_twins.py)

wheels: $(VENV)/developer
	@docker info >/dev/null 2>&1 || { echo "make wheels needs docker, and its daemon running" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group wheels
	$(BIN)/python -m cibuildwheel --platform linux --output-dir dist

protos: $(VENV)/developer
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group protos
	$(BIN)/python -m grpc_tools.protoc --proto_path=bridge/openxc=protos --python_out=. --pyi_out=. bridge/openxc/openxc.proto

diagram: $(VENV)/developer
	$(BIN)/python tools/state_diagram.py

# The peers, as PyPI has them, and the bridge with its extension: without that the rows would be Python's.
.venv-bench/installed: pyproject.toml setup.py $(wildcard bridge/codec/*.[ch])
	$(PYTHON) -m venv .venv-bench
	OPENXC_BRIDGE_EXTENSION=required .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable .
	@touch $@

# Parts by name, or fewer runs: make bench ARGS="codec slcan", make bench ARGS=--quick
.PHONY: bench
bench: .venv-bench/installed
	.venv-bench/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
