from __future__ import annotations

import errno

import can
import pytest

from bridge.buses.can_errors import adapter_is_gone, error_number, explain, is_full


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("interface", "channel", "error", "line"),
    [
        (
            "slcan",
            "/dev/ttyACM0",
            caused(can.CanInitializationError("x"), OSError(errno.ENOENT, "No such file")),
            "slcan:/dev/ttyACM0: there is no such device; is the adapter plugged in?",
        ),
        (
            "slcan",
            "/dev/ttyACM0",
            PermissionError(errno.EACCES, "Permission denied"),
            "slcan:/dev/ttyACM0: permission denied; is this user in the group that owns the device (dialout)?",
        ),
        (
            "slcan",
            "/dev/ttyACM0",
            OSError(errno.EBUSY, "Device or resource busy"),
            "slcan:/dev/ttyACM0: the device is in use by another program",
        ),
        (
            "gs_usb",
            "0",
            can.CanInterfaceNotImplementedError("Cannot import module can.interfaces.gs_usb: No module named 'usb.x'"),
            "gs_usb:0: a Python package is missing; install it with: pip install 'python-can[gs-usb]'",
        ),
        (
            "canalystii",
            "0",
            can.CanInterfaceNotImplementedError("No module named 'canalystii'"),
            "canalystii:0: a Python package is missing; install it with: pip install 'canalystii'",
        ),
        (
            "udp_multicast",
            None,
            can.CanInterfaceNotImplementedError("msgpack not installed"),
            "udp_multicast: a Python package is missing; install it with: pip install 'python-can[multicast]'",
        ),
        (
            "slcan",
            None,
            can.CanInterfaceNotImplementedError("The serial module is not installed"),
            "slcan: a Python package is missing; install it with: pip install 'pyserial'",
        ),
        (
            "slcan",
            None,
            TypeError("slcanBus.__init__() missing 1 required positional argument: 'channel'"),
            "slcan needs a channel: write slcan:CHANNEL",
        ),
        (
            "udp_multicast",
            "1.2.3.4",
            caused(can.CanInitializationError("could not create socket"), OSError(errno.EINVAL, "Invalid argument")),
            "udp_multicast:1.2.3.4: could not create socket ([Errno 22] Invalid argument)",
        ),
        ("pcan", "x", ValueError("two\n lines"), "pcan:x: two lines"),
        ("pcan", "x", RuntimeError(), "pcan:x: RuntimeError"),
        (
            "soketcan",
            "x",
            Exception("?"),
            "there is no interface 'soketcan'; did you mean socketcan or socketcand or slcan?",
        ),
        ("simulatd", None, Exception("?"), "there is no interface 'simulatd'; did you mean simulated?"),
    ],
)
def test_explanations(interface: str, channel: str | None, error: Exception, line: str) -> None:
    assert explain(interface, channel, error) == line


def test_an_interface_like_no_other_lists_them_all() -> None:
    line = explain("zzz", None, Exception())
    assert "python-can knows" in line
    assert "udp_multicast" in line


@pytest.mark.parametrize(
    ("error", "number", "gone", "full"),
    [
        (OSError(errno.EIO, "Input/output error"), errno.EIO, True, False),
        (caused(can.CanOperationError("x"), OSError("device disconnected")), None, True, False),
        (can.CanOperationError("Error receiving", errno.ENETDOWN), errno.ENETDOWN, True, False),
        (can.CanOperationError("could not unpack received message"), None, False, False),
        (caused(can.CanOperationError("x"), ValueError("garbage")), None, False, False),
        (can.CanOperationError("Failed to transmit", errno.ENOBUFS), errno.ENOBUFS, False, True),
        (can.CanOperationError("Transmit buffer full"), None, False, True),
        (ValueError("garbage"), None, False, False),
    ],
)
def test_what_an_error_means(error: Exception, number: int | None, gone: bool, full: bool) -> None:
    assert error_number(error) == number
    assert adapter_is_gone(error) is gone
    assert is_full(error) is full


def test_a_send_timeout_means_a_full_adapter() -> None:
    assert is_full(can.CanTimeoutError("timed out"))
