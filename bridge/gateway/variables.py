"""Variables of openOBD sessions: keys with texts or messages, in scopes that are bounded.

Must not know who sets them. Source: openOBD's protocol comments (variables, their scopes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from bridge.gateway.errors import Exhausted, Forbidden, InvalidCall, NotFound
from bridge.limits import (
    CONNECTION_VALUE_LIMIT,
    SESSION_STREAMS_LIMIT,
    VARIABLE_KEY_LIMIT,
    VARIABLE_OVERHEAD,
    VARIABLES_LIMIT,
    VARIABLES_SIZE_LIMIT,
)
from bridge.openobd.messages import ContextType, Variable, kept

VIN_KEY = "vehicle:info:vin"
VOLTAGE_KEY = "vehicle:info:voltage"
TICKET_KEY = "ticket:id"
KNOWN_KEYS = frozenset((VIN_KEY, VOLTAGE_KEY, TICKET_KEY))  #: of a connection, which only the gateway sets


class Scope(Protocol):
    """Where variables are looked for."""

    def set(self, variable: Variable) -> None:
        """Keep a variable under its key."""

    def get(self, key: str) -> Variable:
        """The variable with this key."""

    def delete(self, key: str) -> None:
        """Forget a variable."""

    def list(self, prefix: str = "") -> list[Variable]:
        """Those whose keys start with a prefix."""


class Room:
    """What the contexts of one session share: room for variables and for streams."""

    def __init__(self, size: int = VARIABLES_SIZE_LIMIT) -> None:
        self.left = size  #: bytes
        self._size = size
        self.streams = 0  #: open now

    def take(self, size: int) -> None:
        """Use some bytes, or give some back where `size` is negative.

        Raises:
            Exhausted: there are no more.
        """
        if size > self.left:
            raise Exhausted(f"the variables would take more than {self._size} bytes, {VARIABLE_OVERHEAD} of them each")
        self.left -= size

    @contextmanager
    def stream(self) -> Iterator[None]:
        """While a stream is open.

        Raises:
            Exhausted: there are too many.
        """
        if self.streams >= SESSION_STREAMS_LIMIT:
            raise Exhausted(f"the session has {SESSION_STREAMS_LIMIT} streams open already")
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1


class Variables:
    """The variables of one scope: key -> value, bounded in number and size."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._values: dict[str, Variable] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._values)

    def set(self, variable: Variable) -> None:
        """Keep a variable under its key.

        Raises:
            InvalidCall: it has no key, a very long one, or no value.
            Exhausted: there are too many, or they are too large.
        """
        key = variable.key
        if not 0 < len(key) <= VARIABLE_KEY_LIMIT:
            raise InvalidCall(f"a variable needs a key of 1 to {VARIABLE_KEY_LIMIT} characters")
        if variable.WhichOneof("Val") is None:
            raise InvalidCall(f"the variable {key!r} has no value")
        before = self._values.get(key)
        if before is None and len(self._values) >= VARIABLES_LIMIT:
            raise Exhausted(f"there are {VARIABLES_LIMIT} variables already")
        variable = kept(variable)
        self._room.take(_size(variable) - (_size(before) if before is not None else 0))
        self._values[key] = variable

    def get(self, key: str) -> Variable:
        """The variable with this key.

        Raises:
            NotFound: there is none.
        """
        try:
            return self._values[key]
        except KeyError:
            raise NotFound(f"there is no variable {key[:VARIABLE_KEY_LIMIT]!r}") from None

    def delete(self, key: str) -> None:
        """Forget a variable.

        Raises:
            NotFound: there is none.
        """
        self._room.take(-_size(self.get(key)))
        del self._values[key]

    def clear(self) -> None:
        """Forget all of them."""
        self._room.take(-sum(map(_size, self._values.values())))
        self._values.clear()

    def list(self, prefix: str = "") -> list[Variable]:
        """Those whose keys start with a prefix, in the order in which they were first set."""
        return [variable for key, variable in self._values.items() if key.startswith(prefix)]


class ConnectionVariables:
    """What is known of a session's connection: the gateway's own knowledge, and notes of sessions. Texts only."""

    def __init__(self, known: Mapping[str, str], notes: Variables) -> None:
        """`known` has values of KNOWN_KEYS, as far as there are any."""
        self._known = {key: _text(key, value) for key, value in known.items()}
        self._notes = notes

    def set(self, variable: Variable) -> None:
        """Note something about the connection.

        Raises:
            Forbidden: it is the gateway's to know.
            InvalidCall: it is no text, or a very long one.
            Exhausted: there are too many notes.
        """
        if variable.key in KNOWN_KEYS:
            raise Forbidden(f"{variable.key} is set by the gateway only")
        if variable.WhichOneof("Val") != "value" or len(variable.value) > CONNECTION_VALUE_LIMIT:
            raise InvalidCall(f"a variable of the connection is a text of at most {CONNECTION_VALUE_LIMIT} characters")
        self._notes.set(variable)

    def get(self, key: str) -> Variable:
        """The variable with this key.

        Raises:
            NotFound: there is none.
        """
        return self._known.get(key) or self._notes.get(key)

    def delete(self, key: str) -> None:
        """Not possible.

        Raises:
            InvalidCall: always.
        """
        raise InvalidCall("only variables of the function and global ones can be deleted")

    def list(self, prefix: str = "") -> list[Variable]:
        """Those whose keys start with a prefix."""
        known = [variable for key, variable in self._known.items() if key.startswith(prefix)]
        return known + self._notes.list(prefix)


def _size(variable: Variable) -> int:
    """What a variable takes in memory, about."""
    size: int = variable.ByteSize()
    return VARIABLE_OVERHEAD + size


def _text(key: str, value: str) -> Variable:
    return Variable(type=ContextType.CONNECTION_CONTEXT, key=key, value=value)
