"""A Bus per kind of vehicle connection: CAN adapters, an in-process bus, recordings."""
