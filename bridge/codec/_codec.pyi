"""The C extension. Each part has a twin in Python, which says what it does; see the modules named."""

from collections.abc import Callable

from bridge.codec.raw_writes import CanWrite

# Translating: bridge/codec/compiled.py packs the tables, bridge/codec/reference.py says what comes out.

class Program:
    """What a plan fixes, and what is known of its signals and ids."""

    def __new__(
        cls,
        messages: bytes,
        signals: bytes,
        named: bytes,
        conditions: bytes,
        keys: bytes,
        arena: bytes,
        states: bytearray,
        buses: bytearray,
        raw_ids_limit: int,
        /,
    ) -> Program: ...
    def translate(
        self, records: bytes, functions: list[Callable[..., None]], formats: int, opened: bytes, /
    ) -> tuple[bytes, bytes, int]:
        """The records of a batch, as JSON (`formats` is 1), protobuf (2) or both (3), and how many there are.

        It calls the functions by their place in the list. `opened` is what diagnostics listen to, as
        rows of named values whose value is a key, sorted.
        """

    def append(self, json: bytes, protobuf: bytes, /) -> None:
        """Write a record while a batch is translated, in the formats that are wanted: a function's own."""

    def watch(self, key: int, function: int, /) -> None:
        """Call a function on each frame of a key, too."""

# _lines.c: bridge/codec/slcan.py
def parse_slcan(
    data: bytes | bytearray, bus: int, now: float, epoch: float | None = None, /
) -> tuple[bytes, list[bytes], int, int]: ...
def slcan_lines(records: bytes, /) -> bytes: ...

# bridge/codec/candump.py
def parse_candump(text: bytes | bytearray, bus: int, channel: bytes | None = None, /) -> tuple[bytes, int]: ...
def candump_lines(records: bytes, interface: bytes, /) -> bytes: ...

# bridge/codec/raw_writes.py
def can_writes(data: bytes | bytearray, position: int, /) -> tuple[list[CanWrite], int]: ...

# _socketcan.c; where there is none, bridge/buses/can_socket.py

def receive_frames(fd: int, bus: int, limit: int, /) -> tuple[bytes, bytes, int | None]: ...
def send_frames(fd: int, records: bytes, /) -> int: ...
