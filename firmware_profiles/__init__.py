"""Firmware profiles that come with the bridge, found by name."""
