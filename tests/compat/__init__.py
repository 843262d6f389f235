"""Real OpenXC and openOBD clients, unmodified, against the running daemon."""
