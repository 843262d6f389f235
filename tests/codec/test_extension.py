"""The C codec is there where it must be, and this run tests the build that it means to test."""

import ast
import importlib
import inspect
import os
from pathlib import Path
from types import ModuleType

import pytest

from bridge import codec

STUB = ast.parse(Path(codec.__file__).with_name("_codec.pyi").read_text())
TWINS = ("bridge.codec.slcan", "bridge.codec.candump", "bridge.codec.raw_writes", "bridge.buses.can_socket")
MODE = os.environ.get("OPENXC_BRIDGE_EXTENSION", "optional")


@pytest.fixture
def extension() -> ModuleType:
    """The extension. Missing where it is required, it fails the test; one that does not load always does."""
    if MODE in ("required", "sanitize"):
        return importlib.import_module("bridge.codec._codec")
    return pytest.importorskip(
        "bridge.codec._codec",
        reason="the C codec is not built here (OPENXC_BRIDGE_EXTENSION=required says why)",
        exc_type=ModuleNotFoundError,
    )


def test_where_the_extension_is_built_it_is_used(extension):
    assert codec.IMPLEMENTATION == "C"


def test_the_sanitized_build_is_tested_where_it_is_meant_and_nowhere_else(extension):
    sanitized = b"__asan_init" in Path(extension.__file__).read_bytes()
    assert sanitized == (MODE == "sanitize")


def test_the_stub_names_what_the_extension_has(extension):
    assert _stub_names(STUB) == _names(extension)


@pytest.mark.parametrize(
    "function", [node for node in STUB.body if isinstance(node, ast.FunctionDef)], ids=lambda node: node.name
)
def test_each_function_has_a_python_twin_of_the_same_signature(function):
    modules = [vars(importlib.import_module(name)) for name in TWINS]
    (twin,) = [module[function.name] for module in modules if function.name in module]
    written = ast.parse(inspect.getsource(twin)).body[0]
    assert _signature(written) == _signature(function)


def _stub_names(owner: ast.Module | ast.ClassDef) -> dict[str, object]:
    return {
        node.name: _stub_names(node) if isinstance(node, ast.ClassDef) else None
        for node in owner.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("__")
    }


def _names(owner: object) -> dict[str, object]:
    return {
        name: _names(value) if isinstance(value, type) else None
        for name, value in vars(owner).items()
        if not name.startswith("__")
    }


def _signature(function: ast.FunctionDef) -> tuple[str, str]:
    """Parameters and result as they are written; a function in C may want its arguments without names."""
    return ast.unparse(function.args).replace(", /", ""), ast.unparse(function.returns)
