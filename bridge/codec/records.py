"""What the codec gives back: the records of a batch, once per payload format that somebody listens in."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.openxc.messages import PayloadFormat


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records, joined; both formats hold the same ones. A format that nobody wants is empty."""

    json: bytes = b""
    protobuf: bytes = b""
    count: int = 0

    def of(self, payload_format: PayloadFormat) -> bytes:
        """The records in one format."""
        return self.json if payload_format is PayloadFormat.JSON else self.protobuf

    def __add__(self, other: Records) -> Records:
        return Records(self.json + other.json, self.protobuf + other.protobuf, self.count + other.count)

    def __bool__(self) -> bool:
        return self.count > 0
