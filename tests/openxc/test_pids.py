"""How many bytes a PID has."""

import pytest

from bridge.openxc.pids import pid_length


@pytest.mark.parametrize(
    ("mode", "pid", "length"),
    [
        (0x01, 0, 1),
        (0x0A, 0x1FF, 1),
        (0x3E, 0x100, 1),
        (0x22, 0x12, 2),
        (0x22, 0xF190, 2),
        (0x2E, 0x12, 2),
        (0x31, 0x01, 1),
        (0x31, 0xF00, 2),
    ],
)
def test_by_mode_then_by_value(mode, pid, length):
    assert pid_length(mode, pid) == length
