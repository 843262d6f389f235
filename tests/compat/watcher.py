"""A TCP client of our own beside the real ones: what the vehicle interface says to everybody."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from bridge.openxc import json_format
from bridge.openxc.messages import Incoming, Outgoing, PayloadFormat, SimpleMessage, Value
from bridge.openxc.stream import OutgoingStreamDecoder

from .processes import TIMEOUT


class Watcher:
    """A connection in JSON that remembers every message."""

    def __init__(self, port: int) -> None:
        self.messages: list[Outgoing] = []
        self._decoder = OutgoingStreamDecoder(PayloadFormat.JSON)
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)

    def send(self, message: Incoming) -> None:
        """Send a command or a write."""
        self._socket.sendall(json_format.encode(message))

    def wait_for(self, found: Callable[[list[Outgoing]], bool], what: str) -> list[Outgoing]:
        """The messages, as soon as they satisfy `found`."""
        deadline = time.monotonic() + TIMEOUT
        while not found(self.messages):
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come; the last messages: {self.messages[-20:]}"
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            assert data, f"the bridge closed the connection before {what} came"
            self.messages += self._decoder.feed(data)
        return self.messages

    def wait_for_values(self, *wanted: tuple[str, Value]) -> None:
        """Wait until each name has been published with its value."""

        def found(messages: list[Outgoing]) -> bool:
            return set(wanted) <= {(each.name, each.value) for each in messages if isinstance(each, SimpleMessage)}

        self.wait_for(found, f"all of {wanted}")

    def close(self) -> None:
        """Leave."""
        self._socket.close()
