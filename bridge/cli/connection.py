"""The client's side: a connection to a running bridge, for the verbs that talk to one.

Synchronous on purpose, since such a verb does one thing at a time. Must not know what a verb
wants, nor print anything.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import serial

from bridge.clients.urls import AnyListenUrl, PtyUrl, SerialUrl, TcpUrl, UnixUrl, parse_listen_url
from bridge.config import ENVIRONMENT_PREFIX
from bridge.errors import BridgeError, ConfigurationError
from bridge.openxc import json_format, protobuf_format
from bridge.openxc.messages import (
    Command,
    CommandName,
    CommandResponse,
    Incoming,
    Outgoing,
    PayloadFormat,
    PayloadFormatCommand,
)
from bridge.openxc.stream import OutgoingStreamDecoder

DEFAULT_URL = "tcp://127.0.0.1:50001"
URL_VARIABLE = ENVIRONMENT_PREFIX + "URL"
URL_HELP = f"where the bridge listens, as --listen has it (default: ${URL_VARIABLE}, else {DEFAULT_URL})"

CONNECT_TIMEOUT = 5.0  #: s, for a host that does not even refuse
ANSWER_TIMEOUT = 2.0  #: s, for the answer to a command, which a bridge gives at once
SEND_TIMEOUT = 5.0  #: s, for a bridge that reads nothing
FINISH_TIMEOUT = 1.0  #: s, for the bridge to read what was sent last
_LONGEST_WAIT = 86400.0  # s, at once; poll() takes no more than 24 days
_READ_SIZE = 65536

_ENCODERS = {PayloadFormat.JSON: json_format.encode, PayloadFormat.PROTOBUF: protobuf_format.encode}


class NoBridge(BridgeError):
    """Nobody can be reached at the URL."""


class BridgeGone(BridgeError):
    """The bridge closed the connection, or no longer reads from it."""


class NoAnswer(BridgeError):
    """Somebody is there, but did not answer in time."""


def url_argument(text: str) -> str:
    """A URL on the command line; argparse turns what is wrong with it into a usage error."""
    try:
        parse_url(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def chosen_url(given: str | None, environment: Mapping[str, str]) -> str:
    """The URL to connect to: given on the command line, else in the environment, else the default.

    Raises:
        ConfigurationError: the environment's makes no sense.
    """
    if given is not None:
        return given
    url = environment.get(URL_VARIABLE)
    if not url:
        return DEFAULT_URL
    try:
        parse_url(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{URL_VARIABLE}: {error}") from None
    return url


def parse_url(text: str) -> AnyListenUrl:
    """What a URL means: the one that the bridge was given with --listen, so that it can be copied.

    Of its options, payload-format and no-rtscts count here too; the others concern the bridge alone.

    Raises:
        ConfigurationError: one line that names the URL and the cure.
    """
    try:
        url = parse_listen_url(text)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).removeprefix("--listen ")) from None
    if isinstance(url, TcpUrl) and not url.port:
        raise ConfigurationError(f"{text}: name the port that the bridge printed when it started")
    return url


class Connection:
    """A connection to a bridge. With a payload format given, the bridge is told to use it.

    Without one, records are read in whichever format comes and sent in JSON.

    Raises:
        ConfigurationError: the URL makes no sense.
        NoBridge: nobody is there.
    """

    def __init__(self, url: str, payload_format: PayloadFormat | None = None) -> None:
        parsed = parse_url(url)
        self.url = url
        chosen = payload_format or parsed.payload_format
        self._encode = _ENCODERS[chosen or PayloadFormat.JSON]
        # Decided at once, so that what the bridge says before it has switched is passed over.
        self._decoder = OutgoingStreamDecoder(chosen)
        self._pending: deque[Outgoing] = deque()
        self._answer_ignored = chosen is not None
        self._stream = _open(url, parsed)
        self._fd = self._stream.fileno()
        os.set_blocking(self._fd, False)
        if chosen is not None:
            self.send(PayloadFormatCommand(name=CommandName.PAYLOAD_FORMAT, format=chosen))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave at once. Calling it twice is fine."""
        self._stream.close()

    def send(self, message: Incoming) -> None:
        """Hand a message to the operating system.

        Raises:
            BridgeGone
        """
        data = self._encode(message)
        while data:
            if not self._wait(select.POLLOUT, SEND_TIMEOUT):
                raise BridgeGone(f"the bridge at {self.url} reads nothing; start it again")
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._gone() from None

    def receive(self, timeout: float | None = None) -> Outgoing | None:
        """The next message; None when the time (s) is over. Without a timeout it waits for ever.

        Raises:
            BridgeGone
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._pending:
            left = None if end is None else max(0.0, end - time.monotonic())
            self._pending.extend(self._read(left))
            if left == 0.0 and not self._pending:
                return None
        return self._pending.popleft()

    def receive_batch(self, timeout: float | None = None) -> list[Outgoing]:
        """All messages that are there after waiting up to `timeout` s for bytes; possibly none.

        Raises:
            BridgeGone
        """
        batch = list(self._pending) or self._read(timeout)
        self._pending.clear()
        return batch

    def ask(self, command: Command, timeout: float = ANSWER_TIMEOUT) -> CommandResponse:
        """Send a command and wait for its answer; what else comes meanwhile is lost.

        Raises:
            NoAnswer, BridgeGone
        """
        self.send(command)
        end = time.monotonic() + timeout
        while (message := self.receive(max(0.0, end - time.monotonic()))) is not None:
            if isinstance(message, CommandResponse) and message.command_response == command.name:
                return message
        raise NoAnswer(f"no answer from {self.url} within {timeout:g} s; is it an OpenXC vehicle interface?")

    def finish(self) -> None:
        """Leave when the bridge has read everything: closing a socket on unread data may undo what was sent."""
        if isinstance(self._stream, socket.socket):
            end = time.monotonic() + FINISH_TIMEOUT
            # The bridge's leaving is what is waited for: it has read up to our end.
            with contextlib.suppress(OSError, BridgeGone):
                self._stream.shutdown(socket.SHUT_WR)
                while (left := end - time.monotonic()) > 0:
                    self._read(left)
        self.close()

    def _read(self, timeout: float | None) -> list[Outgoing]:
        if not self._wait(select.POLLIN, timeout):
            return []
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:  # a reset connection, or the other side of a terminal closed
            raise self._gone() from None
        if not data:
            raise self._gone()
        return [message for message in self._decoder.feed(data) if not self._is_own_answer(message)]

    def _wait(self, events: int, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._fd, events)
        return bool(poll.poll(None if timeout is None else math.ceil(min(timeout, _LONGEST_WAIT) * 1000)))

    def _is_own_answer(self, message: Outgoing) -> bool:
        """Whether it answers the command that the connection itself sent at its start."""
        if not self._answer_ignored or not isinstance(message, CommandResponse):
            return False
        self._answer_ignored = False
        return message.command_response == CommandName.PAYLOAD_FORMAT

    def _gone(self) -> BridgeGone:
        return BridgeGone(f"the bridge at {self.url} has gone")


def _open(text: str, url: AnyListenUrl) -> socket.socket | serial.Serial:
    try:
        match url:
            case TcpUrl():
                connected = socket.create_connection((url.host, url.port), CONNECT_TIMEOUT)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connected
            case UnixUrl():
                return _open_unix(_expanded(url.path))
            case PtyUrl():
                return serial.Serial(_expanded(url.link), timeout=0, exclusive=True)
            case SerialUrl():
                return serial.Serial(url.device, url.baudrate, timeout=0, rtscts=url.rtscts, exclusive=True)
    except UnicodeError as error:  # an empty label, or one that is too long
        raise NoBridge(f"{text}: no such host") from error
    except OSError as error:
        raise NoBridge(_reason(text, url, error)) from error


def _open_unix(path: str) -> socket.socket:
    unconnected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        unconnected.settimeout(CONNECT_TIMEOUT)
        unconnected.connect(path)
    except OSError:
        unconnected.close()
        raise
    return unconnected


def _expanded(path: str) -> str:
    """With a leading ~ resolved: a shell does not do it after a colon."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        raise ConfigurationError(f"{path} has no home directory: write the path in full") from error


def _reason(text: str, url: AnyListenUrl, error: OSError) -> str:
    """One line: what is wrong with the place, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"{text}: no such host"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{text}: you may not open it; become its owner or a member of its group"
    if error.errno in {errno.EBUSY, errno.EAGAIN}:
        return f"{text}: another program has it open; end that first"
    if isinstance(url, SerialUrl):
        return f"{text}: {os.strerror(error.errno) if error.errno else error}; plug the device in, or name another"
    option = "" if text == DEFAULT_URL else f" --listen {text}"
    return f"no bridge answers at {text}; start one with: openxc-bridge run{option}"
