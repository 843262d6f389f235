from __future__ import annotations
import pytest
from bridge.buses import can_socket, socketcan
from bridge.buses.frame_bus import FrameBus
from bridge.buses.socketcan import SocketCanBus
from tests.contract.test_bus import BusContract

class TestSocketCan(BusContract):
    def new_wire(self) -> object:
        return "vcan0"
    def make(self, number: int, loopback: bool = False) -> FrameBus:
        return SocketCanBus(number, f"socketcan {number}", self.wire, loopback=loopback)

class TestSocketCanPython(TestSocketCan):
    @pytest.fixture(autouse=True)
    def _python(self, monkeypatch):
        monkeypatch.setattr(socketcan, "receive_frames", can_socket.receive_frames)
        monkeypatch.setattr(socketcan, "send_frames", can_socket.send_frames)
