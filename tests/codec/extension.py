"""The C twin for the tests, where it was built."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

try:
    from bridge.codec import _codec as extension
except ImportError:
    extension = None

needs_extension = pytest.mark.skipif(extension is None, reason="the C extension is not built")

#: Above a property in a class that a second class derives from, to run it on the other twin.
on_both_twins = settings(suppress_health_check=[HealthCheck.differing_executors])
