"""For all tests: a slow machine is no fault, and a contract's asserts say what they compared."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.contract")  # its asserts are in modules that are inherited from

# Tests that twins inherit run once for each of them.
_UNHEALTHY = [HealthCheck.too_slow, HealthCheck.differing_executors]
settings.register_profile("bridge", deadline=None, suppress_health_check=_UNHEALTHY, print_blob=True)
settings.load_profile("bridge")
