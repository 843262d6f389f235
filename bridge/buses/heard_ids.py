"""Who hears which arbitration id: the channels of a bus find what is theirs of the frames it received.

It must not know what channels do with a frame, nor what kind of bus carries it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from bridge.errors import BusError
from bridge.frames import (
    ERROR,
    EXTENDED,
    EXTENDED_ID_MAX,
    ID_WORDS,
    OWN,
    RECORD,
    RECORD_SIZE,
    REMOTE,
    STANDARD_ID_MAX,
    FrameBatch,
)

T = TypeVar("T")

_NOT_FROM_A_PEER: Final = REMOTE | ERROR | OWN


class HeardIds(Generic[T]):
    """Listeners by their arbitration id, any number for each."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called after each change of `ids`."""
        self.ids: frozenset[tuple[int, bool]] = frozenset()  #: (arbitration id, extended) that somebody hears
        self._changed = changed
        self._listeners: dict[tuple[int, bool], tuple[T, ...]] = {}
        self._plain_ids: frozenset[int] = frozenset()

    def add(self, identifier: int, extended: bool, listener: T) -> None:
        """From now on this listener hears the id."""
        key = (identifier, extended)
        self._listeners[key] = (*self._listeners.get(key, ()), listener)
        self._note_ids()

    def remove(self, identifier: int, extended: bool, listener: T) -> None:
        """It hears the id no more; no error if it never did."""
        key = (identifier, extended)
        others = tuple(other for other in self._listeners.get(key, ()) if other is not listener)
        if others:
            self._listeners[key] = others
        else:
            self._listeners.pop(key, None)
        self._note_ids()

    def listeners(self) -> list[T]:
        """Everybody who hears anything."""
        return [listener for listeners in self._listeners.values() for listener in listeners]

    def find(self, batch: FrameBatch) -> Iterator[tuple[T, bytes]]:
        """Each listener with the data of each data frame of its id, in the order of arrival.

        Remote and error frames are left out, and so is what this bridge sent itself. Nothing is
        unpacked of frames that nobody hears. Whoever gets a frame may add and remove listeners;
        one that was removed may still be found for that same frame.
        """
        if not self._plain_ids:
            return
        identifiers = memoryview(batch.buffer).cast("I")[ID_WORDS].tolist()
        if self._plain_ids.isdisjoint(identifiers):
            return
        for position, identifier in enumerate(identifiers):
            if identifier not in self._plain_ids:
                continue
            _, _, _, flags, length, data = RECORD.unpack_from(batch.buffer, position * RECORD_SIZE)
            if flags & _NOT_FROM_A_PEER:
                continue
            for listener in self._listeners.get((identifier, bool(flags & EXTENDED)), ()):
                yield listener, data[:length]

    def _note_ids(self) -> None:
        ids = frozenset(self._listeners)
        if ids != self.ids:
            self.ids = ids
            self._plain_ids = frozenset(identifier for identifier, _ in ids)
            self._changed()


def check_id(identifier: int, extended: bool) -> None:
    """Refuse an arbitration id that its format does not have (ISO 11898-1).

    Raises:
        BusError
    """
    if not 0 <= identifier <= (EXTENDED_ID_MAX if extended else STANDARD_ID_MAX):
        raise BusError(f"0x{identifier:x} is not an arbitration id of {29 if extended else 11} bits")
