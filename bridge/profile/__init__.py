"""Firmware profiles: the schema, its loaders (JSON, databases through cantools), the plan. PURE."""
