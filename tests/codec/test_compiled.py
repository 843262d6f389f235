"""The translator in C says what the one in Python says: the same tests, inherited."""

from __future__ import annotations

import inspect

import pytest

from . import test_reference

compiled = pytest.importorskip("bridge.codec.compiled", reason="the C extension is not built", exc_type=ImportError)

for _name, _class in inspect.getmembers(test_reference, inspect.isclass):
    if _name.startswith("Test") and issubclass(_class, test_reference.CodecTests):
        globals()[_name] = type(_name, (_class,), {"Translator": compiled.Translator})
