"""The hot path: frames in, records out. reference.py is its meaning. PURE."""
