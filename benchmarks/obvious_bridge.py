"""What one would write first: python-can's Notifier, cantools and json, for one TCP client.

    python -m benchmarks.obvious_bridge DATABASE CHANNEL

Prints its address and ends with its client.
"""

from __future__ import annotations

import json
import socket
import sys

import can
import cantools


class Publisher(can.Listener):
    """Decodes each message and sends its signals."""

    def __init__(self, database_path: str, client: socket.socket) -> None:
        self._database = cantools.database.load_file(database_path)
        self._client = client

    def on_message_received(self, msg: can.Message) -> None:
        signals = self._database.decode_message(msg.arbitration_id, msg.data)
        self._client.sendall(
            b"".join(json.dumps({"name": name, "value": value}).encode() + b"\0" for name, value in signals.items())
        )


def main(database_path: str, channel: str) -> None:
    """Serve the first client until it leaves."""
    server = socket.create_server(("127.0.0.1", 0))
    print(f"tcp://127.0.0.1:{server.getsockname()[1]}", flush=True)
    client, _ = server.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with can.Bus(interface="socketcan", channel=channel) as bus:
        notifier = can.Notifier(bus, [Publisher(database_path, client)])
        while client.recv(4096):
            pass
        notifier.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
