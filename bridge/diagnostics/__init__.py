"""The diagnostic manager, the OBD-II table, predefined requests and the VIN. PURE."""
