"""What is said where there is no CAN; the interfaces themselves are in tests/vcan."""

from __future__ import annotations

import errno
import select
import socket

import pytest

from bridge.buses.can_link import explain_down, find_link, take_news, watch_links
from bridge.errors import BusError


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.EAFNOSUPPORT, "socketcan: this kernel has no CAN; load it with: sudo modprobe can_raw"),
        (errno.EPROTONOSUPPORT, "socketcan: this kernel has no CAN; load it with: sudo modprobe can_raw"),
        (errno.EPERM, "socketcan: this program may not open CAN sockets: Operation not permitted"),
    ],
)
def test_no_socket_to_be_had(monkeypatch: pytest.MonkeyPatch, number: int, line: str) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, "Operation not permitted")

    monkeypatch.setattr("bridge.buses.can_link.socket.socket", refuse)
    with pytest.raises(BusError) as caught:
        find_link("can0")
    assert str(caught.value) == line


def test_another_system_has_no_socketcan(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol family")

    monkeypatch.setattr("bridge.buses.can_link.socket.socket", refuse)
    monkeypatch.setattr("bridge.buses.can_link.sys.platform", "darwin")
    with pytest.raises(BusError, match="only Linux"):
        find_link("can0")


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux only")
def test_an_adapter_needs_a_bitrate_and_a_virtual_interface_has_none() -> None:
    assert explain_down("can7") == (
        "socketcan: can7 is down; bring it up at the vehicle's bitrate, such as: "
        "sudo ip link set can7 up type can bitrate 500000"
    )
    assert explain_down("lo") == "socketcan: lo is down; bring it up with: sudo ip link set lo up"


@pytest.mark.skipif(not hasattr(socket, "AF_NETLINK"), reason="Linux only")
def test_without_news_nothing_is_to_be_read() -> None:
    with watch_links() as watch:
        take_news(watch)
        assert not select.select([watch], [], [], 0)[0]
