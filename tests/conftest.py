"""For all tests: a slow machine is no fault."""

from hypothesis import HealthCheck, settings

# Tests that twins inherit run once for each of them.
_UNHEALTHY = [HealthCheck.too_slow, HealthCheck.differing_executors]
settings.register_profile("bridge", deadline=None, suppress_health_check=_UNHEALTHY, print_blob=True)
settings.load_profile("bridge")
