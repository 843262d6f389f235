"""The simulated vehicle: signals that move and ECUs that answer."""
