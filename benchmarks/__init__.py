"""Measures what the bridge claims, beside its peers, on one machine in one run: `make bench`."""
