"""Real OpenXC clients, unmodified, against the running daemon."""
