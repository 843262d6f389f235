"""What a Python decoder or message handler sees of the codec, and nothing more.

The codec makes one SignalState per published name and calls a signal's decoder with it on
every frame; the decoder returns the value to publish, or None for nothing. Send rules
(clocks, send_same) are the codec's: it publishes the returned value only when they say so,
and tells the decoder in `due` what they said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.openxc.messages import Value
from bridge.profile.plan import Message, Signal

Publisher = Callable[[str, Value, "Value | None"], None]
SignalLookup = Callable[[str], "SignalState | None"]


class SignalState:
    """The last value of one published name, and what its decoder remembers."""

    __slots__ = ("_lookup", "_publish", "due", "memory", "received", "signal", "ticked", "value")

    def __init__(self, signal: Signal, publish: Publisher, lookup: SignalLookup) -> None:
        self.signal = signal  #: its first definition
        self.value: int | float = 0  #: the last frame's scaled value; while a decoder runs, the one before
        self.received = False  #: a frame with this signal has been seen before this one
        self.due = False  #: the send rules let this frame's value out
        self.memory: Any = None  #: the decoder's own, None at first
        self.ticked = float("-inf")  #: timestamp of the last tick of the signal's clock, the codec's
        self._publish = publish
        self._lookup = lookup

    def publish(self, name: str, value: Value, event: Value | None = None) -> None:
        """Publish a record besides the returned value, whatever the send rules say."""
        self._publish(name, value, event)

    def lookup(self, name: str) -> SignalState | None:
        """The state of another signal by published name; None where the plan has none."""
        return self._lookup(name)


class MessageContext:
    """One frame of a message, for its handlers."""

    __slots__ = ("_publish", "_values", "data", "message")

    def __init__(
        self, message: Message, data: bytes, values: Callable[[str], Value | None], publish: Publisher
    ) -> None:
        self.message = message
        self.data = data  #: the frame's data bytes, unpadded
        self._values = values
        self._publish = publish

    def value(self, name: str) -> Value | None:
        """A signal of this message in this frame, by published name or key: a state's name, else the number.

        None where the message has no such signal, it is absent, or its state is unknown.
        """
        return self._values(name)

    def publish(self, name: str, value: Value, event: Value | None = None) -> None:
        """Publish a record."""
        self._publish(name, value, event)
