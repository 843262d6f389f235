"""openxc-bridge: one daemon owns the connections to a vehicle; any number of apps use it at once."""

__version__ = "0.1.0"
