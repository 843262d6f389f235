"""What a test that leaves nothing open counts."""

import gc
from pathlib import Path


def descriptors() -> int:
    """How many descriptors this process has open, but for those of objects that nobody refers to any more."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
