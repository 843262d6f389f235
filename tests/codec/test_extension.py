"""The C codec is there where it must be, and this run tests the build that it means to test."""

import ast
import importlib
import os
from pathlib import Path
from types import ModuleType

import pytest

import bridge
from bridge import codec

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


def test_the_stub_says_what_the_extension_has(extension):
    """Each function and method, and its parameters as its docstring begins with them."""
    stub = ast.parse((Path(bridge.__file__).parent / "codec" / "_codec.pyi").read_text())
    assert _signatures_of(stub) == _signatures_in(extension)


def _signatures_of(stub: ast.Module | ast.ClassDef) -> dict[str, object]:
    found: dict[str, object] = {}
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = _signatures_of(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args) if argument.arg != "self"]
            found[node.name] = f"{node.name}({', '.join(names)})"
    return found


def _signatures_in(owner: object) -> dict[str, object]:
    public = {name: value for name, value in vars(owner).items() if not name.startswith("__")}
    return {
        name: _signatures_in(value) if isinstance(value, type) else value.__doc__[: value.__doc__.index(")") + 1]
        for name, value in public.items()
    }
